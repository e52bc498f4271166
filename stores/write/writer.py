"""Fill a store: the manifest first, then shard after shard, then the seal."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from savs.foundation.errors import ParameterError
from savs.stores.errors import (
    StoreMismatchError,
    StoreNotFoundError,
    StoreWriteError,
)
from savs.stores.format.layout import (
    DEFAULT_SHARD_ROWS,
    MANIFEST,
    Facts,
)
from savs.stores.format.manifest import (
    Identity,
    Manifest,
    SealedShard,
    read_manifest,
    write_manifest,
)
from savs.stores.format.plan import PlannedRow, ShardSpec, make_plan
from savs.stores.shard.content import ShardContent, check_content
from savs.stores.shard.read import open_shard
from savs.stores.shard.write import write_shard
from savs.stores.write.disk_errors import disk_errors
from savs.stores.write.locks import manifest_lock, remove_partial_shards, writer_lock

OWN_SUFFIXES = (".lock", ".partial")
"""What a writer may have left in a folder before there was a store.json."""

PlannedRows = Mapping[str, Sequence[PlannedRow]]
"""Split -> its examples, in the order of the input file."""


@dataclass(frozen=True, slots=True)
class FeatureWriter:
    """A store that is open for writing as one rank; made by `open_writer`."""

    path: Path
    """The store's folder."""
    manifest: Manifest
    rank: int
    ranks: int
    _written: set[str] = field(default_factory=set, repr=False)
    """Shards that this process has written."""
    _reopened: set[str] = field(default_factory=set, repr=False)
    """Finished shards that this process may write once more."""

    def missing(self) -> list[ShardSpec]:
        """Return the planned shards of this rank that have no file yet, in plan order."""
        return [spec for spec in self._of_rank() if not (self.path / spec.name).exists()]

    def _of_rank(self) -> list[ShardSpec]:
        specs = self.manifest.plan.shards()
        return [spec for place, spec in enumerate(specs) if place % self.ranks == self.rank]

    def with_skips(self) -> list[ShardSpec]:
        """Return this rank's finished shards that skipped an example."""
        found = []
        for spec in self._of_rank():
            if (self.path / spec.name).exists():
                with open_shard(self.path / spec.name, spec, self.manifest) as shard:
                    if shard.rows < spec.rows:
                        found.append(spec)
        return found

    def reopen_skipped(self) -> list[ShardSpec]:
        """Let this rank's shards that skipped an example be written again, and return them.

        Until then they stay as they are; each is replaced as a whole, or not at all.
        """
        found = self.with_skips()
        self._reopened.update(spec.name for spec in found)
        return found

    def write(self, spec: ShardSpec, content: ShardContent) -> Path:
        """Write one planned shard; nothing is left under its name unless it is whole.

        Raises
        ------
        FeatureValueError
            A wrong shape or type, NaN or infinity; the message names the layer and the example.
        StoreWriteError
            The disk refused; the shards written before stay as they are.
        StoreMismatchError
            The shard has its file already, and was not reopened.
        """
        check_content(spec, self.manifest.plan.planned_ids(spec), self.manifest.identity, content)
        path = self.path / spec.name
        again = spec.name in self._reopened
        if path.exists() and not again:
            raise StoreMismatchError(f"{path} exists; a finished shard is not written again")
        with disk_errors(path), manifest_lock(self.path) if again else nullcontext():
            if again:
                self._unlist(spec)
            write_shard(path, spec, self.manifest.identity, content, self.rank, replace_old=again)
        self._written.add(spec.name)
        self._reopened.discard(spec.name)
        return path

    def settle_batching(self, wanted: Facts) -> Facts:
        """Record how batches are made, unless another rank just did; return what is recorded."""
        with disk_errors(self.path / MANIFEST), manifest_lock(self.path):
            now = read_manifest(self.path)
            if now.batching != self.manifest.batching:
                return now.batching
            write_manifest(self.path, replace(now, batching=wanted), replace_old=True)
        return wanted

    def _unlist(self, spec: ShardSpec) -> None:
        """Take a shard out of the seal before its file changes: its digest will be another."""
        now = read_manifest(self.path)
        kept = tuple(shard for shard in now.shards if shard.name != spec.name)
        if kept != now.shards:
            write_manifest(self.path, replace(now, shards=kept), replace_old=True)

    def seal(self) -> bool:
        """List all shards, digests and runs in store.json; False while any shard is missing.

        What an earlier seal says of a shard that was not written again is kept, so that a later
        run cannot bless a damaged file.
        """
        with disk_errors(self.path / MANIFEST), manifest_lock(self.path):
            now = read_manifest(self.path)  # another rank may have extended or sealed it
            if not all((self.path / spec.name).exists() for spec in now.plan.shards()):
                return False
            write_manifest(self.path, self._sealed(now), replace_old=True)
        return True

    def _sealed(self, now: Manifest) -> Manifest:
        """Return a manifest that lists all shards."""
        before = {shard.name: shard for shard in now.shards if shard.name not in self._written}
        runs, sealed = list(now.runs), []
        for spec in now.plan.shards():
            if spec.name in before:
                sealed.append(before[spec.name])
                continue
            path = self.path / spec.name
            with open_shard(path, spec, now) as shard:
                rows, run = shard.rows, shard.run
            if run not in runs:
                runs.append(run)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            sealed.append(SealedShard(spec.name, rows, path.stat().st_size, sha256))
        return replace(now, runs=tuple(runs), shards=tuple(sealed))


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
    found: Identity | None
    """What the store that is there is of; None in a new folder."""

    def missing(self, identity: Identity, rows: PlannedRows, shard_rows: int) -> list[ShardSpec]:
        """Return what this rank would have to write, without changing anything.

        Raises
        ------
        StoreMismatchError
            The store there is of other features or other examples.
        """
        agreed = _agreed(self.path, _found(self.path), identity, rows, shard_rows)
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
        yield Reservation(path, rank, ranks, takeover, found and found.identity)


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
        path.mkdir(parents=True, exist_ok=True)
    with writer_lock(path, 0):
        with disk_errors(path / MANIFEST):
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
        except FileExistsError:  # another rank was first
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
