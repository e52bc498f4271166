"""Make room for what must be extracted again; what is good stays."""

import os
from dataclasses import dataclass
from pathlib import Path

from savs.foundation.files import PARTIAL
from savs.stores.errors import StoreLockedError, StoreWriteError
from savs.stores.files.addresses import local_folder
from savs.stores.format.manifest import manifest_bytes, read_manifest
from savs.stores.maintain.verify import Report, shard_problem, verify
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims
from savs.stores.write.opening import left_overs, require_no_writer

ASIDE = ".damaged"
"""Suffix of the name of a shard that was set aside."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did."""

    removed: tuple[str, ...]
    """Unfinished files and claims of writers that are gone."""
    set_aside: tuple[str, ...]
    """Damaged shards, which now bear another name: nothing of them is deleted."""
    to_redo: tuple[str, ...]
    """Planned shards that the next extraction makes, in plan order."""
    report: Report
    """What is left; without what was removed or set aside."""


def repair(store: str | Path, *, quick: bool = False) -> Repair:
    """Remove what dead writers left, set damaged shards aside, list what must be done again.

    A good shard is never touched, a damaged one is renamed, not deleted. `quick` judges shards by
    names, sizes and headers only. StoreNotFoundError, StoreFormatError, StoreCorruptError if there
    is no store.json to compare with. StoreReadError if it is a URL. StoreLockedError if a live
    process writes to the store. StoreWriteError if the folder cannot be written.
    """
    folder = local_folder(store)
    manifest_bytes(folder)  # nothing else is looked at if there is no store
    left_before = _seen(folder)
    require_no_writer(folder)
    before = verify(folder, quick=quick)
    now = _seen(folder)  # a writer may have come meanwhile
    stale = [path for path, seen in left_before.items() if now.get(path) == seen]
    damaged = [problem.file for problem in before.problems if problem.kind == "damaged"]
    try:
        aside = _mend(folder, stale, damaged, quick) if stale or damaged else []
    except StoreLockedError:
        raise
    except OSError as error:
        raise StoreWriteError(
            f"{folder} cannot be repaired: {error}; make the folder writable and try again"
        ) from error
    others = [p for p in before.problems if p.kind not in ("damaged", "left-over")]
    left = [p for p in others if p.kind != "missing" or not (folder / p.file).exists()]
    redo = {*aside, *(p.file for p in left if p.kind == "missing")}
    planned = [spec.name for spec in read_manifest(folder).plan.shards()]
    return Repair(
        removed=tuple(str(path.relative_to(folder)) for path in stale),
        set_aside=tuple(aside),
        to_redo=tuple(name for name in planned if name in redo),
        report=Report(before.shards, before.bytes, before.sealed, tuple(left)),
    )


def _seen(folder: Path) -> dict[Path, bytes | None]:
    """Return the claims, signs and unfinished files in a store, the first two with their text."""
    storage = ClaimFiles(folder)
    return {
        path: None if path.name.endswith(PARTIAL) else storage.read(path.name)
        for path in left_overs(folder, nobody_writes=True)
    }


def _mend(folder: Path, stale: list[Path], damaged: list[str], quick: bool) -> list[str]:
    """Remove files and set shards aside; return which shards.

    A writer may start meanwhile, and write a shard that was found damaged: so each is claimed, and
    judged once more.
    """
    for path in stale:
        path.unlink(missing_ok=True)
    with Claims(ClaimFiles(folder)) as claims:
        manifest, aside = read_manifest(folder), []
        for spec in manifest.plan.shards():
            path = folder / spec.name
            if spec.name in damaged and claims.take(spec.name) and path.exists():
                problem = shard_problem(folder, spec, manifest, quick=quick)
                if problem is not None and problem.kind == "damaged":
                    os.replace(path, _aside(path))
                    aside.append(spec.name)
        return aside


def _aside(path: Path) -> Path:
    """Return a name that no file bears: `NAME.damaged`, then `NAME.damaged.2` and so on."""
    first = path.with_name(path.name + ASIDE)
    later = (path.with_name(f"{path.name}{ASIDE}.{number}") for number in range(2, 10_000))
    return next(name for name in (first, *later) if not name.exists())
