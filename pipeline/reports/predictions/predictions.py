"""`PredictionPage`: predictions of new images with their pictures, the least sure first.

The page shows at most `examples` predictions, so its size is bounded however many there are. Its
pictures are those of the files that this run was given, if they have the content that the model
read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import polars as pl

from savs.datasets.benchmarks.options import without_prompt
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.prediction_table import Predicted
from savs.pipeline.names import DEFAULT_PREDICTIONS
from savs.pipeline.reports.pages.pictures import Images, KnownImages, Picture, known_images
from savs.pipeline.reports.pages.rendering import render, require_page
from savs.pipeline.reports.predictions.timelines import (
    MOST_CLIPS,
    Timeline,
    draw_timeline,
    find_clips,
    strip_images,
)
from savs.pipeline.running.formatting import counted
from savs.pipeline.selection.selection_config import model_heads
from savs.pipeline.targets import Target
from savs.pipeline.targets.calibration import calibration_of
from savs.pipeline.targets.one import CLASSIFIED_SCHEMA
from savs.pipeline.targets.target import best_votes, in_schema
from savs.pipeline.targets.tasks import Share
from savs.stores.format.layout import Facts

MOST_BYTES = 12_000_000
"""Bytes of all pictures of a page; in base64 a third more."""
MOST_SKIPPED = 200
"""Most skipped examples that are listed."""
ENDS = {"low": pl.Float64, "high": pl.Float64}
"""Columns of a number's interval."""
MOST_CLASSES = 60
"""Most classes that are counted."""
LONGEST_TITLE = 120
"""Characters of a question that is the title."""


@dataclass(frozen=True, slots=True)
class Card:
    """A prediction on the page."""

    id: str
    media: tuple[str, ...]
    subtask: str | None
    prediction: str
    interval: tuple[float, float] | None
    """That of a number, if it is known."""
    probability: float | None
    votes: tuple[Share, ...]
    """Votes, or calibrated probabilities."""
    prediction_set: tuple[str, ...]
    unsure: bool | None
    typicality: float | None
    atypical: bool
    pictures: tuple[Picture, ...]

    @property
    def kinds(self) -> str:
        """What the page's filter finds it by."""
        return ",".join(
            name for name, is_so in (("unsure", self.unsure), ("atypical", self.atypical)) if is_so
        )


@dataclass(frozen=True, slots=True)
class PredictionContent:
    """The whole page."""

    source: str
    """Name of the store that has all predictions."""
    model: str
    readout: str
    heads: int
    prompts: tuple[str, ...]
    counts: tuple[tuple[str | None, str, int], ...]
    """Subtask, class and number of predictions, the most frequent first."""
    predictions: int
    unsure: int | None
    """Predictions whose set has not exactly one class; None without a risk."""
    atypical: int
    cards: tuple[Card, ...]
    skipped: tuple[tuple[str, str], ...]
    """Id and reason of the first skipped examples."""
    all_skipped: int
    target: Target
    is_calibrated: bool
    timelines: tuple[Timeline, ...]
    """Of the first videos that were divided into windows."""
    clips: int
    """Videos that were, each once for a subtask."""
    notes: tuple[str, ...]
    """About the pictures."""

    @property
    def title(self) -> str:
        """The question, where all examples have the same, else the name of the page."""
        one_line = len(self.prompts) == 1 and 0 < len(self.prompts[0]) <= LONGEST_TITLE
        return self.prompts[0] if one_line else self.source.removesuffix(".html.store")

    @property
    def heading(self) -> str:
        """The number of predictions, and the classes."""
        names = list(dict.fromkeys(name for _, name, _ in self.counts))
        return f"{counted(self.predictions, 'prediction')}: {self.target.range_of(names)}"

    @property
    def has_intervals(self) -> bool:
        """Whether predictions are numbers with an interval, not classes with votes."""
        return has_intervals(self.target)

    @property
    def what_votes_are(self) -> str:
        """What the page shows of each class."""
        shares = [share for card in self.cards for share in card.votes]
        return "probabilities" if shares and shares[0].text.endswith("%") else "votes"

    @property
    def classes(self) -> tuple[str, ...]:
        """The predictions that are shown; their numbers filter the page."""
        return tuple(sorted({card.prediction for card in self.cards}))

    @property
    def subtasks(self) -> tuple[str, ...]:
        """The subtasks that are shown."""
        names = (card.subtask for card in self.cards)
        return tuple(name for name in dict.fromkeys(names) if name is not None)

    @property
    def has_typicality(self) -> bool:
        """Whether the classifier knows how typical an image is."""
        return any(card.typicality is not None for card in self.cards)


@dataclass(frozen=True, slots=True)
class PredictionPage:
    """The form of an output of `classify` that is one HTML page with pictures.

    It contains its images and loads nothing. With a risk the unsure predictions come first, then
    those with the lowest probability; of levels of a scale those with the widest intervals.

    Raises
    ------
    ParameterError
        `examples` is below 1.
    """

    examples: int = DEFAULT_PREDICTIONS
    """Most predictions that are shown: the least sure ones."""

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise ParameterError(f"`n` is {self.examples}, expected at least 1")

    @property
    def settings(self) -> Facts:
        """The number of predictions that are shown."""
        return {"page": self.examples}

    def require_name(self, path: Path) -> None:
        """Raise ReportError unless the page can be written under this name."""
        require_page(path)

    def write(self, predicted: Predicted, out: Path, file: Path) -> None:
        """Write the page into a file."""
        here = Path(__file__).parent
        script = (here / "predictions.js").read_text("utf-8")
        content = page_content(predicted, out, self.examples)
        variables = {"content": content, "most_classes": MOST_CLASSES}
        file.write_text(
            render(here, "predictions.html", script=script, **variables), encoding="utf-8"
        )


def page_content(predicted: Predicted, out: Path, examples: int) -> PredictionContent:
    """Return what a page shows; votes and pictures of no more than `examples` are in memory."""
    table = predicted.table
    target, has_subtasks = predicted.selection.target, "subtask" in table.collect_schema()
    if not (has_subtasks and len(predicted.selection.tasks) > 1):
        table = table.with_columns(subtask=pl.lit(None, pl.String))
    schema = CLASSIFIED_SCHEMA | ENDS
    width = pl.col("high") - pl.col("low")
    table = in_schema(table, schema).with_columns(margin=pl.col("margin").fill_null(-width))
    facts = ("id", "subtask", "prediction", "unsure", "probability", "margin", "atypical", "reason")
    medium = pl.col("media").list.first().alias("medium")
    rows = table.select(*facts, medium).with_row_index("row").collect()
    known = rows.filter(pl.col("prediction").is_not_null())
    skipped = rows.filter(pl.col("prediction").is_null())
    # false is before true; without a risk `unsure` is null everywhere
    order = known.sort(
        ~pl.col("unsure"), "probability", "margin", maintain_order=True, nulls_last=True
    )
    least_sure = _rows(table, order.head(examples)["row"])
    images = _images(predicted, least_sure["id"])
    tasks = predicted.selection.tasks
    temperatures = {
        task.subtask if has_subtasks and len(tasks) > 1 else None: getattr(
            calibration_of(task.decision), "temperature", None
        )
        for task in tasks
    }
    cards = tuple(_card(row, images, temperatures) for row in least_sure.iter_rows(named=True))
    counts = known.group_by("subtask", "prediction").len()
    counts = counts.sort("len", "subtask", "prediction", descending=[True, False, False])
    classes: dict[str | None, list[str]] = {}
    for subtask, name, _ in counts.iter_rows():
        classes.setdefault(subtask, []).append(name)
    clips = find_clips(known)
    first = dict(islice(clips.items(), MOST_CLIPS))
    of_clips = _rows(table, pl.Series([*chain(*first.values())], dtype=rows["row"].dtype))
    strips = strip_images(predicted.folders, _known(predicted, of_clips["id"]))
    windows = iter(of_clips.iter_rows(named=True))
    timelines = tuple(
        draw_timeline(
            clip if subtask is None else f"{clip}, {subtask}",
            [*islice(windows, len(numbers))],
            strips,
            temperature=temperatures.get(subtask),
            classes=None if has_intervals(target) else classes.get(subtask, []),
        )
        for (clip, subtask), numbers in first.items()
    )
    unsure = known["unsure"]
    return PredictionContent(
        source=f"{out.name}.store",
        model=str(predicted.store.manifest.identity.model["name"]),
        readout=predicted.selection.readout,
        heads=len(model_heads(predicted.selection.heads)),
        prompts=tuple(least_sure["prompt"].unique(maintain_order=True).drop_nulls().head(3)),
        counts=tuple(counts.iter_rows()),
        predictions=known.height,
        unsure=None if unsure.null_count() == known.height else int(unsure.sum()),
        atypical=int(known["atypical"].sum()),
        cards=cards,
        skipped=tuple(skipped.head(MOST_SKIPPED).select("id", "reason").iter_rows()),
        all_skipped=skipped.height,
        target=target,
        is_calibrated=all(task.decision is not None and task.decision.is_fitted for task in tasks),
        timelines=timelines,
        clips=len(clips),
        notes=tuple(images.notes()),
    )


def has_intervals(target: Target) -> bool:
    """Return whether predictions are numbers with an interval, not classes with votes."""
    return ENDS.keys() <= target.new_schema.keys()


def _rows(table: pl.LazyFrame, numbers: pl.Series) -> pl.DataFrame:
    """Return some rows of a table, in the order of their numbers."""
    places = {row: place for place, row in enumerate(numbers)}
    some = table.with_row_index("row").filter(pl.col("row").is_in(numbers.implode())).collect()
    return some.sort(pl.col("row").replace_strict(places, return_dtype=pl.Int64))


def _images(predicted: Predicted, ids: pl.Series) -> Images:
    """Return the finder of pictures: of the files of this run, or of the store's thumbnails."""
    return Images(
        predicted.folders,
        _known(predicted, ids),
        left=MOST_BYTES,
        hint="Give the same command all images, and files that can still be read.",
    )


def _known(predicted: Predicted, ids: pl.Series) -> KnownImages:
    """Return what the store has of the images of some examples."""
    rows = predicted.store.examples("test")
    if len(predicted.selection.tasks) > 1:  # the store has an image once for each task
        rows = rows.with_columns(id=without_prompt(pl.col("id")))
    rows = rows.filter(pl.col("id").is_in(ids.implode())).unique("id", maintain_order=True)
    return known_images(rows)


def _card(
    row: dict[str, Any], images: Images, temperatures: Mapping[str | None, float | None]
) -> Card:
    return Card(
        id=row["id"],
        media=tuple(row["media"]),
        subtask=row["subtask"],
        prediction=row["prediction"],
        interval=None if row["low"] is None else (row["low"], row["high"]),
        probability=row["probability"],
        votes=best_votes(row["votes"] or [], row["probability"], temperatures.get(row["subtask"])),
        prediction_set=tuple(row["prediction_set"] or ()),
        unsure=row["unsure"],
        typicality=row["typicality"],
        atypical=bool(row["atypical"]),
        pictures=images.find(row["id"], row["media"]),
    )
