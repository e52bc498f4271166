"""Read a store: facts at once, examples and features when asked, head by head."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError, command
from savs.foundation.imports import door
from savs.stores.errors import HeadNotFoundError, ResultError, StoreIncompleteError
from savs.stores.files.addresses import find_place, is_remote
from savs.stores.format.layout import (
    ANSWERS_HEAD,
    RESULTS,
    SECONDS,
    SPLITS,
    UNLABELLED,
    Facts,
    Head,
    LayerGrid,
    as_head,
    grid_widths,
    head_name,
    holder,
    is_held,
    is_neuron,
    pick,
)
from savs.stores.format.manifest import Manifest, PlacedRow, read_manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.read.gathering import Block, gather, read_blocks, scan_shards
from savs.stores.read.shards import Shards, shard_sizes
from savs.stores.shard.content import EXAMPLE_SCHEMA, SKIPPED_SCHEMA, check_labels
from savs.stores.shard.index import damage


class _Tables(NamedTuple):
    """What the shards of a split hold apart from features; one opening of a shard gives all."""

    has_examples: bool
    examples: pl.DataFrame
    """Empty unless they were asked for: there may be many, with thumbnails."""
    order: Array | None
    """What puts the rows of the shards in the order of the plan; None if they are in it."""
    skipped: pl.DataFrame
    rows: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class AnswersHead:
    """The model's own answers in the place of a head."""

    width: int
    """The most classes of a subtask."""
    values: Callable[["FeatureStore", str], Array]
    """Returns `(examples, width)` float32 of a split of the store, 0 beyond a subtask's classes."""


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """A store that is open for reading; made by `open_store`. Files are opened at each read."""

    path: Path
    """The store's folder, or its URL."""
    manifest: Manifest
    """Content of store.json: identity, plan, runs and sealed shards."""
    _shards: Shards
    partial: bool = False
    """Whether the store is read as if complete while shards are still missing."""
    answers: AnswersHead | None = field(default=None, repr=False, compare=False)
    """What `ANSWERS_HEAD` is; None if it is no head here."""
    _read: dict[str, _Tables] = field(default_factory=dict, repr=False, compare=False)
    """Split -> what was read of it."""

    def __repr__(self) -> str:
        """Return one line: path, model, number of heads and examples, and if it is unfinished."""
        identity = self.manifest.identity
        rows = ", ".join(f"{len(self.ids(split)):,} {split}" for split in self.splits)
        state = "" if self.manifest.sealed else ", unfinished"
        return (
            f"FeatureStore({str(self.path)!r}: {identity.model.get('name')}, {len(self.heads)}"
            f" heads, {rows}{state})"
        )

    @property
    def grid(self) -> tuple[LayerGrid, ...]:
        """The heads, layer by layer, with their width."""
        return self.manifest.identity.grid

    @property
    def benchmark(self) -> Facts:
        """Name and options of the benchmark."""
        return self.manifest.identity.benchmark

    @property
    def heads(self) -> list[Head]:
        """All heads as `(layer, head)`, layer by layer."""
        return [(grid.layer, head) for grid in self.grid for head in grid.heads]

    @property
    def splits(self) -> list[str]:
        """The splits as examples count now: what came later may lead to another one."""
        return self.manifest.splits

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of the planned examples of a split, see `Manifest.ids`."""
        return self.manifest.ids(split)

    def as_extracted(self) -> "FeatureStore":
        """Return the store with rows as they were planned, whatever came after its features."""
        return self._with(labels={}, rows={})

    def without_labels(self) -> "FeatureStore":
        """Return the store without the labels that came after its features."""
        return self._with(labels={})

    def with_rows(
        self, rows: Mapping[str, Mapping[str, PlacedRow]], benchmark: Facts
    ) -> "FeatureStore":
        """Return the store as if sources said this of its rows, by the split of their plan."""
        stored = replace(self.manifest, labels={}, rows=rows)  # shards know its identity
        now = replace(stored, identity=replace(stored.identity, benchmark=benchmark))
        return replace(self, manifest=now, _shards=Shards(self.path, stored), _read={})

    def in_one_split(
        self, split: str, labels: Mapping[str, str] | None = None, *, waiting: bool = False
    ) -> "FeatureStore":
        """Return the store as if all examples were in one split, with these labels alone, by id.

        Training examples have a label each: there, those without one are left out. `waiting` takes
        those alone that are unlabelled now.
        """
        bare, changes, given = self.as_extracted(), self.manifest.changes, labels or {}
        rows: dict[str, dict[str, PlacedRow]] = {}
        for planned_in in bare.manifest.plan.splits:
            if planned_in not in (*SPLITS, UNLABELLED) or not bare.present(planned_in):
                continue
            now = {n: row["split"] for n, row in changes.get(planned_in, {}).items()}
            tables = [bare.examples(planned_in), bare.skipped(planned_in)]
            rows[planned_in] = {
                row["id"]: PlacedRow(
                    row["id"],
                    None if is_out or (split == SPLITS[0] and not label) else split,
                    label,
                    media=tuple(row["media"]),
                    group=row["group"],
                    category=row["category"],
                    extra=json.loads(row["extra"]),
                )
                for row in pl.concat(tables, how="diagonal").iter_rows(named=True)
                for label in [given.get(row["id"])]
                for is_in in [now.get(row["id"], planned_in)]
                for is_out in [is_in is None or (waiting and is_in != UNLABELLED)]
            }
        return bare.with_rows(rows, self.benchmark)

    def with_benchmark(self, benchmark: Facts) -> "FeatureStore":
        """Return the store as if its benchmark was described so; its rows stay the same."""
        identity = replace(self.manifest.identity, benchmark=benchmark)  # shards know the old one
        return replace(self, manifest=replace(self.manifest, identity=identity), _read={})

    def _with(self, **changes: Any) -> "FeatureStore":
        manifest = replace(self.manifest, **changes)
        if manifest == self.manifest:
            return self
        return replace(store_of(self.path, manifest, partial=self.partial), answers=self.answers)

    def with_answers(self, answers: AnswersHead) -> "FeatureStore":
        """Return the store with what the model said of the classes as one more head.

        Its name is `ANSWERS_HEAD`. It is no head of the grid: only who asks for it gets it.
        """
        return replace(self, answers=answers, _read={})

    @property
    def facts(self) -> dict[str, Any]:
        """What the store holds and how complete it is; no features are read."""
        manifest, identity = self.manifest, self.manifest.identity
        sizes = shard_sizes(self.path, manifest)
        names = [spec.name for spec in manifest.plan.shards()]
        results = [] if is_remote(self.path) else self.path.glob(f"{RESULTS}/*/metrics.json")
        return {
            "path": str(self.path),
            "model": dict(identity.model),
            "processor": dict(identity.processor),
            "benchmark": dict(identity.benchmark),
            "dtype": identity.dtype,
            "layers": len(self.grid),
            "heads": len(self.heads),
            "head_dims": sorted({layer.head_dim for layer in self.grid}),
            "planned": {split: len(self.ids(split)) for split in self.splits},
            "late_labels": sum(map(len, manifest.labels.values())),
            "shards": len(names),
            "missing_shards": [name for name in names if name not in sizes],
            "bytes": sum(sizes.values()),
            "sealed": manifest.sealed,
            "runs": [dict(run) for run in manifest.runs],
            "results": sorted(path.parent.name for path in results),
        }

    @property
    def results(self) -> Any:
        """The results in its folder, by name: `store.results["vote"].metrics`.

        `store.results.find()` is what `savs train` chose, else `vote`, else the only one.
        """
        return door("results")(self.path)

    def missing(self, split: str | None = None) -> list[ShardSpec]:
        """Return the shards of a `split`, or of all, that had no file when first looked for."""
        return self._shards.present(split, missing=True)

    def present(self, split: str | None = None) -> list[ShardSpec]:
        """Return the shards of a `split`, or of all, that had a file when first looked for."""
        return self._shards.present(split)

    def planned_rows(self, shard: ShardSpec, split: str) -> int:
        """Return how many planned rows of a shard are in a split now: labels may bring some."""
        return self._shards.planned(shard, split)

    def require_complete(self) -> None:
        """Raise `StoreIncompleteError` while a planned shard is missing."""
        missing = self.missing()
        if missing and not self.partial:
            total = len(self.manifest.plan.shards())
            raise StoreIncompleteError(
                f"{self.path} is incomplete: {len(missing)} of {total} shards are missing"
                f" ({missing[0].name} first); run the same `savs extract` command again to resume"
            )

    def examples(self, split: str | None = None) -> pl.DataFrame:
        """Return the examples with features, in the order of the input file, split by split."""
        if split is None:
            return pl.concat([self.examples(s) for s in self.splits], how="diagonal")
        return self._tables(split, examples=True).examples

    def rows(self, split: str) -> int:
        """Return the number of examples with features of a split, without reading them."""
        return self._tables(split).rows

    def skipped(self, split: str | None = None) -> pl.DataFrame:
        """Return the skipped examples of a `split`, or of all, with the column `reason`."""
        if split is None:
            return pl.concat([self.skipped(s) for s in self.splits], how="diagonal")
        return self._tables(split).skipped

    def _tables(self, split: str, *, examples: bool = False) -> _Tables:
        self.require_split(split)
        tables = self._read.get(split)
        if tables is None or (examples and not tables.has_examples):
            tables = self._read[split] = self._read_tables(split, examples=examples)
        return tables

    def _read_tables(self, split: str, *, examples: bool) -> _Tables:
        specs = self.present(split)
        if not specs and self.ids(split):
            raise StoreIncompleteError(
                f"{self.path} has no finished {split} shard yet; run `savs extract`, or wait"
            )
        tables = [pl.DataFrame(schema=EXAMPLE_SCHEMA)]
        skipped = [pl.DataFrame(schema=SKIPPED_SCHEMA)]
        seconds: list[float | None] = [0.0]
        rows = 0
        for spec in specs:
            with self._shards.open(spec, split) as shard:
                tables += [shard.examples()] if examples else []
                skipped.append(shard.skipped())
                run, share = shard.run, self.planned_rows(spec, split) / spec.rows
                is_number = type(run.get(SECONDS)) in (int, float)
                seconds.append(run[SECONDS] * share if is_number else None)
                rows += shard.rows
        order = None
        if examples and not self._is_in_order(split):
            stored = pl.concat([table.select("id") for table in tables])
            order = self.places(split, stored).arg_sort().to_numpy()
        return _Tables(
            has_examples=examples,
            examples=self._checked(split, tables) if examples else tables[0],
            order=order,
            skipped=self._checked(split, skipped),
            rows=rows,
            seconds=None if None in seconds else sum(filter(None, seconds), 0.0),
        )

    def _checked(self, split: str, tables: list[pl.DataFrame]) -> pl.DataFrame:
        rows = pl.concat(tables, how="diagonal")  # some shards may have thumbnails
        self.require_labels(split, rows)
        return rows if self._is_in_order(split) else self.in_order(split, rows)

    def _is_in_order(self, split: str) -> bool:
        plan = self.manifest.plan.splits.get(split)
        return not self.manifest.is_changed and (plan is None or plan.order is None)

    def _order(self, split: str) -> Array | None:
        """Return `_Tables.order`; nothing is read where the plan says that rows are in order."""
        return None if self._is_in_order(split) else self._tables(split, examples=True).order

    def in_order(self, split: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of a split, known by their `id`, in the order of the plan."""
        places = self.places(split, rows)
        return rows if places.is_sorted() else rows[places.arg_sort()]

    def places(self, split: str, rows: pl.DataFrame) -> pl.Series:
        """Return the `place` in the plan of each row of a split, known by its `id`."""
        planned = pl.DataFrame({"id": self.ids(split)}, schema={"id": pl.String})
        planned = planned.with_row_index("place")
        if rows["id"].equals(planned["id"]):
            return planned["place"]
        return rows.select("id").join(planned, on="id", how="left", maintain_order="left")["place"]

    def require_labels(self, split: str, rows: pl.DataFrame) -> None:
        """Raise StoreCorruptError if only some of the rows that must be labelled are.

        Where rows have changed after their features, only some test examples may have one.
        """
        if split == "test" and self.manifest.is_changed:
            return
        with damage(f"{self.path}: {split} examples"):
            check_labels(rows["label"], split)

    def scan(self) -> pl.LazyFrame:
        """Return all examples as one lazy table: their columns, then one column a head, `L12.H7`.

        Nothing is read before `collect`, and then only the rows and heads that the query names; see
        `scan_shards`.

        Raises
        ------
        StoreIncompleteError
            A planned shard is missing.
        """
        self.require_complete()
        return scan_shards(self._shards, self.present())

    def features(
        self, split: str, heads: Sequence[Head] | None = None, *, raw: bool = False
    ) -> Array:
        """Return the features of a split, in the order of `examples(split)`.

        Parameters
        ----------
        split
            `train`, `test`, or another one of `splits`.
        heads
            Which heads or neurons, in which order; all of `self.heads` by default.
        raw
            Return the stored values, bfloat16 as its bits in uint16, instead of float32.

        Returns
        -------
        ndarray
            `(heads, examples, head_dim)`. Heads narrower than the widest one asked for are padded
            with zeros, which change no inner product. A neuron is a head of width 1.

        Raises
        ------
        HeadNotFoundError
            The store does not hold one of the heads.
        StoreIncompleteError
            A planned shard of the split is missing.
        StoreCorruptError
            A head fails its checksum.
        """
        specs, wanted = self._readable(split), self._wanted(heads)
        if self.answers is not None and ANSWERS_HEAD in wanted:
            answers = self.answers.values(self, split)
            stored = [head for head in wanted if head != ANSWERS_HEAD]
            values = self.features(split, stored) if stored else np.zeros((0, len(answers), 0))
            return _with_answers(wanted, values, answers)
        if not specs:  # nothing was planned, as of a store without training examples
            return np.zeros((len(wanted), 0, max(self.widths(wanted))), np.float32)
        stored = [*dict.fromkeys(map(holder, wanted))]
        values = gather(self._shards, specs, stored, split=split, raw=raw)
        order = self._order(split)
        values = values if order is None else values[:, order]
        return values if stored == wanted else pick(values, stored, wanted)

    def blocks(
        self,
        split: str,
        heads: Sequence[Head] | None = None,
        *,
        rows: int = 0,
        raw: bool = False,
        reuse: bool = False,
    ) -> Iterator[Block]:
        """Yield examples and their heads shard by shard: memory holds one, or several small ones.

        A block also has the examples that were skipped.

        Parameters
        ----------
        split, heads, raw
            As in `features`.
        rows
            Most planned examples of a block of several shards; 0: each shard is one.
        reuse
            Overwrite the features of one block by those of the next, so that the system need not
            clear memory for each.
        """
        specs, wanted = self._readable(split), self._wanted(heads)
        heads = [head for head in wanted if head != ANSWERS_HEAD]
        stored = [*dict.fromkeys(map(holder, heads))]
        read = stored or self.heads[:1]  # a block is read with a head, at least
        blocks = read_blocks(
            self._shards, specs, read, split=split, rows=rows, raw=raw, reuse=reuse
        )
        if stored != heads:
            blocks = (replace(one, features=pick(one.features, read, heads)) for one in blocks)
        if self.answers is None or len(heads) == len(wanted):
            yield from blocks
            return
        answers, known = self.answers.values(self, split), self.examples(split)["id"]
        row_of = dict(zip(known, range(len(known)), strict=True))
        for block in blocks:
            some = answers[[row_of[name] for name in block.examples["id"]]]
            values = _with_answers(wanted, block.features[: len(heads)], some)
            yield replace(block, features=values)

    def _wanted(self, heads: Sequence[Head] | None) -> list[Head]:
        wanted = self.heads if heads is None else [as_head(head) for head in heads]
        self.require_heads(wanted)
        return wanted

    def output(self, split: str, name: str) -> Array:
        """Return what was kept of the last position in addition to the heads, one row an example.

        Parameters
        ----------
        split
            `train`, `test`, or another one of `splits`.
        name
            `answers`: `(examples, labels)` float32 log-likelihoods, NaN for labels of other
            subtasks; `generated`: `(examples, 128)` int32, see `generated_texts`; or another output
            that the store lists.

        Raises
        ------
        ResultError
            The store was extracted without it.
        StoreIncompleteError
            A planned shard of the split is missing.
        """
        outputs = self.manifest.identity.outputs
        if name not in outputs:
            options = {
                "answers": "--answers labels",
                "generated": "--answers generate",
                "icl": "--answers labels,icl:N",
            }
            listed = f"it has: {', '.join(outputs) or 'none'}"
            again = f"extract again with {options.get(name)}, into another folder"
            remedy = again if name in options else listed
            raise ResultError(f"{self.path} has no output {name!r}; {remedy}")
        parts = []
        for spec in self._readable(split):
            with self._shards.open(spec, split) as shard:
                parts.append(shard.output(name))
        values, order = np.concatenate(parts), self._order(split)
        return values if order is None else values[order]

    def seconds(self, split: str) -> float | None:
        """Return the time that a split's shards took, in all processes, if all record it."""
        self._readable(split)
        return self._tables(split).seconds

    def _readable(self, split: str) -> list[ShardSpec]:
        """Return the shards of a split that are there: all of them, or some of a partial store."""
        self.require_split(split)
        missing, present = self.missing(split), self.present(split)
        if missing and not (self.partial and present):
            raise StoreIncompleteError(
                f"{self.path}: shard {missing[0].name} is missing; run `savs extract` again to"
                " resume"
            )
        return present

    def require_split(self, split: str) -> None:
        """Raise StoreIncompleteError if the store holds no example of a split.

        A train split may be planned without examples: classes have texts, or `classify` made the
        store by a classifier of another one.
        """
        splits = self.splits
        if split in splits and (self.ids(split) or split == SPLITS[0]):
            return
        what = f"{self.path} has no {split} split, only {', '.join(splits)}"
        if split in (*SPLITS, UNLABELLED):
            append = ("--append", f"--{split}", "FILE", "--out", self.path)
            what += "; add one: " + command("savs", "extract", "...", *append)
        if split == "test":
            folds = command("savs", "evaluate", self.path, "--folds", 5)
            what += f", or estimate the accuracy from training: {folds}"
        raise StoreIncompleteError(what)

    def widths(self, heads: Sequence[Head]) -> list[int]:
        """Return the width of each head, 1 of a neuron; errors as in `require_heads`."""
        self.require_heads(heads)
        widths = self._widths()
        return [1 if is_neuron(head) else widths[head] for head in heads]

    def _widths(self) -> dict[Head, int]:
        widths = grid_widths(self.grid)
        return widths if self.answers is None else {**widths, ANSWERS_HEAD: self.answers.width}

    def require_heads(self, heads: Sequence[Head]) -> None:
        """Raise HeadNotFoundError if the store does not hold one of the heads."""
        widths = self._widths()
        absent = [head for head in heads if not is_held(head, widths)]
        if absent or not heads:
            what = f"no head {head_name(absent[0])}" if absent else "nothing for an empty list"
            raise HeadNotFoundError(
                f"{self.path} holds {what}; it has {len(widths)} heads from"
                f" {head_name(self.heads[0])} to {head_name(self.heads[-1])}"
            )


def _with_answers(wanted: Sequence[Head], stored: Array, answers: Array) -> Array:
    """Return `(wanted, n, d)` float32 of stored heads, and of `(n, classes)` answers in theirs."""
    width = max(stored.shape[2] if len(stored) else 0, answers.shape[1])
    values = np.zeros((len(wanted), len(answers), width), np.float32)
    left = iter(stored)
    for place, head in enumerate(wanted):
        of_head = answers if head == ANSWERS_HEAD else next(left)
        values[place, :, : of_head.shape[1]] = of_head
    return values


def open_store(path: str | Path, *, partial: bool = False) -> FeatureStore:
    """Open a store for reading; nothing but store.json is read.

    Parameters
    ----------
    path
        The store's folder, or its URL: `https://`, `s3://`, `hf://` or another that fsspec reads.
    partial
        Read the finished shards as if they were all, while an extraction still writes others.

    Raises
    ------
    StoreNotFoundError
        The folder does not exist or holds no store.
    StoreFormatError
        This release does not read its format version.
    StoreCorruptError
        store.json is damaged.
    """
    folder = find_place(path)
    return store_of(folder, read_manifest(folder), partial=partial)


def store_of(folder: Any, manifest: Manifest, *, partial: bool = False) -> FeatureStore:
    """Return the store in a folder, or at a URL, whose `manifest` was read.

    With `partial`, shards may be missing; see `open_store`.
    """
    return FeatureStore(folder, manifest, Shards(folder, manifest), partial=partial)


AnyStore = FeatureStore | str | Path
"""What public functions take: an open store, its folder, or its URL."""


def as_store(store: Any) -> FeatureStore:
    """Return an open store as it is, and open one that is given by its folder or URL.

    Raises
    ------
    ParameterError
        It is neither.
    StoreError
        See `open_store`.
    """
    if isinstance(store, FeatureStore):
        return store
    if isinstance(store, str | Path):
        return open_store(store)
    raise ParameterError(f"`store` is {store!r:.100}, expected a feature store or its folder")
