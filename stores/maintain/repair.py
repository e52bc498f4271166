"""Make room for what must be extracted again; what is good stays."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from savs.stores.errors import StoreWriteError
from savs.stores.format.manifest import read_manifest
from savs.stores.maintain.verify import Report, verify
from savs.stores.write.locks import left_overs

ASIDE = ".damaged"
"""Behind the name of a shard that was set aside."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did."""

    removed: tuple[str, ...]
    """Partial files and locks of writers that are gone."""
    set_aside: tuple[str, ...]
    """Damaged shards, which now bear another name: nothing of them is deleted."""
    to_redo: tuple[str, ...]
    """Planned shards that the next extraction makes, in plan order."""
    report: Report
    """What is left; without what was removed or set aside."""


def repair(
    store: str | Path, *, quick: bool = False, on_bytes: Callable[[int], None] = lambda _: None
) -> Repair:
    """Remove what dead writers left, set damaged shards aside, list what must be done again.

    A good shard is never touched, a damaged one is renamed, not deleted.

    Parameters
    ----------
    store
        The store's folder.
    quick
        Judge shards by names, sizes and headers only.
    on_bytes
        Is told the bytes read, shard by shard.

    Raises
    ------
    StoreNotFoundError, StoreFormatError, StoreCorruptError
        There is no store.json to compare with.
    StoreWriteError
        The folder cannot be written.
    """
    folder = Path(store)
    before = verify(folder, quick=quick, on_bytes=on_bytes)
    stale = left_overs(folder)
    damaged = [problem.file for problem in before.problems if problem.kind == "damaged"]
    try:
        for path in stale:
            path.unlink(missing_ok=True)
        for name in damaged:
            os.replace(folder / name, _aside(folder / name))
    except OSError as error:
        raise StoreWriteError(
            f"{folder} cannot be repaired: {error}; make the folder writable and try again"
        ) from error
    missing = [problem.file for problem in before.problems if problem.kind == "missing"]
    left = [p for p in before.problems if p.kind not in ("damaged", "left-over")]
    redo = {*damaged, *missing}
    planned = [spec.name for spec in read_manifest(folder).plan.shards()]
    return Repair(
        removed=tuple(path.name for path in stale),
        set_aside=tuple(damaged),
        to_redo=tuple(name for name in planned if name in redo),
        report=Report(before.shards, before.bytes, before.sealed, tuple(left)),
    )


def _aside(path: Path) -> Path:
    """Return a name that no file bears: `NAME.damaged`, then `NAME.damaged.2` and so on."""
    first = path.with_name(path.name + ASIDE)
    later = (path.with_name(f"{path.name}{ASIDE}.{number}") for number in range(2, 10_000))
    return next(name for name in (first, *later) if not name.exists())
