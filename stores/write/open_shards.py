"""The shards that a run wants, claimed one after the other until all of them are done."""

import time
from collections.abc import Callable, Iterator, Sequence

from savs.stores.format.plan import ShardSpec
from savs.stores.write.claims import Claims

LOOK_EVERY_S = 1.0
"""How often an idle process looks whether a shard can be claimed."""


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
    start
        Where in `specs` this process begins, as a share of their number: ranks that begin at
        different places seldom meet.
    """

    def __init__(
        self,
        specs: Sequence[ShardSpec],
        claims: Claims,
        is_done: Callable[[ShardSpec], bool],
        start: float = 0.0,
    ) -> None:
        first = int(len(specs) * start)
        self._left = [*specs[first:], *specs[:first]]
        """Not done yet, as far as is known."""
        self._claims = claims
        self._is_done = is_done
        self._taken: set[str] = set()
        """Shards that this process works on."""
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
        while self._next() is None:  # what it claims is yielded later: the claim stays
            on_look()
            if not self._left:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _next(self) -> ShardSpec | None:
        """Claim the next shard that nobody else has; without one, one whose holder is gone."""
        names = self._claims.names()
        others = {s.name for s in self._left if s.name in names and not self._claims.has(s.name)}
        for of_others in (False, True):
            for spec in [s for s in self._left if (s.name in others) == of_others]:
                if spec.name in self._taken or self._is_over(spec):
                    continue
                if self._claims.take(spec.name):
                    if not self._is_over(spec):  # published before its claim was given up
                        return spec
                    self._claims.release(spec.name)
        return None

    def _is_over(self, spec: ShardSpec) -> bool:
        if not self._is_done(spec):
            return False
        self._left.remove(spec)
        self.others_rows += 0 if spec.name in self._own else spec.rows
        return True
