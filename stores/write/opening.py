"""Open a store for writing: its folder kept for one rank, then made, resumed or extended."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from savs.foundation.errors import ParameterError
from savs.stores.errors import StoreMismatchError, StoreNotFoundError, StoreWriteError
from savs.stores.format.layout import DEFAULT_SHARD_ROWS, MANIFEST
from savs.stores.format.manifest import Identity, Manifest, read_manifest, write_manifest
from savs.stores.format.plan import PlannedRow, ShardSpec, make_plan
from savs.stores.write.disk_errors import disk_errors
from savs.stores.write.locks import manifest_lock, remove_partial_shards, writer_lock
from savs.stores.write.writer import FeatureWriter

OWN_SUFFIXES = (".lock", ".partial")
"""What a writer may have left in a folder before there was a store.json."""

PlannedRows = Mapping[str, Sequence[PlannedRow]]
"""Split -> its examples, in the order of the input file."""


@contextmanager
def open_writer(
    path: Path,
    identity: Identity,
    rows: PlannedRows,
    *,
    shard_rows: int = DEFAULT_SHARD_ROWS,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[FeatureWriter]:
    """Make a store, or resume or extend the one that is there, as the writer of one rank.

    Parameters
    ----------
    path
        The store's folder; made if it is not there.
    identity
        What the features are of; must equal that of a store that is there.
    rows
        All examples of each split, in the order of the input file.
    shard_rows
        Examples a shard at most.
    rank, ranks
        Of the planned shards, this process writes each `ranks`-th, from `rank` on.

    Raises
    ------
    StoreMismatchError
        The store there is of another model, other settings or other examples; nothing is changed.
    StoreLockedError
        A live process writes to it as this rank.
    StoreWriteError
        The folder cannot be made or written.
    """
    with reserve(path, rank=rank, ranks=ranks) as place:
        yield place.begin(identity, rows, shard_rows)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A folder that one rank may write to, whatever it will be a store of; made by `reserve`."""

    path: Path
    rank: int
    ranks: int
    takeover: str | None
    """Says whose lock was taken over, if a dead writer left one."""
    found: Manifest | None
    """Of the store that is there; None in a new folder."""

    def missing(self, identity: Identity, rows: PlannedRows, shard_rows: int) -> list[ShardSpec]:
        """Return what this rank would have to write, without changing anything.

        Raises
        ------
        StoreMismatchError
            The store there is of other features or other examples.
        """
        agreed = _agreed(self.path, self.found, identity, rows, shard_rows)
        return self._writer(agreed).missing()

    def begin(self, identity: Identity, rows: PlannedRows, shard_rows: int) -> FeatureWriter:
        """Make the store, or extend the one that is there, see `open_writer`."""
        with disk_errors(self.path / MANIFEST), manifest_lock(self.path):
            return self._writer(_agree(self.path, identity, rows, shard_rows))

    def _writer(self, manifest: Manifest) -> FeatureWriter:
        return FeatureWriter(self.path, manifest, self.rank, self.ranks)


@contextmanager
def reserve(path: Path, *, rank: int = 0, ranks: int = 1) -> Iterator[Reservation]:
    """Make a folder if it is not there, and keep other processes from writing to it as one rank.

    Raises
    ------
    StoreMismatchError
        The folder is not empty and holds no store.
    StoreLockedError
        A live process writes to it as this rank.
    StoreWriteError
        The folder cannot be made or written.
    """
    if not 0 <= rank < ranks:
        raise ParameterError(f"rank is {rank} of {ranks}, expected 0 <= rank < ranks")
    with disk_errors(path):
        if path.exists() and not path.is_dir():
            raise StoreWriteError(f"{path} is a file, not a folder; pass another --out")
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if is_new:
            stack.callback(_remove_if_empty, path)
        with disk_errors(path), manifest_lock(path):
            takeover = stack.enter_context(writer_lock(path, rank))
            with disk_errors(path / MANIFEST):
                remove_partial_shards(path, rank)
                found = _found(path)
        yield Reservation(path, rank, ranks, takeover, found)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def new_writer(path: Path, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Make a store of a manifest that is known already: a copy, a part or a union of others.

    Raises
    ------
    StoreMismatchError
        The folder is not empty.
    StoreWriteError
        The folder cannot be made or written.
    """
    with disk_errors(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise StoreMismatchError(f"{path} exists and is not empty; pass a new or empty folder")
        is_new = not path.exists()
        path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if is_new:
            stack.callback(_remove_if_empty, path)
        with disk_errors(path / MANIFEST):
            stack.enter_context(writer_lock(path, 0))
            write_manifest(path, manifest)
        yield FeatureWriter(path, manifest, 0, 1)


def _found(path: Path) -> Manifest | None:
    """Return the manifest of a folder, None where it is empty."""
    try:
        return read_manifest(path)
    except StoreNotFoundError:
        strangers = sorted(p.name for p in path.iterdir() if p.suffix not in OWN_SUFFIXES)
        if strangers:
            raise StoreMismatchError(
                f"{path} holds {strangers[0]} but no {MANIFEST}, so it is not a feature store;"
                " pass a new or empty folder as --out"
            ) from None
        return None


def _agree(path: Path, identity: Identity, rows: PlannedRows, shard_rows: int) -> Manifest:
    """Write the manifest that both the folder and this run hold to, and return it."""
    before = _found(path)
    agreed = _agreed(path, before, identity, rows, shard_rows)
    if agreed != before:
        try:
            write_manifest(path, agreed, replace_old=before is not None)
        except FileExistsError:  # another machine was first, whose lock is not seen here
            return _agree(path, identity, rows, shard_rows)
    return agreed


def _agreed(
    path: Path,
    found: Manifest | None,
    identity: Identity,
    rows: PlannedRows,
    shard_rows: int,
) -> Manifest:
    """Return the manifest that both a folder and this run hold to."""
    if found is None:
        return Manifest(identity, make_plan(rows, shard_rows))
    differences = found.identity.differences(identity)
    if differences:
        raise StoreMismatchError(
            f"{path} was extracted with other settings:\n  "
            + "\n  ".join(differences)
            + "\nuse those settings, or pass another folder as --out"
        )
    try:
        plan = make_plan(rows, shard_rows, found.plan)
    except StoreMismatchError as error:
        raise StoreMismatchError(f"{path}: {error}") from error
    listed = tuple(shard for shard in found.shards if (path / shard.name).exists())
    return replace(found, plan=plan, shards=listed)
