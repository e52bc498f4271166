"""Fill a store that is open: shard after shard, then the seal."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from savs.stores.errors import StoreMismatchError
from savs.stores.files.object_store import file_names
from savs.stores.format.layout import CLAIMS, MANIFEST, SECONDS, Facts
from savs.stores.format.manifest import Manifest, SealedShard, read_manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent, check_content
from savs.stores.shard.read import open_shard
from savs.stores.shard.write import write_shard
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.manifest_change import change_manifest, replace_manifest
from savs.stores.write.open_shards import OpenShards
from savs.stores.write.write_errors import write_errors


@dataclass(frozen=True, slots=True)
class FeatureWriter:
    """A store that is open for writing, maybe by other processes too; made by `open_writer`."""

    path: Path
    """The store's folder."""
    manifest: Manifest
    """Content of store.json, as it was when the store was opened."""
    claims: Claims
    """Those of this process."""
    _written: set[str] = field(default_factory=set, repr=False)
    """Shards that this process has written."""
    _reopened: dict[str, int] = field(default_factory=dict, repr=False)
    """Finished shards that may be written once more -> their fingerprint until then."""

    def missing(self) -> list[ShardSpec]:
        """Return the planned shards that have no file yet, in plan order."""
        present = file_names(self.path)
        return [spec for spec in self.manifest.plan.shards() if spec.name not in present]

    def reopen_skipped(
        self, can_redo: Callable[[ShardSpec, Sequence[str]], bool] = lambda _, __: True
    ) -> list[ShardSpec]:
        """Let the finished shards that skipped an example be written again, and return them.

        Until then they stay as they are; each is replaced as a whole, or not at all. A shard of a
        process that still works on this store is not among them: it has just tried. Nor is one of
        which `can_redo`, given the shard and the ids of its rows, says no.
        """
        found = []
        lives = cache(self.claims.signs.lives)  # it may wait for a sign
        for spec in self.manifest.plan.shards():
            if not (self.path / spec.name).exists():
                continue
            if not can_redo(spec, self.manifest.plan.planned_ids(spec)):
                continue
            with open_shard(self.path / spec.name, spec, self.manifest) as shard:
                if shard.rows < spec.rows and not lives(shard.run.get("writer")):
                    found.append(spec)
                    self._reopened[spec.name] = shard.fingerprint
        return found

    def open_shards(self, specs: Sequence[ShardSpec], start: float = 0.0) -> OpenShards:
        """Return shards that this process does together with others, see `OpenShards`."""
        return OpenShards(specs, self.claims, self.is_done, self._all_done, self.path, start)

    def is_done(self, spec: ShardSpec) -> bool:
        """Return whether a shard has its file, and was written again if it was reopened."""
        path = self.path / spec.name
        if not path.exists():
            return False
        if spec.name in self._written or spec.name not in self._reopened:
            return True
        with open_shard(path, spec, self.manifest) as shard:
            return shard.fingerprint != self._reopened[spec.name]

    def _all_done(self, specs: Mapping[str, ShardSpec]) -> set[str]:
        """Return the names of those shards that are done, see `is_done`."""
        found = file_names(self.path) & specs.keys()
        again = found & self._reopened.keys()
        return found - {name for name in again if not self.is_done(specs[name])}

    def write(self, spec: ShardSpec, content: ShardContent) -> bool:
        """Write one planned shard; nothing is left under its name unless it is whole.

        Returns False where another process has published it, which took this one for dead.

        Raises
        ------
        FeatureValueError
            A wrong shape or type, NaN or infinity; the message names the layer and the example.
        StoreWriteError
            The disk refused; the shards written before stay as they are.
        StoreMismatchError
            The shard has its file already, and was not reopened.
        StoreLockedError
            Another process has claimed it.
        """
        check_content(spec, self.manifest.plan.planned_ids(spec), self.manifest.identity, content)
        path = self.path / spec.name
        with write_errors(path):
            if not self.claims.has(spec.name):
                if self.is_done(spec):
                    raise StoreMismatchError(
                        f"{path} exists; a finished shard is not written again"
                    )
                self.claims.require(spec.name)
            while self.claims.holds(spec.name):
                try:
                    self._publish(spec, content)
                    self._written.add(spec.name)
                    self.claims.retire(spec.name)
                    return True
                except FileExistsError:
                    break
                except ClaimLostError:  # of the shard, or of store.json alone
                    continue
            self.claims.release(spec.name)
        return False

    def _publish(self, spec: ShardSpec, content: ShardContent) -> None:
        """Write a shard whose claim is held."""
        again = spec.name in self._reopened
        names = (spec.name, MANIFEST) if again else (spec.name,)
        with (
            self.claims.hold(MANIFEST) if again else nullcontext(),
            self.claims.publishing(*names) as require_claim,
        ):
            if again:
                self._unlist(spec)
            write_shard(
                self.path / spec.name,
                spec,
                self.manifest.identity,
                content,
                replace_old=again,
                before_naming=require_claim,
            )

    def _unlist(self, spec: ShardSpec) -> None:
        """Take a shard out of the seal before its file changes: its digest will be another."""
        now = read_manifest(self.path)
        kept = tuple(shard for shard in now.shards if shard.name != spec.name)
        if kept != now.shards:
            replace_manifest(self.path, self.claims, replace(now, shards=kept))

    def settle_batching(self, wanted: Facts) -> Facts:
        """Record how batches are made, unless another process just did; return what is recorded."""

        def settle(now: Manifest) -> Manifest:
            is_settled = now.batching != self.manifest.batching
            return now if is_settled else replace(now, batching=wanted)

        return change_manifest(self.path, self.claims, settle).batching

    def seal(self) -> bool:
        """List all shards, digests and runs in store.json; False while any shard is missing.

        What an earlier seal says of a shard that was not written again is kept, so that a later
        run cannot bless a damaged file.
        """
        if not _is_complete(self.path, read_manifest(self.path)):
            return False
        sealed = change_manifest(self.path, self.claims, self._sealed).sealed
        with write_errors(self.path / CLAIMS):
            self.claims.sweep()
        return sealed

    def _sealed(self, now: Manifest) -> Manifest:
        """Return a manifest that lists all shards, or the same while one is missing."""
        if not _is_complete(self.path, now):  # another process may have extended the plan
            return now
        before = {shard.name: shard for shard in now.shards}
        runs, sealed = list(now.runs), []
        for spec in now.plan.shards():
            if spec.name in before:
                sealed.append(before[spec.name])
                continue
            path = self.path / spec.name
            with open_shard(path, spec, now) as shard:
                rows = shard.rows
                run = {name: value for name, value in shard.run.items() if name != SECONDS}
            if run not in runs:
                runs.append(run)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            sealed.append(SealedShard(spec.name, rows, path.stat().st_size, sha256))
        return replace(now, runs=tuple(runs), shards=tuple(sealed))


def _is_complete(folder: Path, manifest: Manifest) -> bool:
    present = file_names(folder)
    return all(spec.name in present for spec in manifest.plan.shards())
