"""`explain`: why the heads of a selection voted as they did, from the store alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import MediaError
from savs.datasets.media.media import MediaFolder
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ReportError
from savs.pipeline.explaining.attention import (
    DRAWS,
    MASKED,
    add_words,
    load_views_model,
    view_example,
)
from savs.pipeline.explaining.evidence import Evidence, gather_evidence
from savs.pipeline.explaining.explanation import (
    Changes,
    Explained,
    Explanations,
    HeadVote,
    Neighbour,
    TrainingExample,
)
from savs.pipeline.explaining.vote_changes import (
    smallest_flip,
    without_each_example,
    without_each_head,
)
from savs.pipeline.heads.training_set import train_digest
from savs.pipeline.names import DEFAULT_EXPLAINED
from savs.pipeline.pages.rendering import render
from savs.pipeline.reporting.drawing import LEVELS
from savs.pipeline.reporting.evaluated import Evaluated, read_results
from savs.pipeline.reporting.gallery import best_votes, pick_examples
from savs.pipeline.reporting.images import Images, open_images
from savs.pipeline.reporting.report import SUFFIXES
from savs.pipeline.running.output_files import output_files
from savs.pipeline.selection.selection_file import load_selection
from savs.stores import FeatureStore, head_name

SIMILAR = 5
"""Training examples that are shown of each example."""
VOTE = "vote"
Training = dict[str, tuple[list[str], str]]
"""Id of a training example -> its media and its prompt."""


def explain(
    result: str | Path,
    *,
    ids: Sequence[str] = (),
    errors: bool = False,
    n: int = DEFAULT_EXPLAINED,
    media_root: str | Path | None = None,
    out: str | Path | None = None,
    attention_maps: bool = False,
    **loading: Any,
) -> Explanations:
    """Show what each chosen head saw of some test examples; without maps, no model is needed.

    For each example: the vote of each head, its cosines with the class centroids and its nearest
    training examples; and what would have changed the vote. Readouts other than `vote` weigh the
    same heads in another way; for them, each head's nearest class is shown, and no changes.

    Parameters
    ----------
    result
        Folder of results in a store, such as `STORE/results/vote`.
    ids
        Examples; without any, wrong ones and the least sure ones are taken.
    errors
        Take wrong examples only, the surest mistakes of each class first.
    n
        Most examples, where none are named.
    media_root
        Folder of the images; thumbnails of the store are shown without it.
    out
        An HTML page to write, too; one that is there is replaced.
    attention_maps
        Run the selection's model, and show where each chosen head looks: the attention of the last
        token on image patches and on the prompt, with a test of each map by masking, and the words
        that the head writes. `media_root` is needed.
    **loading
        Where the model is, if not where the selection says: `model`, `revision`, `dtype`, `device`
        and other fields of `ModelOptions`.

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
    if n < 1:
        raise ParameterError(f"n is {n}, expected at least 1")
    if attention_maps and media_root is None:
        raise ParameterError("attention maps need the images: give media_root (--media-root)")
    if loading and not attention_maps:
        raise ParameterError(f"{min(loading)} is about attention maps; ask for them, or omit it")
    (found,) = read_results([Path(result)])
    store = _require_store(found)
    rows = _pick(found, list(ids), errors=errors, n=n)
    evidence = gather_evidence(
        store,
        load_selection(found.folder),
        dict(rows.select("id", "subtask").iter_rows()),
        found.split,
    )
    trained = {name for one in evidence.values() for name in one.trained.ids}
    images = open_images(store, found.split, rows["id"].to_list(), media_root)
    shown = open_images(store, "train", list(trained), media_root)
    known = store.examples("train").select("id", "media", "prompt").rows_by_key("id", unique=True)
    examples = tuple(
        _explained(row, evidence[row["id"]], images, shown, known, found.metrics["readout"])
        for row in rows.iter_rows(named=True)
    )
    if attention_maps:
        examples = _add_views(found, rows, examples, evidence, media_root, loading)
    explanations = Explanations(
        title=str(store.manifest.identity.benchmark["name"]),
        model=str(found.metrics["model"].get("name") or "unknown model"),
        readout=found.metrics["readout"],
        examples=examples,
        notes=tuple(images.notes()),
    )
    if out is not None:
        write_explanations(explanations, Path(out))
    return explanations


def write_explanations(found: Explanations, out: Path) -> None:
    """Write explanations as one HTML page, which loads nothing; one that is there is replaced.

    Raises
    ------
    ReportError
        `out` is no HTML file.
    OutputError
        It cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES or out.is_dir():
        raise ReportError(f"{out} is not an HTML file; pass an out that ends in .html")
    page = render(
        *(Path(__file__).parent, "explain.html"),
        content=found,
        masked=MASKED,
        draws=DRAWS,
        levels=LEVELS,
    )
    with output_files({"--out": out}, force=True) as files:
        files["--out"].write_text(page, encoding="utf-8")


def _require_store(result: Evaluated) -> FeatureStore:
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
    if result.split != "test":
        raise ReportError(
            f"{result.folder} is a cross-validation, whose folds have heads of their own; pass the"
            " result of test examples"
        )
    if result.config.train != train_digest(result.store):
        raise ReportError(
            f"{result.folder} has a selection from other training examples than {result.store.path}"
            f" has now; run savs select {result.store.path} and savs evaluate again"
        )
    return result.store


def _pick(result: Evaluated, ids: list[str], *, errors: bool, n: int) -> pl.DataFrame:
    predictions = result.predictions
    if not ids:
        rows = pick_examples(predictions, n, share_wrong=1.0 if errors else 2 / 3)
        rows = rows.filter(~pl.col("correct")) if errors else rows
        if not rows.height:
            raise ReportError(f"{result.folder} has no wrong example; omit --errors")
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
    return rows.sort(pl.col("id").replace_strict(order, return_dtype=pl.Int64))


def _explained(
    row: dict[str, Any],
    evidence: Evidence,
    images: Images,
    shown: Images,
    known: Training,
    readout: str,
) -> Explained:
    return Explained(
        id=row["id"],
        subtask=row["subtask"],
        label=row["label"],
        prediction=row["prediction"],
        votes=best_votes(row["votes"] or []),
        prompt=row["prompt"] or "",
        pictures=images.find(row["id"], row["media"] or []),
        heads=tuple(_head_votes(evidence)),
        similar=tuple(_similar(evidence, shown, known)),
        changes=_changes(evidence) if readout == VOTE else None,
    )


def _add_views(
    found: Evaluated,
    rows: pl.DataFrame,
    examples: Sequence[Explained],
    evidence: dict[str, Evidence],
    media_root: str | Path | None,
    loading: dict[str, Any],
) -> tuple[Explained, ...]:
    """Return examples with where their heads look; one that cannot be looked at says why."""
    model = load_views_model(found.config, loading)
    folder = MediaFolder(Path(str(media_root)))
    media = dict(rows.select("id", "media").iter_rows())
    seen = []
    for one in examples:
        own = evidence[one.id]
        try:
            views = view_example(model, one.prompt, media[one.id] or [], folder, own)
            seen.append(replace(one, views=add_words(model, views, own)))
        except (MediaError, ReportError) as error:
            seen.append(replace(one, unseen=str(error)))
    return tuple(seen)


def _head_votes(evidence: Evidence) -> list[HeadVote]:
    trained = evidence.trained
    classes = trained.selection.classes
    found = []
    for place, (layer, head) in enumerate(trained.selection.heads):
        cosines = evidence.table[place]
        order = np.argsort(-cosines, kind="stable")
        pairs = zip(evidence.nearest[place], evidence.similar[place], strict=True)
        found.append(
            HeadVote(
                rank=place + 1,
                layer=layer,
                head=head,
                name=head_name((layer, head)),
                vote=classes[evidence.votes[place]],
                lead=float(evidence.leads[place]),
                similarity=tuple((classes[c], float(cosines[c])) for c in order),
                nearest=tuple(
                    Neighbour(trained.ids[i], classes[trained.labels[i]], float(cosine))
                    for i, cosine in pairs
                ),
            )
        )
    return found


def _similar(evidence: Evidence, images: Images, known: Training) -> list[TrainingExample]:
    """Return the training examples that most heads have among their nearest ones."""
    trained = evidence.trained
    counts = Counter(evidence.nearest.ravel().tolist())
    best = sorted(counts, key=lambda i: (-counts[i], i))[:SIMILAR]
    return [
        TrainingExample(
            trained.ids[i],
            trained.selection.classes[trained.labels[i]],
            known[trained.ids[i]][1],
            counts[i],
            images.find(trained.ids[i], known[trained.ids[i]][0])[:1],
        )
        for i in best
    ]


def _changes(evidence: Evidence) -> Changes:
    trained = evidence.trained
    classes = trained.selection.classes
    names = [head_name(head) for head in trained.selection.heads]
    flip = smallest_flip(evidence.table, evidence.votes)
    heads = without_each_head(evidence.votes, len(classes))
    examples = without_each_example(
        evidence.features, trained.features, trained.labels, trained.centroids
    )
    return Changes(
        rival=classes[flip.rival],
        heads=tuple(names[rank] for rank in flip.heads),
        lead=flip.lead,
        without_head={names[rank]: classes[other] for rank, other in heads.items()},
        without_example={trained.ids[i]: classes[other] for i, other in examples.items()},
    )
