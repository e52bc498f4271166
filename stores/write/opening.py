"""Open a store for writing: made, resumed or extended, by one process or by many."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from savs.foundation.files import PARTIAL, make_folder
from savs.stores.errors import StoreMismatchError, StoreNotFoundError, StoreWriteError
from savs.stores.files.object_store import object_names
from savs.stores.files.paths import WRITABLE, is_remote, is_writable
from savs.stores.format.layout import CLAIMS, MANIFEST
from savs.stores.format.manifest import Identity, Manifest, read_manifest, write_manifest
from savs.stores.format.plan import PlannedRow, ShardSpec, make_plan
from savs.stores.write.begun_store import EMPTY, claim_begun, is_begun, remove_begun
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claim_objects import ClaimObjects, claim_storage
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.left_overs import left_overs
from savs.stores.write.manifest_change import change_manifest
from savs.stores.write.write_errors import write_errors
from savs.stores.write.writer import FeatureWriter

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
        The store there is of another model, other settings or other examples; nothing is changed.
    StoreWriteError
        The folder cannot be made or written.
    """
    with reserve(path) as place:
        yield place.begin(identity, rows, shard_rows)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A folder that this process may write to, whatever it will be a store of; see `reserve`."""

    path: Path
    claims: Claims
    found: Manifest | None
    """Of the store that is there; None in a new folder."""

    def missing(
        self, identity: Identity, rows: PlannedRows, shard_rows: int | None
    ) -> list[ShardSpec]:
        """Return what is still to be written, without changing anything.

        Raises
        ------
        StoreMismatchError
            The store there is of other features or other examples.
        """
        agreed = _agreed(self.path, self.found, identity, rows, shard_rows)
        return FeatureWriter(self.path, agreed, self.claims).missing()

    def begin(self, identity: Identity, rows: PlannedRows, shard_rows: int | None) -> FeatureWriter:
        """Make the store, or extend the one that is there, see `open_writer`."""
        with write_errors(self.path / MANIFEST):
            agreed = _agree(self.path, self.claims, identity, rows, shard_rows)
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
            found = _found(path)
        storage = claim_storage(path)
        with write_errors(path / CLAIMS):
            claims = Claims(storage)
            if isinstance(storage, ClaimObjects):
                storage.require_conditions(f"{claims.process.id}.probe")
            stack.enter_context(claims)
            for left in [] if is_remote(path) else left_overs(path):
                if left.name.endswith(PARTIAL):  # claims are taken over, not removed
                    left.unlink(missing_ok=True)
        yield Reservation(path, claims, found)


def _make_folder(path: Path, stack: ExitStack) -> None:
    """Make a folder, which is removed again if nothing comes into it."""
    if os.path.lexists(path) and not path.is_dir():
        raise StoreWriteError(f"{path} is a file, not a folder; pass another --out")
    if not path.exists():
        stack.callback(_remove_if_empty, path)
    make_folder(path)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def new_writer(path: Path, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Make a store of a manifest that is known already: a copy, a part or a union of others.

    Where the writer of the same store was killed, it is begun again.

    Raises
    ------
    StoreMismatchError
        The folder is not empty.
    StoreLockedError
        Another process makes a store there.
    StoreWriteError
        The folder cannot be made or written.
    """
    with write_errors(path):
        begun = is_begun(path, manifest)
        is_new = not path.exists()
        make_folder(path)
    with ExitStack() as stack:
        if is_new:
            stack.callback(_remove_if_empty, path)
        with write_errors(path / MANIFEST):
            claims = stack.enter_context(Claims(ClaimFiles(path)))
            claim_begun(path, claims)
            if begun:
                remove_begun(path, manifest, claims)
            else:
                _write_first(path, manifest, claims)
        yield FeatureWriter(path, manifest, claims)


def _write_first(path: Path, manifest: Manifest, claims: Claims) -> None:
    try:
        with claims.hold(MANIFEST):  # an unfinished file without a claim is removed by others
            write_manifest(path, manifest)
    except FileExistsError as error:
        raise StoreMismatchError(
            f"another process has just made a store in {path}; {EMPTY}"
        ) from error


def _found(path: Any) -> Manifest | None:
    """Return the manifest of a folder, None where it is empty."""
    try:
        return read_manifest(path)
    except StoreNotFoundError:
        names = object_names(path) if is_remote(path) else [p.name for p in path.iterdir()]
        strangers = [n for n in sorted(names) if n != CLAIMS and not n.endswith(PARTIAL)]
    if not strangers:
        return None
    try:
        return read_manifest(path)  # another process may have made the store meanwhile
    except StoreNotFoundError:
        raise StoreMismatchError(
            f"{path} holds {strangers[0]} but no {MANIFEST}, so it is not a feature store;"
            " pass a new or empty folder as --out"
        ) from None


def _agree(
    path: Path, claims: Claims, identity: Identity, rows: PlannedRows, shard_rows: int | None
) -> Manifest:
    """Write the manifest that both the folder and this run hold to, and return it."""
    while True:
        before = _found(path)
        agreed = _agreed(path, before, identity, rows, shard_rows)
        if agreed == before:
            return agreed
        if before is not None:
            return change_manifest(
                path, claims, lambda now: _agreed(path, now, identity, rows, shard_rows)
            )
        if _is_first(path, claims, agreed):
            return agreed


def _is_first(path: Path, claims: Claims, manifest: Manifest) -> bool:
    """Write the first store.json of a store; False where another process was first."""
    with claims.hold(MANIFEST):
        if _found(path) is not None:
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
    found: Manifest | None,
    identity: Identity,
    rows: PlannedRows,
    shard_rows: int | None,
) -> Manifest:
    """Return the manifest that both a folder and this run hold to."""
    if found is None:
        return Manifest(identity, make_plan(rows, shard_rows))
    differences = found.identity.differences(identity)
    if differences:
        raise StoreMismatchError(
            f"{path} was extracted with other settings:\n  "
            + "\n  ".join(differences)
            + "\nuse those settings, or pass another --out"
        )
    try:
        plan = make_plan(rows, shard_rows, found.plan)
    except StoreMismatchError as error:
        raise StoreMismatchError(f"{path}: {error}") from error
    listed = tuple(shard for shard in found.shards if (path / shard.name).exists())
    return replace(found, plan=plan, shards=listed)
