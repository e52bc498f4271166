"""The shards that a run wants, claimed one after the other until all of them are done."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from savs.stores.format.plan import ShardSpec
from savs.stores.write.claims import Claims
from savs.stores.write.write_errors import write_errors

AT_A_TIME = 2
"""Claims whose holders an idle process asks for at each look: all together ask for all."""
FEW = 64
"""So many shards are looked at one by one, more by a list of all files."""
LOOK_EVERY_S = 1.0
"""How often an idle process looks whether a shard can be claimed; if none could, less and less."""
LOOKS, LONGEST = 10, 30
"""It waits so many times as long as a look took, and so many times `LOOK_EVERY_S` at most: hundreds
of idle processes that list a large folder all the time would hold up those that work."""
SELDOM, SLOWER = 5, 1.2
"""Times as seldom at last, and by which factor from one look to the next."""


class OpenShards:
    """Shards that are still to be done, by this process or by others.

    Parameters
    ----------
    specs
        The shards that the run wants, in plan order.
    claims
        Those of this process.
    is_done
        Says whether a shard is published, by whomever.
    all_done
        Returns the names of those that are published, by one look at the store; given those that
        are asked for by name.
    path
        The store, for messages.
    start
        Where in `specs` this process begins, as a share of their number: ranks that begin at
        different places seldom meet.
    """

    def __init__(
        self,
        specs: Sequence[ShardSpec],
        claims: Claims,
        is_done: Callable[[ShardSpec], bool],
        all_done: Callable[[Mapping[str, ShardSpec]], set[str]],
        path: Any,
        start: float = 0.0,
    ) -> None:
        first = int(len(specs) * start)
        self._left = {spec.name: spec for spec in [*specs[first:], *specs[:first]]}
        """Not done yet, as far as is known."""
        self._claims = claims
        self._is_done = is_done
        self._all_done = all_done
        self._path = path
        self._last_look_s = time.monotonic()
        self._taken: set[str] = set()
        """Shards that this process works on."""
        self._claimed: set[str] = set()
        """Shards that were seen claimed; they may be free again."""
        self._own: set[str] = set()
        """Shards that it ever claimed."""
        self.others_rows = 0
        """Rows of shards that other processes have done meanwhile."""

    def claimed(self) -> Iterator[ShardSpec]:
        """Claim and yield shards until each is done, or claimed by a process that may live."""
        while (spec := self._next()) is not None:
            self._taken.add(spec.name)
            self._own.add(spec.name)
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
        """Claim the next shard; StoreWriteError where the disk refuses."""
        with write_errors(self._path):
            return self._find()

    def _find(self) -> ShardSpec | None:
        """Claim the next shard: one whose holder is gone, or that nobody claims."""
        if left := self._claims.left_by_others(self._left):
            found = self._first(iter([self._left[name] for name in sorted(left)]))
            if found is not None:
                return found
        for _ in range(2):  # by what was claimed at an earlier look, then by what is claimed now
            if (found := self._first(self._free())) is not None:
                return found
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
            for name in self._all_done(self._left):
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
        if not self._is_done(spec):
            return False
        self._take_out(spec.name)
        if (
            time.monotonic() - self._last_look_s > SELDOM * LOOK_EVERY_S
        ):  # others may have done many
            self._look()
        return True

    def _take_out(self, name: str) -> None:
        spec = self._left.pop(name)
        self.others_rows += 0 if name in self._own else spec.rows
