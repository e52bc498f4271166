"""The labels of imported features: rows of a file, matched with the rows of the features."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from savs.datasets import Example, RowError
from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.benchmarks.general import FIELDS, general, parse_row
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.plugin_guard import parse_fields
from savs.foundation.frames import scan_parquet
from savs.pipeline.errors import ImportFileError
from savs.pipeline.inputs.importing.feature_file import FeatureFile
from savs.pipeline.inputs.importing.feature_files import damage
from savs.stores.format.layout import CLASSES, SPLITS, TEXTS_OF_FILE, TEXTS_OF_NAMES

SPLIT = "split"
"""Field of a row that says where it belongs."""
IMPORTED_SPLITS = (*SPLITS, CLASSES)
Placed = tuple[int, Example]
"""Row of the features, and the example that it is of."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The examples of a file of features."""

    splits: Mapping[str, Sequence[Placed]]
    """Split -> its examples, in the order of the features."""
    by_id: bool
    """Whether rows were matched by id, not by their order."""


def read_labels(
    features: FeatureFile,
    labels: Path | None,
    columns: Mapping[str, str] | None,
    split: str | None,
) -> Labelled:
    """Read the examples that features are of.

    Rows are matched by `id` where both files have it, else by their order.

    Parameters
    ----------
    features
        The features.
    labels
        A JSON Lines, JSON, CSV or Parquet file with the fields of `general`, of which only `label`
        is required, and `split`. None for the other columns of a Parquet file of features. Rows of
        the split `classes` are texts of their label, which stands for a question that is not given.
    columns
        Field of `general` -> its column.
    split
        That of all rows, in place of the field.

    Raises
    ------
    ImportFileError
        The files have other rows or ids, or there are no labels.
    DatasetError
        The labels cannot be read, a row is malformed, or a split is unknown.
    """
    rows = _own_rows(features) if labels is None else read_rows(labels)
    benchmark = _benchmark(rows, columns)
    column = (columns or {}).get("id", "id")
    by_id = features.ids is not None and any(row.values.get(column) for row in rows)
    question = (columns or {}).get("question", "question")
    examples = [_example(benchmark, row, question, split) for row in rows]
    if by_id:
        places = _places(features, labels, [example.id for example in examples])
    elif len(examples) != features.rows:
        raise ImportFileError(
            f"{labels or features.path} has {len(examples):,} rows, {features.path} has features of"
            f" {features.rows:,}; expected one row for each, in the same order, or an id in both"
        )
    else:
        places = range(features.rows)
        if features.ids is not None:
            examples = [replace(e, id=i) for e, i in zip(examples, features.ids, strict=True)]
    return Labelled(_by_split(sorted(zip(places, examples, strict=True), key=_place)), by_id)


def _place(placed: Placed) -> int:
    return placed[0]


def _own_rows(features: FeatureFile) -> list[Row]:
    """Return the columns of a Parquet file of features that are plain values, as rows."""
    if not features.others:
        raise ImportFileError(f"{features.path} holds no labels; pass --labels FILE")
    with damage(features.path):
        frame = scan_parquet(features.path).select(features.others)
        schema = frame.collect_schema()
        plain = [n for n, t in schema.items() if not t.is_nested() and t != pl.Binary]
        table = frame.select(plain).collect()
    stem = features.path.stem
    return [
        Row(f"{features.path} row {number}", number, values, stem)
        for number, values in enumerate(table.iter_rows(named=True))
    ]


def _benchmark(rows: Sequence[Row], columns: Mapping[str, str] | None) -> Benchmark:
    """Return `general` with the user's columns, which asks for no question."""
    found = general(columns)
    if found.check_rows is not None:
        found.check_rows(rows, "test")
    names = {field: (columns or {}).get(field, field) for field in FIELDS}
    return replace(found, parse_row=partial(parse_row, columns=names, question=""))


def _example(benchmark: Benchmark, row: Row, question: str, split: str | None) -> Example:
    found = row.choice(SPLIT, IMPORTED_SPLITS) if split is None else split
    (fields,) = parse_fields(benchmark, row)
    if found == CLASSES:
        return _class_text(row, fields, row.optional(question))
    return Example(
        id=fields.id or row.id,
        split=found,
        index=0,
        label=fields.label,
        prompt=row.optional(question) or "",
        media=fields.media,
        group=fields.group if found != "train" else None,
        subtask=fields.subtask,
        category=fields.category,
        extra=row.rest([*benchmark.columns, SPLIT]),
    )


def _class_text(row: Row, fields: Fields, text: str | None) -> Example:
    """Return the text of a class, of the kind that the readouts of names look for."""
    if fields.label is None or fields.media:
        raise RowError(f"{row.where}: a text of a class has a label and no image; correct the row")
    return Example(
        id=fields.id or row.id,
        split=CLASSES,
        index=0,
        label=fields.label,
        prompt=text or fields.label,
        subtask=fields.subtask,
        category=TEXTS_OF_NAMES if text is None else TEXTS_OF_FILE,
    )


def _places(features: FeatureFile, labels: Path | None, ids: Sequence[str]) -> list[int]:
    """Return the row of each id in the features; ImportFileError unless both have the same ids."""
    known = features.ids or ()
    places = {name: row for row, name in enumerate(known)}
    for path, names in ((features.path, known), (labels or features.path, ids)):
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise ImportFileError(f"{path} has the id {twice!r} twice; ids must be unique")
    for here, there, names in (
        (labels, features.path, set(ids) - set(known)),
        (features.path, labels, set(known) - set(ids)),
    ):
        if names:
            raise ImportFileError(
                f"{len(names):,} ids of {here} are not in {there}, such as {min(names)!r}; expected"
                " the same ids in both"
            )
    return [places[name] for name in ids]


def _by_split(placed: Sequence[Placed]) -> dict[str, list[Placed]]:
    found: dict[str, list[Placed]] = {}
    seen: set[tuple[str, str]] = set()
    for row, example in placed:
        if (example.split, example.id) in seen:
            raise RowError(
                f"{example.split} example {example.id!r} occurs twice; give each row an id of its"
                " own, or none"
            )
        seen.add((example.split, example.id))
        own = found.setdefault(example.split, [])
        own.append((row, replace(example, index=len(own))))
    return {split: found[split] for split in IMPORTED_SPLITS if split in found}
