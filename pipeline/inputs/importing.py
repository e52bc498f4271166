"""Features of a file become a store, on which all commands of stage 2 work."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from savs.datasets import (
    Example,
    MediaFolder,
    RowError,
    check_splits,
    find_leaks,
    unknown_labels,
)
from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.benchmarks.general import FIELDS, general, parse_row
from savs.datasets.label_kinds import OPTION, label_kind
from savs.datasets.media.media import MediaRules
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.plugin_guard import parse_fields
from savs.datasets.splits.labels import label_doubts
from savs.datasets.splits.shared_media import content_table, digests_of, media_names
from savs.foundation.arrays import Array
from savs.foundation.frames import collect_rows, scan_parquet
from savs.foundation.progress import track
from savs.pipeline.errors import ImportFileError
from savs.pipeline.inputs.feature_files import FeatureFile, Layers, damage, open_features
from savs.pipeline.inputs.input_options import labels_form
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.pipeline.names import IMPORTED
from savs.stores import FeatureStore, Identity, Manifest, ShardContent, head_name, open_store
from savs.stores.format.layout import CLASSES, LOGIT_SCALE, SPLITS, TEXTS_OF_FILE, TEXTS_OF_NAMES
from savs.stores.format.plan import ShardSpec, make_plan
from savs.stores.shard.content import is_finite
from savs.stores.write.opening import whole_store

SHARD_ROWS = 256
"""Of every imported store, so that `merge` joins them, whatever their sizes."""
DIGESTS, FILEPATH = "media_sha256", "filepath"
"""Columns of `savs export`: SHA-256 of the media that the model read, and where the first was."""
SHA256 = re.compile("[0-9a-f]{64}")
SPLIT = "split"
"""Field of a row that says where it belongs."""
IMPORTED_SPLITS = (*SPLITS, CLASSES)
Placed = tuple[int, Example]
"""Row of the features, and its example."""
Digests = Mapping[str, Mapping[str, str]]
"""Split -> name of a medium -> its SHA-256; media of two splits may have one name."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A store of imported features."""

    store: FeatureStore
    """The store, open for reading."""
    notes: tuple[str, ...]
    """What a user should know: how rows were matched, what is doubtful, leaks."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The examples of a file of features."""

    splits: Mapping[str, Sequence[Placed]]
    """Split -> its examples, in the order of the features."""
    by_id: bool
    """Whether rows were matched by id, not by their order."""
    digests: Digests
    """Of the media whose digests the file has, as `savs export` writes them."""


def import_features(
    features: str | Path,
    labels: str | Path | None = None,
    *,
    out: str | Path,
    model: str | None = None,
    split: str | None = None,
    logit_scale: float | None = None,
    columns: Mapping[str, str] | None = None,
    task: str | None = None,
    positive: str | None = None,
    label_separator: str | None = None,
    label_columns: Sequence[str] | None = None,
    media_root: str | Path | None = None,
    allow_outside: bool = False,
) -> Imported:
    """Write features that another program computed as a store.

    Memory holds the labels, and the features of one shard.

    Parameters
    ----------
    features
        A `.npy` or `.safetensors` file with an array `(examples, width)`, `(examples, heads,
        width)` or `(examples, layers, heads, width)` of float16, bfloat16, float32 or float64,
        which is kept as float32; or a `.safetensors` or `.parquet` file with an array or a column
        of lists a head.
    labels
        A JSON Lines, JSON, CSV or Parquet file with `label` and `split` (`train`, `test`, or
        `classes` for texts of the classes), and the other fields of `general`, all optional.
        Without it they are columns of a Parquet file of features.
    out
        The store's folder: new, or empty.
    model
        The name of what computed the features; the stem of their file by default. Stores of
        another model cannot be merged, and no selection is applied to them.
    split
        `train`, `test` or `classes`, of all rows, where they do not say so.
    logit_scale
        What a dual encoder multiplies cosines by, for readouts such as `clip`: 100 of most.
    columns
        Field -> the column that holds it: `{"label": "class"}`.
    task, positive, label_separator, label_columns
        What labels are, see `InputOptions`; one of them.
    media_root, allow_outside
        Where media that the labels name are looked up, to find examples that share one; the folder
        of the labels by default. Those that are not there are compared by name.

    Raises
    ------
    ImportFileError
        Features that cannot be read or stored, rows that do not match, or a scale that is not
        above 0.
    DatasetError
        Labels that cannot be read.
    StoreMismatchError
        `out` is not empty.
    StoreWriteError
        The folder cannot be written; nothing is left of the store.

    Examples
    --------
    >>> import_features("clip.npy", "labels.csv", out="clip").store  # doctest: +SKIP
    """
    if split is not None and split not in IMPORTED_SPLITS:
        raise ImportFileError(f"`split` is {split!r}, expected {' or '.join(IMPORTED_SPLITS)}")
    if logit_scale is not None and not 0 < logit_scale < math.inf:
        raise ImportFileError(f"`logit_scale` is {logit_scale}, expected a number above 0")
    file = open_features(Path(features))
    form = labels_form(
        task=task,
        positive=positive,
        label_separator=label_separator,
        label_columns=label_columns,
    )
    labelled = read_labels(file, None if labels is None else Path(labels), columns, split, form)
    examples = {name: [example for _, example in rows] for name, rows in labelled.splits.items()}
    if "train" in examples:
        check_splits(examples["train"], examples.get("test", []), form)
    root = Path(labels or features).parent if media_root is None else Path(media_root)
    media = MediaFolder(root, Path(labels or features).parent, MediaRules(None, allow_outside))
    digests = {
        name: of_file | digests_of((n for n in media_names(rows) if n not in of_file), media)
        for name, rows in examples.items()
        for of_file in [dict(labelled.digests.get(name, {}))]
    }
    identity = _identity(file, model or file.path.stem, logit_scale, form)
    store = _write(file, labelled, digests, Path(out), identity)
    kind = label_kind(identity.benchmark)
    notes = _notes(file, labelled, examples, digests, root, kind)
    return Imported(store, tuple(notes))


def _notes(
    file: FeatureFile,
    labelled: Labelled,
    examples: Mapping[str, Sequence[Example]],
    digests: Digests,
    root: Path,
    kind: str,
) -> Iterator[str]:
    yield f"rows of features and labels were matched by {'id' if labelled.by_id else 'their order'}"
    if "float64" in file.type_in_file:
        yield "float64 is kept as float32"
    names = media_names(example for rows in examples.values() for example in rows)
    known = {name for of_split in digests.values() for name in of_split}
    if absent := [name for name in names if name not in known]:
        yield (
            f"{len(absent):,} of {len(names):,} media are not in {root.absolute()} (the first is"
            f" {absent[0]}): they are compared by name only"
        )
    train, test = examples.get("train", []), examples.get("test", [])
    if train:
        yield from label_doubts(content_table(train, digests["train"]), kind=kind)
    if train and test:
        yield from unknown_labels(train, test, kind=kind)
        leaks = find_leaks(
            content_table(train, digests["train"]), content_table(test, digests["test"])
        )
        yield from leaks.summary()


def read_labels(
    features: FeatureFile,
    labels: Path | None,
    columns: Mapping[str, str] | None,
    split: str | None,
    form: Mapping[str, Any] | None = None,
) -> Labelled:
    """Read the examples that features belong to; arguments and errors as in `import_features`.

    `form` says what labels are.

    Rows are matched by `id` where both files have it, else by their order. Rows of the split
    `classes` are texts of their label, which stands for a question that is not given.
    """
    rows = _own_rows(features, columns) if labels is None else read_rows(labels)
    benchmark = _benchmark(rows, columns, form)
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
    placed = sorted(zip(places, examples, strict=True), key=itemgetter(0))
    return Labelled(_by_split(placed), by_id, _digests_in(rows, examples))


def _digests_in(rows: Sequence[Row], examples: Sequence[Example]) -> Digests:
    """Return the digests that rows have of their media; RowError if they cannot be."""
    digests: dict[str, dict[str, str]] = {}
    for row, example in zip(rows, examples, strict=True):
        values = row.values.get(DIGESTS)
        if not isinstance(values, list) or not values:
            continue
        are_digests = all(isinstance(v, str) and SHA256.fullmatch(v) for v in values)
        if len(values) != len(example.media) or not are_digests:
            raise row.error(
                f"field {DIGESTS!r} holds {values!r:.200}",
                f"expected one SHA-256 for each of its {len(example.media)} media, or none",
            )
        known = digests.setdefault(example.split, {})
        for name, value in zip(example.media, values, strict=True):
            if known.setdefault(name, value) != value:
                raise row.error(
                    f"medium {name!r} has another SHA-256 in field {DIGESTS!r} than in an earlier"
                    f" {example.split} row",
                    "give media of other content other names",
                )
    return digests


def _own_rows(features: FeatureFile, columns: Mapping[str, str] | None) -> list[Row]:
    """Return the columns of a Parquet file of features that are plain values, as rows.

    Columns that have the names of `export` are those fields, unless the user maps others.
    """
    if not features.others:
        raise ImportFileError(f"{features.path} holds no labels; pass `labels`, a file")
    with damage(features.path):
        frame = scan_parquet(features.path).select(features.others)
        schema = frame.collect_schema()
        plain = [
            name
            for name, kind in schema.items()
            if kind == pl.List(pl.String) or not (kind.is_nested() or kind == pl.Binary)
        ]
        table = collect_rows(frame.select(plain), features.path.stat().st_size)
    taken = {*plain, *(columns or {})}
    if not {"image", "images"} & taken and table.schema.get("media") == pl.List(pl.String):
        table = table.rename({"media": "images"})
    if "question" not in taken and "prompt" in plain:
        table = table.rename({"prompt": "question"})
    stem = features.path.stem
    return [
        Row(f"{features.path} row {number}", number, values, stem)
        for number, values in enumerate(table.iter_rows(named=True))
    ]


def _benchmark(
    rows: Sequence[Row], columns: Mapping[str, str] | None, form: Mapping[str, Any] | None
) -> Benchmark:
    """Return `general` with the user's columns, which asks for no question."""
    benchmark = general(columns, labels=form)
    if benchmark.check_rows is not None:
        benchmark.check_rows(rows, "test")
    names = {field: (columns or {}).get(field, field) for field in FIELDS}
    parse = partial(parse_row, columns=names, question="", labels=form)
    return replace(benchmark, parse_row=parse)


def _example(benchmark: Benchmark, row: Row, question: str, split: str | None) -> Example:
    split_of_row = row.choice(SPLIT, IMPORTED_SPLITS) if split is None else split
    (fields,) = parse_fields(benchmark, row)
    if split_of_row == CLASSES:
        return _class_text(row, fields, row.optional(question))
    added_by_export = (DIGESTS, FILEPATH) if isinstance(row.values.get(DIGESTS), list) else ()
    return Example(
        id=fields.id or row.id,
        split=split_of_row,
        index=0,
        label=fields.label,
        prompt=row.optional(question) or "",
        media=fields.media,
        group=fields.group,
        subtask=fields.subtask,
        category=fields.category,
        extra=row.rest([*benchmark.columns, SPLIT, *added_by_export]),
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
    splits: dict[str, list[Placed]] = {}
    seen: set[tuple[str, str]] = set()
    for row, example in placed:
        if (example.split, example.id) in seen:
            raise RowError(
                f"{example.split} example {example.id!r} occurs twice; give each row an id of its"
                " own, or none"
            )
        seen.add((example.split, example.id))
        examples = splits.setdefault(example.split, [])
        examples.append((row, replace(example, index=len(examples))))
    return {split: splits[split] for split in IMPORTED_SPLITS if split in splits}


def _write(
    file: FeatureFile,
    labelled: Labelled,
    digests: Digests,
    out: Path,
    identity: Identity,
) -> FeatureStore:
    plan = make_plan(
        {
            split: [replace(row, group="") for row in planned_rows([e for _, e in placed])]
            for split, placed in labelled.splits.items()
        },
        SHARD_ROWS,
    )
    with whole_store(out, Manifest(identity, plan)) as writer:
        for spec in track(plan.shards(), "shards"):
            placed = [
                labelled.splits[spec.split][row] for row in plan.splits[spec.split].rows(spec)
            ]
            writer.write(spec, _content(file, spec, placed, digests[spec.split]))
        writer.seal()
    return open_store(out)


def _identity(
    file: FeatureFile, model: str, logit_scale: float | None, form: Mapping[str, Any] | None
) -> Identity:
    unknown = dict.fromkeys(("revision", "config", "weights"))
    scale = {} if logit_scale is None else {LOGIT_SCALE: float(logit_scale)}
    return Identity(
        model={"name": model, "class": IMPORTED, **unknown, **scale},
        processor={"class": IMPORTED},
        dtype=file.dtype,
        benchmark={"name": "general", "options": {} if form is None else {OPTION: dict(form)}},
        prompt=IMPORTED,
        grid=file.grid,
    )


def _content(
    file: FeatureFile, spec: ShardSpec, placed: Sequence[Placed], digests: Mapping[str, str]
) -> ShardContent:
    examples = [example for _, example in placed]
    layers = _layers(file, np.array([row for row, _ in placed]))
    _require_finite(file, examples, layers)
    known = [_digests(example, digests) for example in examples]
    return ShardContent(
        layers=layers,
        examples=example_columns(examples, known),
        skipped=example_columns([], []) | {"reason": []},
        run={"made": "savs import", "file": file.path.name},
    )


def _layers(file: FeatureFile, rows: Array) -> dict[int, Array]:
    """Return the features of ascending rows; a shard's number of rows is in memory at a time."""
    parts: list[Layers] = []
    for start in range(int(rows[0]), int(rows[-1]) + 1, SHARD_ROWS):
        part_rows = rows[(rows >= start) & (rows < start + SHARD_ROWS)] - start
        if len(part_rows):
            read = file.read(start, start + int(part_rows[-1]) + 1)
            parts.append({layer: values.take(part_rows, axis=1) for layer, values in read.items()})
    return {n: np.concatenate([part[n] for part in parts], axis=1) for n in parts[0]}


def _digests(example: Example, digests: Mapping[str, str]) -> tuple[str, ...]:
    """Return the digests of an example's media; none where one is not known."""
    known = tuple(digests[name] for name in example.media if name in digests)
    return known if len(known) == len(example.media) else ()


def _require_finite(file: FeatureFile, examples: Sequence[Example], layers: Layers) -> None:
    """Raise ImportFileError if an example's features are NaN or infinite."""
    for grid in file.grid:
        finite = is_finite(layers[grid.layer], file.dtype).all(axis=2)  # (heads, examples)
        if not finite.all():
            head, row = (int(index[0]) for index in np.nonzero(~finite))
            name = head_name((grid.layer, grid.heads[head]))
            raise ImportFileError(
                f"{file.path}: {name} of {examples[row].split} example {examples[row].id!r} is NaN"
                f" or infinite in {file.dtype}; compute it again, or leave the example out of both"
                " files"
            )
