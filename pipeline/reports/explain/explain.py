"""`explain`: why the heads of a selection voted as they did, from the store alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Unpack

import polars as pl

from savs.datasets import MediaError
from savs.datasets.media.media import MediaFolder
from savs.foundation.errors import ParameterError, command
from savs.pipeline.classifying.model_match import decoding_of, decoding_rules
from savs.pipeline.errors import ReportError
from savs.pipeline.evaluation.results import Result
from savs.pipeline.extraction.model.model_options import PlacingKeywords
from savs.pipeline.inputs.input_options import require_media_root
from savs.pipeline.names import DEFAULT_EXPLAINED
from savs.pipeline.reports.explain.attention import (
    COLOURS,
    DRAWS,
    MASKED,
    load_views_model,
    require_heads,
    view_example,
)
from savs.pipeline.reports.explain.evidence import Evidence, gather_evidence, gather_left_out
from savs.pipeline.reports.explain.explanation import Explained, Explanations, changes_of, describe
from savs.pipeline.reports.pages.pictures import open_images
from savs.pipeline.reports.pages.rendering import require_page, write_page
from savs.pipeline.reports.report.folders import read_results
from savs.pipeline.reports.report.gallery import pick_examples
from savs.pipeline.running.formatting import listed, of_shares
from savs.pipeline.running.option_texts import OTHER_MODEL
from savs.pipeline.running.options import Option
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.training_data import train_digest
from savs.stores import FeatureStore
from savs.stores.format.layout import HEADS_SITE

TEMPLATES = Path(__file__).parent
"""Folder of the page's templates."""
OF_MAPS = {"masked": MASKED, "draws": DRAWS, "colours": COLOURS}
"""What `looks.html` says of the maps."""


def explain(
    result: str | Path,
    *,
    ids: Annotated[Sequence[str] | None, Option(name="id", metavar="ID", is_repeated=True)] = None,
    errors: bool = False,
    n: Annotated[int, Option(min=1)] = DEFAULT_EXPLAINED,
    out: Annotated[str | Path | None, Option(metavar="FILE.html")] = None,
    media_root: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    attention_maps: bool = False,
    model: Annotated[str | Path | None, OTHER_MODEL] = None,
    revision: Annotated[str | None, Option(level="python")] = None,
    dtype: Annotated[str | None, Option(level="python")] = None,
    reporting: Reporting = SILENT,
    **placing: Unpack[PlacingKeywords],
) -> Explanations:
    """Show what each chosen head saw of some examples; without maps, no model is needed.

    They are test examples, or of a cross-validation training examples that were left out: each is
    shown with the heads of its own fold, which were chosen without it.

    Of many labels an explanation is about one of each example: that which is farthest on the wrong
    side of its threshold, or the nearest to it. Of numbers it says how far each head moves the
    number.

    For each example: the vote of each head, its cosines with the class centroids and its nearest
    training examples; and what would have changed the prediction. Readouts other than `vote` weigh
    the same heads in another way; for them, each head's nearest class is shown, and what the
    readout says when it is fitted again without a head or a training example.

    Parameters
    ----------
    result
        Feature store, or a result folder in it, such as STORE/results/vote.

        Of a store `Results.default`.
    ids
        Example to explain; repeatable.

        Without any, wrong ones and the least sure ones are taken.
    errors
        Explain wrong examples only, the surest ones first.
    n
        Examples to explain, if none is named.
    out
        Also write an HTML page.

        One that is there is replaced.
    media_root
        Folder of the images (default: the store's thumbnails).
    attention_maps
        Run the model; show where heads look, and a test of it.

        The attention of the last token on image patches and on the prompt, with a test of each map
        by masking, and the words that the head writes. `media_root` is needed.
    model
        Model, if it is not where the classifier says.
    revision
        Revision of the model (default: the classifier's).
    dtype
        auto, bfloat16, float16 or float32 (default: the classifier's).
    reporting
        Receives progress while the model runs.
    **placing
        Fields of `ModelOptions` that say where the model runs.

    Returns
    -------
    Explanations
        `heads` is a frame with a row an example and head, `examples` has everything.

    Raises
    ------
    ReportError
        The result has no heads, lies in no store, or in one with other training examples; an
        example is unknown or was skipped.
    ResultError
        A file of the result is missing or damaged.
    """
    if out is not None:
        require_page(Path(out))
    if n < 1:
        raise ParameterError(f"`n` is {n}, expected at least 1")
    if ids and errors:
        raise ParameterError("`ids` and `errors` exclude each other; pass one")
    require_media_root(media_root)
    if attention_maps and media_root is None:
        raise ParameterError("`attention_maps` needs the images; pass `media_root`")
    named = {"model": model, "revision": revision, "dtype": dtype}
    loading: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    loading |= placing
    if loading and not attention_maps:
        raise ParameterError(f"{min(loading)} is about attention maps; ask for them, or omit it")
    (evaluated,) = read_results([Result.at(result).measured.folder], "an explanation")
    store, target = _explained_store(evaluated), evaluated.target
    if evaluated.split != "test":
        target.require("an explanation of left-out examples", evaluated.folder)
    if attention_maps:
        target.require("an attention map", evaluated.folder)
    if attention_maps and (site := store.manifest.identity.site) != HEADS_SITE:
        raise ReportError(
            f"attention maps show heads, and {result} chose from the site {site}; omit"
            " `attention_maps`"
        )
    rows = _pick(evaluated, ids or (), errors=errors, n=n)
    selection = evaluated.selection()
    if attention_maps:
        require_heads(selection.heads)
    said = [target.shown(row, evaluated.metrics) for row in rows.iter_rows(named=True)]
    rows = target.of_one_task(rows, evaluated.metrics)
    wanted = dict(rows.select("id", "subtask").iter_rows())
    how = ""
    if evaluated.split == "test":
        evidence = gather_evidence(store, selection, wanted, evaluated.split)
    else:
        evidence = gather_left_out(store, selection, evaluated, wanted)
        readouts = sorted({one.trained.rule.name for one in evidence.values()})
        how = (
            "each is a training example that was left out: its heads were chosen, and"
            f" {listed(readouts)} fitted, on the other folds"
            f" ({of_shares(*evaluated.metrics['train_shares'])} of the examples)"
        )
    trained = {name for one in evidence.values() for name in one.trained.ids}
    images = open_images(store, evaluated.split, rows["id"].to_list(), media_root)
    others = open_images(store, "train", list(trained), media_root)
    training = (
        store.examples("train").select("id", "media", "prompt").rows_by_key("id", unique=True)
    )
    changes = changes_of(store, evidence)
    examples = tuple(
        describe(row, shown, evidence[row["id"]], images, others, training, changes.get(row["id"]))
        for row, shown in zip(rows.iter_rows(named=True), said, strict=True)
    )
    if attention_maps:
        examples = _add_views(
            selection, rows, examples, evidence, str(media_root), loading, reporting
        )
    explanations = Explanations(
        title=evaluated.title,
        model=str(evaluated.metrics["model"].get("name") or "unknown model"),
        readout=evaluated.metrics["readout"],
        examples=examples,
        notes=tuple(images.notes()),
        has_classes=target.has_classes,
        part=target.part,
        left_out=how,
    )
    if out is not None:
        write_page(Path(out), TEMPLATES, "explain.html", content=explanations, **OF_MAPS)
    return explanations


def _add_views(
    selection: Selection,
    rows: pl.DataFrame,
    examples: Sequence[Explained],
    evidence: dict[str, Evidence],
    media_root: str,
    loading: dict[str, Any],
    reporting: Reporting,
) -> tuple[Explained, ...]:
    """Return examples with where their heads look; one that cannot be looked at says why."""
    model = load_views_model(selection, loading)
    folder = MediaFolder(Path(media_root), rules=decoding_rules(decoding_of(selection)))
    media = dict(rows.select("id", "media").iter_rows())
    seen = []
    with reporting.progress(len(examples)) as on_rows:
        for one in examples:
            seen_by = evidence[one.id]
            try:
                views = view_example(
                    model, one.prompt, media[one.id] or [], folder, seen_by, with_words=True
                )
                seen.append(replace(one, views=views))
            except (MediaError, ReportError) as error:
                seen.append(replace(one, unseen=str(error)))
            on_rows(1)
    return tuple(seen)


def _explained_store(result: Result) -> FeatureStore:
    """Return the store of a result, whose training examples made its selection."""
    if result.config is None:
        raise ReportError(
            f"{result.folder} has no heads: the model answered by itself; pass the result of a"
            " readout, such as STORE/results/vote"
        )
    if result.store is None:
        raise ReportError(
            f"{result.folder} is not in a store, whose features are needed; pass STORE/results/NAME"
        )
    if result.config.pseudo_labels is not None:
        raise ReportError(
            f"the training labels of {result.folder} were the model's own answers, and training"
            " examples are explained by their own labels; run savs select without pseudo-labels,"
            " and savs evaluate again"
        )
    if result.config.train != train_digest(result.store):
        raise ReportError(
            f"{result.folder} has a selection from other training examples than {result.store.path}"
            f" has now; run {command('savs', 'select', result.store.path)} and savs evaluate again"
        )
    return result.store


def _pick(result: Result, ids: Sequence[str], *, errors: bool, n: int) -> pl.DataFrame:
    """Return the predictions of some examples: those named, or wrong and least sure ones."""
    predictions = result.predictions()
    ranked = result.target.ranked(predictions, result.metrics)
    if not ids:
        rows = pick_examples(ranked, n, only_wrong=errors)
        if not rows.height:
            raise ReportError(f"{result.folder} has no wrong example; omit `errors`")
        return rows
    known = set(predictions["id"])
    if absent := [name for name in ids if name not in known]:
        raise ReportError(
            f"{result.folder} has no example {absent[0]!r}; its ids are like"
            f" {predictions['id'][0]!r}"
        )
    order = {name: place for place, name in enumerate(dict.fromkeys(ids))}
    rows = predictions.filter(pl.col("id").is_in(list(order)))
    if skipped := rows.filter(pl.col("prediction").is_null())["id"].to_list():
        raise ReportError(f"example {skipped[0]!r} was skipped at extraction; it has no features")
    rows = ranked.filter(pl.col("id").is_in(list(order)))
    return rows.sort(pl.col("id").replace_strict(order, return_dtype=pl.Int64))
