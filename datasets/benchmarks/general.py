"""`general`: your own images or sounds, questions and labels, in columns of any names."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.errors import OptionError
from savs.datasets.example import with_media
from savs.datasets.media_kinds.catalogue import COLUMNS, KIND_OF_COLUMN, KINDS
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, MediumKind, list_column
from savs.datasets.metrics.metrics import (
    CLASS_METRICS,
    SCORED,
    Classes,
    Units,
    accuracy,
    class_metrics,
    subtask_accuracies,
)
from savs.datasets.metrics.ranking import ranking_metrics
from savs.datasets.row import PackedMedium, Row
from savs.datasets.rows.boxes import boxed_name
from savs.datasets.rows.label_kinds import A_CLASS_EACH, OPTION, Labels
from savs.datasets.rows.media_names import kind_of_name


def _media_fields(kind: MediumKind) -> dict[str, str]:
    """Return the fields that name media of a kind."""
    mark = f"`{kind.mark}` in the question marks the position of each"
    return {kind.column: kind.one, list_column(kind.column): f"list of names; {mark}; not in CSV"}


FIELDS = {
    "id": "optional: unique in the file; without it rows are `<file stem>:<row>`",
    **_media_fields(IMAGES),
    "box": "optional: the part of `image` that the row is about, [x0, y0, x1, y1] in pixels, or in"
    " shares with a decimal point",
    **{
        field: text
        for kind in KIND_OF_COLUMN.values()
        for field, text in _media_fields(kind).items()
        if kind is not IMAGES
    },
    "question": "the prompt",
    "label": "the class, any text; null or empty in a test file without labels",
    "group": "optional: examples that are not independent have the same group",
    "subtask": "optional: heads are selected separately for each subtask",
    "category": "optional: kept with the predictions",
}
"""Field -> description. A field is read from the column of its name unless the user maps it."""
FIELD_COLUMNS = {field: field for field in FIELDS}
"""Field -> the column of its name."""
TEST_ALONE = ("id", "group", "category")
"""Fields that a training file may lack even if the test file has them."""
NAMES_MEDIA = re.compile(
    "|".join(("path", "file", "media", "url", *(w for kind in KINDS for w in kind.column_words))),
    re.IGNORECASE,
)
"""Columns that are probably meant to be read as media."""
MEDIA = tuple(name for column in COLUMNS for name in (column, list_column(column)))
"""Fields with media. One of them is enough where a column is mapped."""


def parse_row(
    row: Row,
    columns: Mapping[str, str],
    question: str | None,
    labels: Labels = A_CLASS_EACH,
) -> Iterator[Fields]:
    """Read the media, question, label and optional fields of a row from the `columns` of fields.

    `question` is the prompt of every row, for files without one; `labels` is what labels are.
    """
    row_question = _question(row, columns["question"]) if question is None else question
    prompt, media = marked_media(row, row_question, columns)
    yield Fields(
        id=row.optional(columns["id"]),
        label=_label(row, columns, labels),
        prompt=prompt,
        media=media,
        group=row.optional(columns["group"]),
        subtask=row.optional(columns["subtask"]),
        category=row.optional(columns["category"]),
    )


def marked_media(row: Row, prompt: str, columns: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return a prompt that marks all media but images, and a row's media as their marks stand."""
    named = named_media(row, columns)
    try:
        return with_media(prompt, named)
    except ValueError as error:
        raise row.error(str(error), "use one placeholder per medium, or none") from error


def named_media(row: Row, columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the media of a row by the field that names them."""
    return {
        column: image_names(row, columns)
        if column == IMAGE_COLUMN
        else row.names(columns[column], columns[list_column(column)])
        for column in COLUMNS
    }


def image_names(row: Row, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return a row's images; in a row with a field `box`, that part of its one image."""
    images, column = row.names(columns["image"], columns["images"]), columns["box"]
    if column not in row.values:
        return images
    if len(images) != 1:
        raise row.error(
            f"field {column!r} is a box, and the row has {len(images)} images",
            "give a box to rows of one image, or rename the column",
        )
    return (boxed_name(images[0], row.values[column]),)


def _label(row: Row, columns: Mapping[str, str], labels: Labels) -> str | None:
    """Return the label; None if its column is there, but null or empty."""
    if not labels.kind.are_classes and row.optional(columns["subtask"]) is not None:
        raise row.error(
            f"it has a subtask and {labels.kind.a_row_has}", "drop the column of the subtask"
        )
    return labels.read(row, columns["label"])


def _question(row: Row, column: str) -> str:
    """Return the prompt; RowError that says how to map it where its column is missing."""
    if column not in row.values:
        raise row.error(
            f"field {column!r} is missing",
            f"the row has the fields {row.fields}; name one with `columns` question=NAME, or pass"
            " `question` TEXT to ask the same of all",
        )
    return row.text(column)


def check_rows(
    rows: Sequence[Row], split: str, columns: Mapping[str, str], question: str | None
) -> None:
    """Check that a split has the columns that the user mapped, its media and only one question.

    Raises
    ------
    OptionError
        A mapped column is missing, two places give the question, or a column that no field reads
        has media.
    """
    present = dict.fromkeys(column for row in rows for column in row.values)
    if question is not None and "question" in present:
        first = next(row for row in rows if "question" in row.values)
        raise OptionError(
            f"{first.where}: the file has a column 'question', but `question` is set, too; drop one"
            " of the two"
        )
    wanted = {
        field: column
        for field, column in columns.items()
        if not (split == "train" and field in TEST_ALONE)
        and not (split == "unlabelled" and field == "label")
    }
    media = [wanted[field] for field in MEDIA if field in wanted]
    has_media = any(column in present for column in media)
    for field, column in wanted.items():
        if column not in present and not (field in MEDIA and has_media):
            raise OptionError(
                f"{rows[0].where} and the other {split} rows have no column {column!r}, which"
                f" `columns` {field}={column} names; they have:"
                f" {', '.join(present) or 'no columns'}"
            )
    if not has_media and not any(field in present for field in MEDIA):
        _require_text_alone(rows, split, set(columns.values()))


def _require_text_alone(rows: Sequence[Row], split: str, read: Container[str]) -> None:
    """Raise OptionError if a column names media, and no field is `read` from it."""
    for row in rows[:3]:
        for column, value in row.values.items():
            if column in read or column in FIELDS:
                continue
            name = value.name if isinstance(value, PackedMedium) else str(value)
            kind = kind_of_name(name)
            if isinstance(value, PackedMedium) or (NAMES_MEDIA.search(column) and kind is not None):
                field = IMAGE_COLUMN if kind is None else kind.column
                raise OptionError(
                    f"{row.where} and the other {split} rows have no column"
                    f" {' or '.join(map(repr, COLUMNS))}, and"
                    f" {column!r} names a medium, {name!r:.100}; map it: `columns`"
                    f" {field}={column}; if the rows are texts alone, drop {column!r} or read it"
                    f" as another field: `columns` category={column}"
                )


def measure(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Accuracy and balanced accuracy; with subtasks, the accuracy of each and their mean."""
    if predictions["subtask"].null_count():
        return class_metrics(predictions, classes)
    return [accuracy(predictions, classes), *subtask_accuracies(predictions, classes)]


def measure_positive(predictions: pl.DataFrame, classes: Classes, *, positive: str) -> list[Units]:
    """Return the metrics `RANKED` of a class, then those of `measure`; with subtasks over all."""
    ranked = ranking_metrics(predictions, classes, positive)[:-1]
    return [*ranked, *measure(predictions, classes)]


def with_positive(benchmark: Benchmark, positive: str) -> Benchmark:
    """Return a benchmark with the metrics that rank examples by their positive class."""
    return replace(
        benchmark, measure=partial(measure_positive, positive=positive), reads=(*SCORED, "votes")
    )


def general(
    columns: Mapping[str, str] | None = None,
    question: str | None = None,
    labels: Labels = A_CLASS_EACH,
) -> Benchmark:
    """Return the benchmark with the user's columns or question, part of a store's identity.

    `columns` maps a field to the column that holds it, `question` is the prompt of every row where
    the files have none, and `labels` is what labels are.

    Raises
    ------
    OptionError
        A field is unknown, one and several media are the same column, or the question is empty. Or
        labels have columns of their own, and `label` is mapped.

    Examples
    --------
    >>> general({"question": "prompt", "label": "label"}).options
    {'columns': {'question': 'prompt'}}
    """
    mapped = dict(columns or {})
    unknown = [field for field in mapped if field not in FIELDS]
    if unknown:
        raise OptionError(f"columns has {unknown[0]!r}, expected some of {', '.join(FIELDS)}")
    if question is not None and "question" in mapped:
        raise OptionError("`columns` question=... and `question` both give the prompt; keep one")
    if question is not None and not question.strip():
        raise OptionError("`question` is empty; pass the prompt of all rows")
    names = FIELD_COLUMNS | mapped
    for one, many in ((column, list_column(column)) for column in COLUMNS):
        if names[one] == names[many]:
            raise OptionError(
                f"`columns` {one}=... and `columns` {many}=... both name {names[one]!r}; keep {one}"
                f" if the column holds names, {many} if it holds lists of names"
            )
    positive, of_labels = labels.form.get("positive"), labels.kind.columns(labels.form)
    if of_labels and "label" in mapped:
        raise OptionError("`columns` label=... and `label_columns` both give the labels; keep one")
    named = {field: names[field] for field in FIELDS if names[field] != field}
    described = {names[field]: what for field, what in FIELDS.items()}
    described |= of_labels
    benchmark = replace(
        GENERAL,
        columns=described,
        parse_row=partial(parse_row, columns=names, question=question, labels=labels),
        check_rows=partial(check_rows, columns=named, question=question),
        options=({"columns": named} if named else {})
        | ({} if question is None else {"question": question})
        | ({OPTION: dict(labels.form)} if labels.form else {}),
    )
    return benchmark if positive is None else with_positive(benchmark, positive)


GENERAL = Benchmark(
    name="general",
    summary="your own images or sounds, questions and labels",
    columns=FIELDS,
    parse_row=partial(parse_row, columns=FIELD_COLUMNS, question=None),
    check_rows=partial(check_rows, columns={}, question=None),
    measure=measure,
    reads=SCORED,
    about=About(
        task="classification of your own images, videos or sounds, with questions",
        metrics=(*CLASS_METRICS, "accuracy of each subtask, and their mean"),
        sizes="yours",
        source="yours",
        licence="yours",
        files="--train and --test: .jsonl, .json (also COCO, bbox [x, y, width, height]), .csv,"
        " .parquet or .tar; or --test with --shots from one file",
        sample={
            "image": "cats/001.jpg",
            "question": "Is the animal in the picture asleep?",
            "label": "asleep",
        },
    ),
)
