"""Open a store for writing: made, resumed or extended, by one process or by many."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from savs.foundation.files import (
    PARTIAL,
    make_folder,
    noted_files,
    remove_empty,
    remove_noted,
)
from savs.stores.errors import (
    StoreLockedError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreWriteError,
)
from savs.stores.files.addresses import WRITABLE, is_remote, is_writable
from savs.stores.files.object_store import file_names
from savs.stores.format.layout import CARD, CLAIMS, MANIFEST, RESULTS
from savs.stores.format.manifest import (
    Identity,
    LateLabels,
    Manifest,
    read_manifest,
    write_manifest,
)
from savs.stores.format.plan import PlannedRow, ShardSpec, StorePlan, make_plan
from savs.stores.format.revision import UNREVISED, Revision
from savs.stores.write import signs_of_life as signs
from savs.stores.write.claim_files import NEW, ClaimFiles, ClaimObjects, claim_storage
from savs.stores.write.claims import ClaimLostError, Claims, newest, parse_claim
from savs.stores.write.signs_of_life import Process, has_ended, is_here, parse_process
from savs.stores.write.writer import FeatureWriter, change_manifest, write_errors

PlannedRows = Mapping[str, Sequence[PlannedRow]]
"""Split -> its examples, in the order of the input file."""


@contextmanager
def open_writer(
    path: Path,
    identity: Identity,
    rows: PlannedRows,
    *,
    shard_rows: int | None = None,
) -> Iterator[FeatureWriter]:
    """Make a store, or resume or extend the one that is there; other processes may do the same.

    Parameters
    ----------
    path
        The store's folder; made if it is not there.
    identity
        What the features are of; must equal that of a store that is there.
    rows
        All examples of each split, in the order of the input file.
    shard_rows
        Examples a shard at most, see `make_plan`.

    Raises
    ------
    StoreMismatchError
        The store there has another model, other settings or other examples; nothing is changed.
    StoreWriteError
        The folder cannot be made or written.
    """
    with reserve(path) as place:
        yield place.begin(identity, rows, shard_rows)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A folder that this process may write any store to; see `reserve`."""

    path: Path
    claims: Claims
    manifest: Manifest | None
    """Of the store that is there; None in a new folder."""

    def missing(
        self,
        identity: Identity,
        rows: PlannedRows,
        shard_rows: int | None,
        revision: Revision = UNREVISED,
    ) -> list[ShardSpec]:
        """Return what is still to be written; StoreMismatchError for another store."""
        agreed = _agreed(self.path, self.manifest, identity, rows, shard_rows, revision)
        return FeatureWriter(self.path, agreed, self.claims).missing()

    def begin(
        self,
        identity: Identity,
        rows: PlannedRows,
        shard_rows: int | None,
        revision: Revision = UNREVISED,
        like: StorePlan | None = None,
    ) -> FeatureWriter:
        """Make the store, or extend the one that is there, see `open_writer`.

        A new one gets the shards of `like`, the plan of another store, as far as those reach.
        """
        with write_errors(self.path / MANIFEST):
            while True:
                before = _stored_manifest(self.path)
                agreed = _agreed(self.path, before, identity, rows, shard_rows, revision, like)
                if before is not None and agreed != before:
                    agreed = change_manifest(
                        self.path,
                        self.claims,
                        lambda now: _agreed(self.path, now, identity, rows, shard_rows, revision),
                    )
                if before is not None or _is_first(self.path, self.claims, agreed):
                    return FeatureWriter(self.path, agreed, self.claims)


@contextmanager
def reserve(path: Any) -> Iterator[Reservation]:
    """Make a folder if it is not there, and show others that this process works on it.

    Parameters
    ----------
    path
        A folder, or a URL that can be written to.

    Raises
    ------
    StoreMismatchError
        The folder is not empty and holds no store.
    StoreWriteError
        The folder cannot be made or written, or it is a URL where processes cannot claim.
    """
    if not is_writable(path):
        raise StoreWriteError(
            f"{path} cannot be written; pass a folder, or a URL of {', '.join(WRITABLE)}"
        )
    with ExitStack() as stack:
        with write_errors(path):
            if not is_remote(path):
                _make_folder(path, stack)
            manifest = _stored_manifest(path)
        storage = claim_storage(path)
        with write_errors(path / CLAIMS):
            claims = Claims(storage)
            if isinstance(storage, ClaimObjects):
                storage.require_conditions(f"{claims.process.id}.probe")
            stack.enter_context(claims)
            for left in [] if is_remote(path) else left_overs(path):
                if left.name.endswith(PARTIAL):  # claims are taken over, not removed
                    left.unlink(missing_ok=True)
        yield Reservation(path, claims, manifest)


def _make_folder(path: Path, stack: ExitStack) -> None:
    """Make a folder, which is removed again if nothing comes into it."""
    if os.path.lexists(path) and not path.is_dir():
        raise StoreWriteError(f"{path} is a file, not a folder; pass another `out`")
    if not path.exists():
        stack.callback(_remove_if_empty, path)
    make_folder(path)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _stored_manifest(path: Any) -> Manifest | None:
    """Return the manifest of a folder, None if it is empty."""
    try:
        return read_manifest(path)
    except StoreNotFoundError:
        names = sorted(file_names(path))
        strangers = [n for n in names if n != CLAIMS and not n.endswith(PARTIAL)]
    if not strangers:
        return None
    try:
        return read_manifest(path)  # another process may have made the store meanwhile
    except StoreNotFoundError:
        raise StoreMismatchError(
            f"{path} holds {strangers[0]} but no {MANIFEST}, so it is not a feature store;"
            " pass a new or empty folder as `out`"
        ) from None


def _is_first(path: Path, claims: Claims, manifest: Manifest) -> bool:
    """Write the first store.json of a store; False if another process was first."""
    with claims.hold(MANIFEST):
        if _stored_manifest(path) is not None:
            return False
        with (
            suppress(FileExistsError, ClaimLostError),
            claims.publishing(MANIFEST) as require_claim,
        ):
            write_manifest(path, manifest, before_naming=require_claim)
            return True
    return False


def _agreed(
    path: Path,
    stored: Manifest | None,
    identity: Identity,
    rows: PlannedRows,
    shard_rows: int | None,
    revision: Revision,
    like: StorePlan | None = None,
) -> Manifest:
    """Return the manifest that both a folder and this run hold to."""
    if stored is None:
        return Manifest(identity, make_plan(rows, shard_rows, like, revision.sources))
    differences = stored.identity.differences(identity)
    if differences:
        raise StoreMismatchError(
            f"{path} was extracted with other settings:\n  "
            + "\n  ".join(differences)
            + "\nuse those settings, or pass another `out`"
        )
    try:
        earlier = revision.plan_of(stored)
        plan = make_plan(rows, shard_rows, earlier, revision.sources)
    except StoreMismatchError as error:
        raise StoreMismatchError(f"{path}: {error}") from error
    listed = tuple(shard for shard in stored.shards if (path / shard.name).exists())
    labels = _still_late(revision.labels_of(stored), plan)
    rows_now = revision.rows_of(stored)
    try:
        return replace(stored, plan=plan, shards=listed, labels=labels, rows=rows_now)
    except ValueError as error:
        raise StoreMismatchError(
            f"{path}: {error}; give the new example another id, or leave it out"
        ) from error


def _still_late(labels: LateLabels, plan: StorePlan) -> LateLabels:
    """Return the labels that a plan leaves: an example that was added by its id replaces one.

    Else a split would have the id twice: of the row that a label brought there, and of the new one.
    """
    planned = {split: set(rows.ids) for split, rows in plan.splits.items()}
    remaining = {
        split: {
            name: label
            for name, label in rows.items()
            if label.split == split or name not in planned.get(label.split, ())
        }
        for split, rows in labels.items()
    }
    return {split: rows for split, rows in remaining.items() if rows}


BEGUN = "new-store"
"""What a process claims that writes a new store, of which store.json comes last."""
EMPTY = "pass a new or empty folder"
NOTHING_LEFT = "nothing of the new store is left; make room, or pass another `out`"


@contextmanager
def whole_store(out: Path, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Write a new store whole, or leave the folder as it was: a copy, a part or a union of others.

    It is no store before the block ends, so no other process joins it, and what a killed writer
    left is removed first. StoreMismatchError if the folder is not empty, StoreLockedError if
    another process makes a store there, StoreWriteError if the disk refuses.
    """
    with ExitStack() as stack:
        with write_errors(out):
            _require_empty(out)
            _make_folder(out, stack)
        with write_errors(out / MANIFEST):
            claims = stack.enter_context(Claims(ClaimFiles(out)))
            claims.sweep()
            for left in left_overs(out):
                left.unlink(missing_ok=True)
            claim_begun(out, claims)
            if (out / MANIFEST).exists():
                raise _just_made(out)
            for left in map(out.joinpath, filter(_WRITTEN.fullmatch, file_names(out))):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        written, writer = stack.enter_context(noted_files()), FeatureWriter(out, manifest, claims)
        try:
            yield writer
            try:
                with write_errors(out / MANIFEST), claims.publishing(BEGUN) as require_claim:
                    write_manifest(out, writer.sealed(manifest), before_naming=require_claim)
            except (FileExistsError, ClaimLostError):
                raise _just_made(out) from None
        except BaseException as error:
            with suppress(OSError):
                remove_noted([one for one in reversed(written) if one[0].is_relative_to(out)])
                remove_empty(out / RESULTS)
            if isinstance(error, StoreWriteError) and isinstance(error.__cause__, OSError):
                with write_errors(out, NOTHING_LEFT):
                    raise error.__cause__ from None
            raise


def _require_empty(path: Path) -> None:
    """Raise StoreMismatchError if a folder has more than a killed writer of a new store left."""
    if not os.path.lexists(path):
        return
    names = file_names(path) if path.is_dir() else {path.name}
    has_claims = path.is_dir() and CLAIMS in names
    begun = has_claims and BEGUN in newest(ClaimFiles(path).names())
    others = {name for name in names if name != CLAIMS and not name.endswith(PARTIAL)}
    if others and not (begun and all(map(_WRITTEN.fullmatch, others))):
        raise StoreMismatchError(f"{path} exists and is not empty; {EMPTY}")
    if has_claims and not begun:  # else who holds `BEGUN` is asked
        require_no_writer(path)


def _just_made(path: Path) -> StoreMismatchError:
    return StoreMismatchError(f"another process has just made a store in {path}; {EMPTY}")


def claim_begun(path: Path, claims: Claims) -> None:
    """Claim `BEGUN`, maybe of a killed writer; StoreLockedError if another process was first."""
    while not claims.take(BEGUN):
        holder = claims.holder(BEGUN)
        if holder is not None and claims.signs.lives(holder.id):
            raise StoreLockedError(
                f"{path} is being written by {holder}; wait for it, or pass another folder"
            )
        time.sleep(signs.LOOK_EVERY_S)


_WRITTEN = re.compile(rf".+-\d{{5,}}\.h5|{re.escape(CARD)}|{re.escape(RESULTS)}")
"""Names in a new store before store.json: all that its next writer removes."""
_UNFINISHED = re.compile(rf"(.+-\d+\.h5|{re.escape(MANIFEST)})\..*{re.escape(PARTIAL)}")
"""Name of an unfinished file, with the name that it was to get."""


def require_sole_writer(path: Path, claims: Claims) -> None:
    """Raise StoreLockedError while another process writes to a store, whose shards it may make."""
    for process, _ in signs.read_signs(claim_storage(path)):
        if process.id != claims.process.id and claims.signs.lives(process.id):
            raise StoreLockedError(
                f"{path} is being written by {process}, and its source has changed since; wait for"
                " it, or stop it"
            )


def left_overs(folder: Path, *, nobody_writes: bool = False) -> list[Path]:
    """Return the claims, signs and unfinished files in a store whose writers are gone.

    Without `nobody_writes` those of processes on other hosts are left alone. An unfinished file has
    a claim as long as its writer lives, so the claims are looked at after it was seen.
    """
    unfinished = [path for path in sorted(folder.glob(f"*{PARTIAL}")) if path.is_file()]
    storage = ClaimFiles(folder)
    names = sorted(storage.names())

    def is_gone(process: Process | None) -> bool:
        return nobody_writes or (process is not None and has_ended(process))

    holders = {
        name: parse_process(storage.read(f"{name}.{generation}"))
        for name, generation in newest(names).items()
    }
    gone = {name for name, holder in holders.items() if is_gone(holder)}
    signs_gone = {p.id + signs.SIGN for p, _ in signs.read_signs(storage) if is_gone(p)}
    leftovers = [
        path
        for name in names
        if (name.removesuffix(NEW) in signs_gone or parse_claim(name)[0] in gone)
        and not (path := folder / CLAIMS / name).is_dir()  # no process makes one
    ]
    for path in unfinished:
        target = _UNFINISHED.fullmatch(path.name)
        if target and target[1] not in holders.keys() - gone and path.exists():
            leftovers.append(path)
    return leftovers


def require_no_writer(folder: Path) -> None:
    """Raise StoreLockedError while a live process writes to a store.

    A process on another host lives if it shows a sign within `STALE_S`; this waits for that.
    """
    storage = ClaimFiles(folder)
    first = _alive(storage)
    deadline_s = time.monotonic() + signs.STALE_S
    while True:
        now = _alive(storage)
        for process, sign in now.items():
            if is_here(process) or first.get(process) != sign:
                raise StoreLockedError(
                    f"{folder} is being written by {process}; wait for it, or stop it"
                )
        if not now or time.monotonic() > deadline_s:
            return
        time.sleep(signs.LOOK_EVERY_S)


def _alive(storage: ClaimFiles) -> dict[Process, Any]:
    """Return the processes of which it is not known that they have ended, and their signs."""
    process_signs = signs.read_signs(storage)
    return {process: sign for process, sign in process_signs if not has_ended(process)}
