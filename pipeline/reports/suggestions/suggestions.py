"""`suggest --out next.html`: the images to label next on a page that writes the table of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from savs.datasets.benchmarks.options import stored_prompts
from savs.foundation.errors import command
from savs.pipeline.evaluation.suggest import Suggestions
from savs.pipeline.reports.pages.pictures import Picture, open_images
from savs.pipeline.reports.pages.rendering import write_page
from savs.pipeline.targets import target_of
from savs.stores import FeatureStore

HERE = Path(__file__).parent


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
    """Write the page; one that is there is replaced.

    Its button saves `labels.csv`, with the columns `id` and `label` of the images that got one.

    Raises
    ------
    OutputError
        The page cannot be written.
    """
    split = suggestions.split or "test"
    prompts = stored_prompts(store.manifest.identity.benchmark)
    mark = "#1" if prompts else ""  # an image is there once for each prompt, and here once
    target = target_of(store.manifest.identity.benchmark)
    columns = store.manifest.identity.benchmark.get("options", {}).get("columns", {})
    table = suggestions.table.select(columns.get("id", "id"), "prediction")
    predicted = dict(table.iter_rows())
    names = {name + mark: name for name in predicted}
    images = open_images(store, split, list(names), media_root)
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
    write_page(
        out,
        HERE,
        "suggestions.html",
        script=(HERE / "suggestions.js").read_text("utf-8"),
        cards=cards,
        classes=_classes(store, suggestions),
        given_as=target.given_as,
        command=command("savs", "label", store.path, "labels.csv"),
        notes=[*suggestions.notes, *images.notes()],
        store=str(store.path),
    )


def _classes(store: FeatureStore, suggestions: Suggestions) -> Sequence[str]:
    """Return what a label is one of: classes, labels or levels; nothing where a number is typed."""
    target = target_of(store.manifest.identity.benchmark)
    if target.given_as == "number":
        return ()
    return target.levels(store.examples()["label"]) or suggestions.classes
