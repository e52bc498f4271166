"""Fill a store that is open: shard after shard, then the seal."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path

from savs.foundation.errors import SavsError
from savs.foundation.files import FULL, file_sha256
from savs.stores.errors import StoreMismatchError, StoreWriteError
from savs.stores.files.addresses import reason
from savs.stores.files.object_store import file_names
from savs.stores.format.layout import CLAIMS, MANIFEST, SECONDS, Facts
from savs.stores.format.manifest import Manifest, SealedShard, read_manifest, write_manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent, check_content
from savs.stores.shard.hdf5 import write_shard
from savs.stores.shard.read import open_shard
from savs.stores.write.claims import ClaimLostError, Claims

AT_A_TIME = 2
"""Claims whose holders an idle process asks for at each look: all together ask for all."""
FEW = 64
"""Up to this number, shards are looked up one by one; more by a list of all files."""
LOOK_EVERY_S = 1.0
"""How often an idle process looks whether a shard can be claimed; if none could, less and less."""
LOOKS, LONGEST = 10, 30
"""It waits a multiple of as long as a look took, and a multiple of `LOOK_EVERY_S` at most: hundreds
of idle processes that list a large folder all the time would hold up those that work."""
SELDOM, SLOWER = 5, 1.2
"""Times as seldom at last, and by which factor from one look to the next."""
RESUME = "finished shards are kept; run the same command again to resume"


@contextmanager
def write_errors(path: Path, safe: str = RESUME) -> Iterator[None]:
    """Turn errors of the disk into one line that says what is safe and what to do."""
    try:
        yield
    except (SavsError, BlockingIOError, FileExistsError):
        raise
    except PermissionError as error:
        raise StoreWriteError(
            f"{path} cannot be written: {reason(error)}; make it writable, or use another folder"
        ) from error
    except OSError as error:
        what = "the disk is full" if error.errno in FULL else f"the disk cannot be written: {error}"
        raise StoreWriteError(f"{path}: {what}; {safe}") from error


def change_manifest(
    folder: Path, claims: Claims, change: Callable[[Manifest], Manifest]
) -> Manifest:
    """Replace the manifest of a store by what `change` makes of it, and return that.

    A process that was taken for dead meanwhile begins again with what store.json says then.
    """
    with write_errors(folder / MANIFEST):
        while True:
            with claims.hold(MANIFEST):
                before = read_manifest(folder)
                after = change(before)
                try:
                    if after != before:
                        replace_manifest(folder, claims, after)
                    return after
                except ClaimLostError:
                    continue


def replace_manifest(folder: Path, claims: Claims, manifest: Manifest) -> None:
    """Write store.json, whose claim is held; ClaimLostError if that was taken over."""
    with claims.publishing(MANIFEST) as require_claim:
        write_manifest(folder, manifest, replace_old=True, before_naming=require_claim)


class OpenShards:
    """Shards that are still to be done, by this process or by others; `specs` are in plan order.

    A shard is done when all `writers` have it; it is claimed in the store of the first alone. This
    process begins at `start`, a share of all: ranks that begin at different places seldom meet.
    """

    def __init__(
        self, specs: Sequence[ShardSpec], writers: "Sequence[FeatureWriter]", start: float = 0.0
    ) -> None:
        first = int(len(specs) * start)
        self._left = {spec.name: spec for spec in [*specs[first:], *specs[:first]]}
        """Not done yet, as far as is known."""
        self._writers = writers
        self._claims = writers[0].claims
        self._last_look_s = time.monotonic()
        self._taken: set[str] = set()
        """Shards that this process works on."""
        self._claimed: set[str] = set()
        """Shards that were seen claimed; they may be free again."""
        self._ever_claimed: set[str] = set()
        """Shards that it ever claimed."""
        self.others_rows = 0
        """Rows of shards that other processes have done meanwhile."""

    def claimed(self) -> Iterator[ShardSpec]:
        """Claim and yield shards until each is done, or claimed by a process that may live."""
        while (spec := self._next()) is not None:
            self._taken.add(spec.name)
            self._ever_claimed.add(spec.name)
            yield spec

    def wait(self, on_look: Callable[[], None] = lambda: None) -> bool:
        """Wait until `claimed` has something to yield, True, or all shards are done, False.

        What this process claimed before is expected to be done, or lost to another process.
        `on_look` is called whenever nothing was found.
        """
        self._taken.clear()
        pause = 1.0
        while True:
            began_s = time.monotonic()
            if self._next() is not None:  # it is yielded later: the claim stays
                return True
            looked_s = time.monotonic() - began_s
            on_look()
            if not self._left:
                return False
            wait_s = max(LOOK_EVERY_S * pause, min(LOOKS * looked_s, LOOK_EVERY_S * LONGEST))
            time.sleep(wait_s * random.uniform(0.8, 1.2))
            pause = min(pause * SLOWER, SELDOM)

    def _next(self) -> ShardSpec | None:
        """Claim the next shard; StoreWriteError if the disk refuses."""
        with write_errors(self._writers[0].path):
            # First one whose holder is gone, then one that nobody claims: by what was claimed at an
            # earlier look, then by what is claimed now.
            left = self._claims.left_by_others(self._left)
            if shard := self._first(iter([self._left[name] for name in sorted(left)])):
                return shard
            for _ in range(2):
                if shard := self._first(self._free()):
                    return shard
                self._look()
            # An idle process asks of some of the claims at a time whether their holders still live.
            some = list(islice(self._left.values(), AT_A_TIME))
            for spec in some:
                self._left[spec.name] = self._left.pop(spec.name)
            return self._first(iter(some))

    def _look(self) -> None:
        """Look at the store as a whole: what is claimed, and what is done."""
        self._claimed = self._claims.names()
        if len(self._left) > FEW:
            for name in set.intersection(*(w.all_done(self._left) for w in self._writers)):
                self._take_out(name)
        self._last_look_s = time.monotonic()

    def _free(self) -> Iterator[ShardSpec]:
        """Yield shards that nobody else was seen to claim; others may be taken out meanwhile."""
        tried: set[str] = set()

        def is_free(name: str) -> bool:
            return name not in tried and (name not in self._claimed or self._claims.has(name))

        while (name := next(filter(is_free, self._left), None)) is not None:
            tried.add(name)
            yield self._left[name]

    def _first(self, specs: Iterator[ShardSpec]) -> ShardSpec | None:
        """Claim the first of some shards that is not done and can be claimed."""
        for spec in specs:
            if spec.name in self._taken or self._is_over(spec):
                continue
            if self._claims.take(spec.name):
                if not self._is_over(spec):  # published before its claim was given up
                    return spec
                self._claims.release(spec.name)
            else:
                self._claimed.add(spec.name)
        return None

    def _is_over(self, spec: ShardSpec) -> bool:
        """Return whether a shard is done; then it is never looked at again."""
        if spec.name not in self._left:
            return True
        if not all(writer.is_done(spec) for writer in self._writers):
            return False
        self._take_out(spec.name)
        is_long_ago = time.monotonic() - self._last_look_s > SELDOM * LOOK_EVERY_S
        if is_long_ago:  # others may have done many
            self._look()
        return True

    def _take_out(self, name: str) -> None:
        spec = self._left.pop(name)
        self.others_rows += 0 if name in self._ever_claimed else spec.rows


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
        reopened = []
        lives = cache(self.claims.signs.lives)  # it may wait for a sign
        for spec in self.manifest.plan.shards():
            if not (self.path / spec.name).exists():
                continue
            if not can_redo(spec, self.manifest.plan.planned_ids(spec)):
                continue
            with open_shard(self.path / spec.name, spec, self.manifest) as shard:
                if shard.rows < spec.rows and not lives(shard.run.get("writer")):
                    reopened.append(spec)
                    self._reopened[spec.name] = shard.fingerprint
        return reopened

    def open_shards(
        self,
        specs: Sequence[ShardSpec],
        start: float = 0.0,
        followers: "Sequence[FeatureWriter]" = (),
    ) -> OpenShards:
        """Return shards that this process does with others, see `OpenShards`."""
        return OpenShards(specs, (self, *followers), start)

    def is_done(self, spec: ShardSpec) -> bool:
        """Return whether a shard has its file, and was written again if it was reopened."""
        path = self.path / spec.name
        if not path.exists():
            return False
        if spec.name in self._written or spec.name not in self._reopened:
            return True
        with open_shard(path, spec, self.manifest) as shard:
            return shard.fingerprint != self._reopened[spec.name]

    def all_done(self, specs: Mapping[str, ShardSpec]) -> set[str]:
        """Return the names of those shards that are done, by one look at the store."""
        written = file_names(self.path) & specs.keys()
        again = written & self._reopened.keys()
        return written - {name for name in again if not self.is_done(specs[name])}

    def write(self, spec: ShardSpec, content: ShardContent) -> bool:
        """Write one planned shard; nothing is left under its name unless it is whole.

        Returns False if another process has published it, which took this one for dead.
        FeatureValueError for a wrong shape or type, NaN or infinity; the message names layer and
        example. StoreWriteError if the disk refused; the shards written before stay as they are.
        StoreMismatchError if the shard has its file already, and was not reopened.
        StoreLockedError if another process has claimed it.
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
            if again:  # out of the seal before its file changes: its digest will be another
                now = read_manifest(self.path)
                shards = tuple(shard for shard in now.shards if shard.name != spec.name)
                if shards != now.shards:
                    replace_manifest(self.path, self.claims, replace(now, shards=shards))
            write_shard(
                self.path / spec.name,
                spec,
                self.manifest.identity,
                content,
                replace_old=again,
                before_naming=require_claim,
            )

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
        sealed = change_manifest(self.path, self.claims, self.sealed).sealed
        with write_errors(self.path / CLAIMS):
            self.claims.sweep()
        return sealed

    def sealed(self, now: Manifest) -> Manifest:
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
            sealed.append(SealedShard(spec.name, rows, path.stat().st_size, file_sha256(path)))
        return replace(now, runs=tuple(runs), shards=tuple(sealed))


def _is_complete(folder: Path, manifest: Manifest) -> bool:
    present = file_names(folder)
    return all(spec.name in present for spec in manifest.plan.shards())
