"""`suggest`: the images to label next, as a table or a page that writes the table of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeGuard

import polars as pl

from savs.datasets.asked import asked_questions
from savs.datasets.benchmarks.options import stored_prompts
from savs.foundation.errors import ParameterError, command
from savs.foundation.files import real_path
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.evaluation.results import Results
from savs.pipeline.evaluation.stage_two import find_selection
from savs.pipeline.evaluation.suggest import (
    SUFFIXES,
    Suggestions,
    suggest_from_predictions,
    suggest_from_store,
)
from savs.pipeline.names import DEFAULT_SUGGESTED, shows_defaults
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.reports.pages.keys import keys_of
from savs.pipeline.reports.pages.pictures import Picture, open_images
from savs.pipeline.reports.pages.rendering import write_page
from savs.pipeline.running.option_texts import parse_result
from savs.pipeline.running.options import Option
from savs.pipeline.running.output_files import cells_of_lists, new_file
from savs.pipeline.running.progress import SILENT, Reporting
from savs.pipeline.selection.selection import Selection, asked_selection
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets import target_of
from savs.stores import FeatureStore
from savs.stores.format.layout import UNLABELLED
from savs.stores.read.store import AnyStore, as_store

HERE = Path(__file__).parent
SIDE_PX = 240
"""Largest width and height of an image to label."""

PAGE = ".html"
FORMS = (".csv", ".jsonl", PAGE)


@shows_defaults
def suggest(
    store: Annotated[
        AnyStore,
        Option(
            metavar="STORE|RESULT|FILE",
            parse=parse_result,
            fills={"selection": "STORE/results/NAME"},
        ),
    ],
    selection: Annotated[Selection | str | Path | None, Option(level="python")] = None,
    n: Annotated[int, Option(min=1, is_positional=False)] = DEFAULT_SUGGESTED,
    *,
    out: Annotated[str | Path | None, Option(metavar="FILE")] = None,
    media_root: Annotated[str | Path | None, Option(metavar="DIR")] = None,
    force: Annotated[bool, Option(level="python")] = False,
    subtask: Annotated[str | None, Option(level="python")] = None,
    readout: Annotated[str | Path | Readout | None, Option(level="python")] = None,
    reporting: Reporting = SILENT,
) -> Suggestions:
    """Say which examples should get a label next: the least sure, spread out.

    They are those of the split `unlabelled`, or of the test split if there are none. Those that the
    training examples have already, by media and prompt, are left out; those that have a label, too,
    unless all have one. While there are no labels, they are only spread out.

    How sure a prediction is, `Target.sureness` says: of many labels the smallest distance of any to
    its threshold, of numbers the width of the interval.

    Parameters
    ----------
    store
        Feature store, a result in it such as STORE/results/vote, or a .csv, .jsonl or .parquet file
        of predictions.
    selection
        Selection to use: a name in STORE/results, or a folder (default: trained,
        `DEFAULT_READOUT`, or the only one).

        In Python also a selection. A store without one gets a default one, if it has labels.
    n
        Images to suggest, of each subtask.
    out
        Output: a .csv or .jsonl table, or an .html page with the pictures (default: print CSV).
    media_root
        Folder of the images, for a page (default: the store's thumbnails).
    force
        Replace `out`.
    subtask
        Only this subtask, or this prompt of several.
    readout
        Readout of a selection that is made if the store has none.
    reporting
        Receives notes.

    Raises
    ------
    ParameterError
        `n` is below 1, or an argument has no meaning here.
    SelectionError
        The selection belongs to another model or prompt, or has no such subtask.
    StoreIncompleteError
        The store has neither split, or a shard is missing.
    OutputError
        `out` is there, or cannot be written.
    """
    if n < 1:
        raise ParameterError(f"`n` is {n}, expected at least 1")
    place = None if out is None else Path(out)
    form = "" if place is None else place.suffix.lower()
    if place is not None and form not in FORMS:
        raise ParameterError(f"`out` is {str(out)!r}, expected a name in {' or '.join(FORMS)}")
    if place is not None and place.is_dir():
        raise OutputError(f"{place} is a folder; pass the name of a file as `out`")
    if place is not None and place.exists() and not force:
        raise OutputError(f"{place} exists; remove it, or pass another `out`")
    if media_root is not None and form != PAGE:
        raise ParameterError("`media_root` is for the pictures of a page; pass `out` FILE.html")
    if is_predictions(store):
        for name, value in (("selection", selection), ("subtask", subtask)):
            if value is not None:
                raise ParameterError(f"`{name}` is for a store; {store} is a file")
        if form == PAGE:
            raise ParameterError(f"a page needs a store; {store} is a file")
        suggestions = suggest_from_predictions(store, n)
    else:
        opened = as_store(store)
        opened.require_complete()
        chosen = _selection(opened, selection, readout, reporting)
        suggestions = suggest_from_store(opened, chosen, n, subtask=subtask)
    if place is not None and form == PAGE:
        write_suggestions(as_store(store), suggestions, out=place, media_root=media_root)
    elif place is not None:
        with new_file(place, replace=force) as partial:
            table = suggestions.table
            text = table.write_ndjson() if form == ".jsonl" else cells_of_lists(table).write_csv()
            partial.write_text(text, encoding="utf-8")
    return suggestions


def is_predictions(source: Any) -> TypeGuard[str | Path]:
    """Return whether a source is a file of predictions, and no store."""
    if not isinstance(source, str | Path):
        return False
    return Path(source).suffix.lower() in SUFFIXES and not Path(source).is_dir()


def _selection(
    store: FeatureStore,
    selection: Selection | str | Path | None,
    readout: str | Path | Readout | None,
    reporting: Reporting,
) -> Selection | None:
    """Return the selection that says how sure predictions are; None without labels or answers."""
    if isinstance(selection, Selection):
        return selection
    results, is_named = Results(store.path), selection is not None
    saved = results.find(selection) if is_named else results.default if readout is None else None
    if saved is None and not _has_classes(store):
        return asked_selection(store) if asked_questions(store.benchmark) else None
    target = target_of(store.benchmark)
    rule = choose_readout(readout or target.default_readout)
    return find_selection(store, rule, saved, reporting, is_named=is_named)


def _has_classes(store: FeatureStore) -> bool:
    """Return whether a classifier can be made; without training examples, `classify` saved one."""
    if not store.ids("train"):
        return UNLABELLED not in store.splits
    try:
        return bool(StoredTraining(store).tasks())
    except SelectionError:
        return False  # of one class or label, all examples say the same


@dataclass(frozen=True, slots=True)
class Card:
    """One image to label."""

    id: str
    subtask: str | None
    question: str
    prediction: str | None
    names: tuple[str, ...]
    """The labels that it says, one or many."""
    pictures: tuple[Picture, ...]


def write_suggestions(
    store: FeatureStore,
    suggestions: Suggestions,
    *,
    out: Path,
    media_root: str | Path | None = None,
) -> None:
    """Write the page; one that is there is replaced. OutputError if it cannot be written.

    Its button saves `labels.csv`, with the columns `id` and `label` of the images that got one.
    """
    split = suggestions.split or "test"
    prompts = stored_prompts(store.benchmark)
    mark = "#1" if prompts else ""  # an image is there once for each prompt, and here once
    target = target_of(store.benchmark)
    columns = store.benchmark.get("options", {}).get("columns", {})
    table = suggestions.table.select(columns.get("id", "id"), "prediction")
    predicted = dict(table.iter_rows())
    names = {name + mark: name for name in predicted}
    images = open_images(store, split, list(names), media_root, side=SIDE_PX)
    wanted = store.examples(split).filter(pl.col("id").is_in(list(names)))
    rows = {row["id"]: row for row in wanted.iter_rows(named=True)}
    cards = [
        Card(
            id=name,
            subtask=None if prompts else rows[stored]["subtask"],
            question=" / ".join(prompts) or rows[stored]["prompt"],
            prediction=predicted[name],
            names=tuple(target.named(predicted[name]) or ()),
            pictures=images.find(stored, rows[stored]["media"]),
        )
        for stored, name in names.items()
    ]
    classes = _classes(store, suggestions)
    questions = {card.question for card in cards}
    title = ": ".join([real_path(store.path).name, *(questions if len(questions) == 1 else ())])
    write_page(
        out,
        HERE,
        "suggestions.html",
        script=(HERE / "suggestions.js").read_text("utf-8"),
        cards=cards,
        classes=classes,
        keyed=list(zip(classes, keys_of(classes), strict=False)),
        given_as=target.given_as,
        command=command("savs", "label", store.path, "labels.csv"),
        notes=[*suggestions.notes, *images.notes()],
        title=title,
    )


def _classes(store: FeatureStore, suggestions: Suggestions) -> Sequence[str]:
    """Return what a label is one of: classes, labels or levels; nothing where a number is typed."""
    target = target_of(store.benchmark)
    if target.given_as == "number":
        return ()
    return target.levels(store.examples()["label"]) or suggestions.classes
