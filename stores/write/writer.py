"""Fill a store that is open: shard after shard, then the seal."""

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from savs.stores.errors import StoreMismatchError
from savs.stores.format.layout import MANIFEST, Facts
from savs.stores.format.manifest import Manifest, SealedShard, read_manifest, write_manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent, check_content
from savs.stores.shard.read import open_shard
from savs.stores.shard.write import write_shard
from savs.stores.write.disk_errors import disk_errors
from savs.stores.write.locks import manifest_lock


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
