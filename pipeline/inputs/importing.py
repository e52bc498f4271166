"""Features of a file become a store, on which all commands of stage 2 work."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

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
from savs.datasets.benchmarks.general import FIELD_COLUMNS, general, parse_row
from savs.datasets.media.media import MediaRules
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import iter_rows
from savs.datasets.rows.label_kinds import A_CLASS_EACH, OPTION, LabelKind, Labels
from savs.datasets.rows.plugin_guard import check_rows, parse_fields
from savs.datasets.splits.labels import label_doubts
from savs.datasets.splits.shared_media import digests_of, media_names
from savs.foundation.arrays import Array
from savs.foundation.frames import OF_COLUMN, collect_rows, scan_parquet
from savs.foundation.progress import track
from savs.pipeline.errors import ImportFileError
from savs.pipeline.inputs.feature_files import FeatureFile, Layers, damage, open_features
from savs.pipeline.inputs.imported_rows import ImportedRows, RowPool
from savs.pipeline.inputs.input_options import labels_form
from savs.pipeline.inputs.stored_rows import example_columns
from savs.pipeline.names import IMPORTED
from savs.pipeline.running.options import Option
from savs.stores import FeatureStore, Identity, Manifest, ShardContent, head_name, open_store
from savs.stores.format.layout import (
    CLASSES,
    LOGIT_SCALE,
    SPLITS,
    TEXTS_OF_FILE,
    TEXTS_OF_NAMES,
    UNLABELLED,
)
from savs.stores.format.plan import make_plan
from savs.stores.shard.content import is_finite
from savs.stores.write.opening import whole_store

SHARD_BYTES = 2**22
"""Features that a shard has about. Rows of a shard depend on the width of an example alone, so that
`merge` joins stores of one model, whatever their sizes."""
SHARD_ROWS = (256, 2**14)
"""Fewest and most rows of a shard."""
DIGESTS, FILEPATH = "media_sha256", "filepath"
"""Columns of `savs export`: SHA-256 of the media that the model read, and where the first was."""
SHA256 = re.compile("[0-9a-f]{64}")
SPLIT = "split"
"""Field of a row that says where it belongs."""
IMPORTED_SPLITS = (*SPLITS, UNLABELLED, CLASSES)
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

    splits: Mapping[str, ImportedRows]
    by_id: bool
    """Whether rows were matched by id, not by their order."""
    digests: Digests
    """Of the media whose digests the file has, as `savs export` writes them."""


def import_features(
    features: str | Path,
    labels: Annotated[
        str | Path | None, Option(name="labels", metavar="FILE", is_positional=False)
    ] = None,
    *,
    out: Annotated[str | Path, Option(metavar="STORE")],
    model: Annotated[str | None, Option(metavar="NAME")] = None,
    split: Annotated[str | None, Option(metavar="train|test|unlabelled|classes")] = None,
    logit_scale: Annotated[float | None, Option(level="python")] = None,
    columns: Annotated[Mapping[str, str] | None, Option(level="python")] = None,
    task: Annotated[str | None, Option(level="python")] = None,
    positive: Annotated[str | None, Option(level="python")] = None,
    label_separator: Annotated[str | None, Option(level="python")] = None,
    label_columns: Annotated[Sequence[str] | None, Option(level="python")] = None,
    media_root: Annotated[str | Path | None, Option(level="python")] = None,
    allow_outside: Annotated[bool, Option(level="python")] = False,
) -> Imported:
    """Write features that another program computed as a store.

    Memory holds the labels, and the features of one shard.

    Parameters
    ----------
    features
        .npy, .safetensors or .parquet: examples x [layers x] heads x width.

        A `.npy` or `.safetensors` file with an array `(examples, width)`, `(examples, heads,
        width)` or `(examples, layers, heads, width)` of float16, bfloat16, float32 or float64,
        which is kept as float32; or a `.safetensors` or `.parquet` file with an array or a column
        of lists a head.
    labels
        Rows with label, split, and other fields of general (default: the other columns of FEATURES,
        if it is Parquet).

        A JSON Lines, JSON, CSV or Parquet file; `split` is `train`, `test`, `unlabelled`, or
        `classes` for texts of the classes. All fields are optional: rows with neither label nor
        split are unlabelled, as those of features without any labels.
    out
        Folder of the new store.
    model
        Name of the program or model that computed the features (default: the file's name).

        Stores of another model cannot be merged, and no selection is applied to them.
    split
        Split of all rows (default: column split).
    logit_scale
        Factor of a dual encoder's cosines, such as 100; for readout clip.
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
    of_rows = labels_form(
        task=task,
        positive=positive,
        label_separator=label_separator,
        label_columns=label_columns,
    )
    labelled = read_labels(file, None if labels is None else Path(labels), columns, split, of_rows)
    examples = {name: rows.first()[0] for name, rows in labelled.splits.items()}
    if "train" in examples:
        check_splits(examples["train"], examples.get("test", []), of_rows)
    root = Path(labels or features).parent if media_root is None else Path(media_root)
    rules = MediaRules(allow_outside=allow_outside)
    media = MediaFolder(root, Path(labels or features).parent, rules)
    digests = {
        name: of_file | digests_of((n for n in media_names(rows) if n not in of_file), media)
        for name, rows in examples.items()
        for of_file in [dict(labelled.digests.get(name, {}))]
    }
    identity = _identity(file, model or file.path.stem, logit_scale, of_rows)
    store = _write(file, labelled, digests, Path(out), identity)
    notes = _notes(file, labelled, digests, root, of_rows.kind)
    return Imported(store, tuple(notes))


def _notes(
    file: FeatureFile,
    labelled: Labelled,
    digests: Digests,
    root: Path,
    kind: LabelKind,
) -> Iterator[str]:
    if not {*SPLITS, CLASSES} & {*labelled.splits}:
        yield "no row has a label: savs classify CLASSIFIER STORE classifies them"
    else:
        matched = "id" if labelled.by_id else "their order"
        yield f"rows of features and labels were matched by {matched}"
    if "float64" in file.type_in_file:
        yield "float64 is kept as float32"
    splits = labelled.splits
    first = {split: rows.first() for split, rows in splits.items()}
    names = media_names(example for examples, _ in first.values() for example in examples)
    known = {name for of_split in digests.values() for name in of_split}
    if absent := [name for name in names if name not in known]:
        yield (
            f"{len(absent):,} of {len(names):,} media are not in {root.absolute()} (the first is"
            f" {absent[0]}): they are compared by name only"
        )
    if "train" not in splits:
        return
    train = splits["train"].table(digests["train"])
    yield from label_doubts(train, kind=kind)
    if "test" in splits:
        tested, counts = first["test"]
        yield from unknown_labels(first["train"][0], tested, kind, counts)
        yield from find_leaks(train, splits["test"].table(digests["test"])).summary()


def read_labels(
    features: FeatureFile,
    labels: Path | None,
    columns: Mapping[str, str] | None,
    split: str | None,
    of_rows: Labels = A_CLASS_EACH,
) -> Labelled:
    """Read the examples that features belong to; arguments and errors as in `import_features`.

    `of_rows` says what labels are.

    Rows are matched by `id` where both files have it, else by their order. Rows of the split
    `classes` are texts of their label, which stands for a question that is not given.
    """
    pool = RowPool((columns or {}).get("id", "id"))
    for row in _own_rows(features, columns) if labels is None else iter_rows(labels):
        pool.add(row)
    benchmark = _benchmark(pool.rows, columns, of_rows)
    by_id = features.ids is not None and pool.have_ids
    question = (columns or {}).get("question", "question")
    contents = [_example(benchmark, row, question, split) for row in pool.rows]
    numbers, ids = np.asarray(pool.numbers), pool.ids
    places = np.arange(len(ids))
    if by_id:
        places = np.array(_places(features, labels, ids))
    elif len(ids) != features.rows:
        raise ImportFileError(
            f"{labels} has {len(ids):,} rows, {features.path} has features of"
            f" {features.rows:,}; expected one row for each, in the same order, or an id in both"
        )
    elif features.ids is not None:
        ids = list(features.ids)
    order = np.argsort(places, kind="stable")
    splits = np.array([IMPORTED_SPLITS.index(example.split) for example in contents])[numbers]
    of_split: dict[str, ImportedRows] = {}
    for number, name in enumerate(IMPORTED_SPLITS):
        rows = order[splits[order] == number]
        if len(rows):
            own_ids = [ids[row] for row in rows.tolist()]
            if len(set(own_ids)) < len(own_ids):
                twice = Counter(own_ids).most_common(1)[0][0]
                raise RowError(
                    f"{name} example {twice!r} occurs twice; give each row an id of its own, or"
                    " none"
                )
            of_split[name] = ImportedRows(contents, places[rows], numbers[rows], own_ids)
    return Labelled(of_split, by_id, _digests_in(pool.rows, contents))


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


def _own_rows(features: FeatureFile, columns: Mapping[str, str] | None) -> Iterator[Row]:
    """Yield the columns of a Parquet file of features that are plain values, as rows.

    Columns that have the names of `export` are those fields, unless the user maps others.
    """
    stem = features.path.stem
    if not features.others:
        for number in range(features.rows):
            yield Row(f"{features.path} row {number}", number, {}, stem)
        return
    with damage(features.path):
        frame = scan_parquet(features.path).select(features.others)
        schema = frame.collect_schema()
        plain = [
            name
            for name, kind in schema.items()
            if kind == pl.List(pl.String) or not (kind.is_nested() or kind == pl.Binary)
        ]
        table = collect_rows(frame.select(plain), features.path.stat().st_size, OF_COLUMN)
    taken = {*plain, *(columns or {})}
    if not {"image", "images"} & taken and table.schema.get("media") == pl.List(pl.String):
        table = table.rename({"media": "images"})
    if "question" not in taken and "prompt" in plain:
        table = table.rename({"prompt": "question"})
    for number, values in enumerate(table.iter_rows(named=True)):
        yield Row(f"{features.path} row {number}", number, values, stem)


def _benchmark(
    rows: Sequence[Row], columns: Mapping[str, str] | None, of_rows: Labels
) -> Benchmark:
    """Return `general` with the user's columns, which asks for no question."""
    benchmark = general(columns, labels=of_rows)
    check_rows(benchmark, rows, "test")
    names = {**FIELD_COLUMNS, **(columns or {})}
    parse = partial(parse_row, columns=names, question="", labels=of_rows)
    return replace(benchmark, parse_row=parse)


def _example(benchmark: Benchmark, row: Row, question: str, split: str | None) -> Example:
    label = benchmark.options.get("columns", {}).get("label", "label")
    if split is not None:
        split_of_row = split
    elif row.values.get(label) in (None, "") and row.optional(SPLIT) is None:
        split_of_row = UNLABELLED
    else:
        split_of_row = row.choice(SPLIT, IMPORTED_SPLITS)
    if split_of_row == UNLABELLED:  # labels are not read
        row = replace(row, values={**row.values, label: None})
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


def _write(
    file: FeatureFile,
    labelled: Labelled,
    digests: Digests,
    out: Path,
    identity: Identity,
) -> FeatureStore:
    shard_rows = _shard_rows(identity.row_bytes)
    plan = make_plan({n: rows.planned() for n, rows in labelled.splits.items()}, shard_rows)
    with whole_store(out, Manifest(identity, plan)) as writer:
        for split, rows in labelled.splits.items():
            of_names = digests[split]  # an example has digests of all its media, or none
            known = [
                tuple(of_names[n] for n in example.media)
                if of_names.keys() >= {*example.media}
                else ()
                for example in rows.contents
            ]
            for spec in track([*plan.splits[split].shards(split, shard_rows)], "shards"):
                examples = rows.columns(range(spec.start, spec.stop), known)
                layers = _layers(file, rows.places[spec.start : spec.stop])
                _require_finite(file, examples, layers)
                content = ShardContent(
                    layers=layers,
                    examples=examples,
                    skipped=example_columns([], []) | {"reason": []},
                    run={"made": "savs import", "file": file.path.name},
                )
                writer.write(spec, content)
    return open_store(out)


def _shard_rows(row_bytes: int) -> int:
    """Return the rows of a shard for the bytes of an example, a power of two.

    >>> _shard_rows(16), _shard_rows(2048), _shard_rows(201_000)
    (16384, 2048, 256)
    """
    fewest, most = SHARD_ROWS
    return min(max(fewest, 1 << (SHARD_BYTES // row_bytes).bit_length() - 1), most)


def _identity(
    file: FeatureFile, model: str, logit_scale: float | None, of_rows: Labels
) -> Identity:
    unknown = dict.fromkeys(("revision", "config", "weights"))
    scale = {} if logit_scale is None else {LOGIT_SCALE: float(logit_scale)}
    options = {OPTION: dict(of_rows.form)} if of_rows.form else {}
    return Identity(
        model={"name": model, "class": IMPORTED, **unknown, **scale},
        processor={"class": IMPORTED},
        dtype=file.dtype,
        benchmark={"name": "general", "options": options},
        prompt=IMPORTED,
        grid=file.grid,
    )


def _layers(file: FeatureFile, rows: Array) -> dict[int, Array]:
    """Return the features of ascending rows; about as many as `rows` are in memory at a time."""
    parts: list[Layers] = []
    step = max(len(rows), SHARD_ROWS[0])
    for start in range(int(rows[0]), int(rows[-1]) + 1, step):
        part_rows = rows[(rows >= start) & (rows < start + step)] - start
        if len(part_rows):
            read = file.read(start, start + int(part_rows[-1]) + 1)
            parts.append({layer: values.take(part_rows, axis=1) for layer, values in read.items()})
    return {n: np.concatenate([part[n] for part in parts], axis=1) for n in parts[0]}


def _require_finite(
    file: FeatureFile, examples: Mapping[str, Sequence[Any]], layers: Layers
) -> None:
    """Raise ImportFileError if an example's features are NaN or infinite."""
    for grid in file.grid:
        finite = is_finite(layers[grid.layer], file.dtype).all(axis=2)  # (heads, examples)
        if not finite.all():
            head, row = (int(index[0]) for index in np.nonzero(~finite))
            name = head_name((grid.layer, grid.heads[head]))
            raise ImportFileError(
                f"{file.path}: {name} of {examples['split'][row]} example"
                f" {examples['id'][row]!r} is NaN or infinite in {file.dtype}; compute it again, or"
                " leave the example out of both files"
            )
