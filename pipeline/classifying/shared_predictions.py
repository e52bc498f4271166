"""Predictions that several processes make together.

Each process claims parts of the examples, as those of a store claim shards, and writes their rows
into files in the folder NAME.parts. The one that finds all parts there puts them into NAME.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.foundation.errors import ParameterError
from savs.foundation.files import make_folder, whole_file
from savs.pipeline.classifying.new_images import STDIN
from savs.pipeline.classifying.prediction_file import open_predictions, output_errors
from savs.stores import ShardSpec
from savs.stores.files.object_store import file_names
from savs.stores.format.layout import Facts, digest
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.writer import OpenShards

PARTS = ".parts"
"""What the name of the folder ends in, behind that of the output."""
KEY = ("id", "subtask")


@dataclass(slots=True)
class SharedPredictions:
    """The parts of one list of examples; made by `share_predictions`."""

    out: Path
    schema: Mapping[str, Any]
    made: Facts
    claims: Claims
    done: pl.DataFrame
    """Rows that the output had when this process began."""
    _tag: str
    """Begins the names of the parts, which other examples, or another classifier, do not share."""
    _specs: dict[int, ShardSpec] = field(default_factory=dict)
    rows: int = 0
    """Rows that this process has written."""

    def open(self, specs: Sequence[ShardSpec], start: float) -> OpenShards:
        """Return the parts that this process does together with others.

        Parameters
        ----------
        specs
            A part for each, with the number of its examples.
        start
            Where this process begins, as a share of their number.
        """
        self._specs = {spec.number: spec for spec in specs}
        with output_errors(self.out), whole_file(self._plan) as partial:
            planned = {self._part(spec).name: spec.rows for spec in specs}
            partial.write_bytes(msgspec.json.encode(planned))
        return OpenShards(specs, self.claims, self.is_done, self._all_done, self.out, start)

    def take(self, number: int, rows: pl.DataFrame) -> None:
        """Write the rows of a part, unless another process took this one for dead and did.

        Raises
        ------
        OutputError
            The disk refuses.
        """
        spec = self._specs[number]
        with output_errors(self.out), suppress(ClaimLostError):
            with (
                self.claims.publishing(spec.name) as require_claim,
                whole_file(self._part(spec), before_naming=require_claim) as partial,
            ):
                rows.write_ndjson(partial)
            self.rows += rows.height
        self.claims.release(spec.name)

    def is_done(self, spec: ShardSpec) -> bool:
        """Return whether a part is there, or all parts are in the output already."""
        return self._part(spec).exists() or not self._plan.exists()

    def finish(self, columns: Sequence[str]) -> pl.DataFrame:
        """Put all parts into the output, unless another process did; return some of its columns.

        Raises
        ------
        OutputError
            The output was changed meanwhile, or cannot be written.
        """
        with output_errors(self.out), self.claims.hold(self.out.name):
            with self._opened() as file:
                found = [file.done.select(columns)]
                if self._plan.exists():
                    known = file.done.select(*self._key())
                    for number, spec in enumerate(self._specs.values()):
                        rows = self._read(spec).join(
                            *(known, self._key()), how="anti", nulls_equal=True
                        )
                        file.take(number, rows)
                        found.append(rows.select(columns))
                    file.finish()
            self._remove_parts()
        return pl.concat(found)

    @contextmanager
    def _opened(self, *, retry_skipped: bool = False) -> Iterator[Any]:
        given = {"retry_skipped": retry_skipped, "force": False}
        with open_predictions(self.out, self.schema, self.made, **given) as file:
            yield file

    def _read(self, spec: ShardSpec) -> pl.DataFrame:
        return pl.read_ndjson(self._part(spec), schema=dict(self.schema))

    def _remove_parts(self) -> None:
        """Remove the plan first: without it all parts count as done."""
        self._plan.unlink(missing_ok=True)
        for spec in self._specs.values():
            self._part(spec).unlink(missing_ok=True)
        self.claims.sweep()

    def _all_done(self, specs: Mapping[str, ShardSpec]) -> set[str]:
        names = file_names(self._plan.parent)
        if self._plan.name not in names:
            return set(specs)
        return {name for name, spec in specs.items() if self._part(spec).name in names}

    def _key(self) -> list[str]:
        return [name for name in KEY if name in self.schema]

    def _part(self, spec: ShardSpec) -> Path:
        return parts_folder(self.out) / f"{self._tag}-{spec.number:07d}.jsonl"

    @property
    def _plan(self) -> Path:
        return parts_folder(self.out) / f"{self._tag}.json"


def part_files(out: Path) -> set[str]:
    """Return the names of the parts that are there."""
    return {path.name for path in parts_folder(out).glob("*.jsonl")}


def planned_parts(out: Path) -> dict[str, int]:
    """Return part -> examples of what is being made, nothing where that is done or not begun."""
    found: dict[str, int] = {}
    for plan in parts_folder(out).glob("*.json"):
        with suppress(OSError, ValueError):  # it was just removed
            found |= msgspec.json.decode(plan.read_bytes(), type=dict[str, int])
    return found


def parts_folder(out: Path) -> Path:
    """Return where the parts of an output are until all are there."""
    return out.with_name(out.name + PARTS)


@contextmanager
def share_predictions(
    out: Path,
    schema: Mapping[str, Any],
    made: Facts,
    examples: Sequence[Any],
    *,
    retry_skipped: bool,
) -> Iterator[SharedPredictions]:
    """Join, or begin, the processes that make the predictions of some examples.

    Parameters
    ----------
    out, schema, made, retry_skipped
        As in `open_predictions`.
    examples
        What all processes agree on, as values that JSON has.

    Raises
    ------
    OutputError
        As in `open_predictions`.
    """
    folder = parts_folder(out)
    with output_errors(out):
        make_folder(folder)
    try:
        with output_errors(out), Claims(ClaimFiles(folder)) as claims:
            tag = digest([made, examples])[:16]
            shared = SharedPredictions(out, schema, made, claims, pl.DataFrame(), tag)
            with claims.hold(out.name), shared._opened(retry_skipped=retry_skipped) as file:
                shared.done = file.done
            yield shared
    finally:
        with suppress(OSError):  # others, or parts of another run, are still there
            folder.rmdir()


def require_shareable(inputs: Sequence[str], out: Path | None, *, force: bool) -> Path:
    """Return the output, if several processes can run the same command.

    Raises
    ------
    ParameterError
        They would have no file in common, replace it each by itself, or share standard input.
    """
    if out is None:
        raise ParameterError("several processes share an output file; pass --out FILE")
    if force:
        raise ParameterError(f"several processes would each replace {out}; remove it before")
    if STDIN in inputs:
        raise ParameterError("several processes cannot share standard input; pass names, or a file")
    return out
