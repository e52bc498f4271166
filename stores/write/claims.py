"""Claims: which process makes which shard, and which one changes store.json.

A claim is a small file, `NAME.GENERATION`, that only one process can make. Its holder renews a file
of its own, its *sign*, as long as it lives. Where the sign has not changed for `STALE_S`, by the
clock of whoever looks, or where the holder is known to have ended, another process may take the
claim over: it makes the file of the next generation. No file is removed and made again by two.

A process that was only asleep may wake up and go on. So whoever takes over first removes what the
earlier holder had not published, and a holder asks `holds` between writing and publishing: either
it finds that its claim is lost, or its unfinished file is gone, or it was published before.
"""

import json
import random
import re
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Self

from savs.stores.errors import StoreLockedError, StoreWriteError
from savs.stores.write.claim_files import ClaimStorage
from savs.stores.write.signs_of_life import Process, Signs, parse_process, read_signs

LATEST = 999
"""Most generations of a claim: each is a process that died. Numbers after it were not made here."""
_CLAIM = re.compile(r"(?P<name>.+)\.(?P<generation>0|[1-9][0-9]{0,2})", re.DOTALL)
FIRST_POLL_S, LONGEST_POLL_S = 0.02, 1.0
"""How long a process waits before it asks again for a name that others hold."""


class ClaimLostError(Exception):
    """A claim was taken over while its holder was asleep: what it made must not be published."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """The newest claim on a name."""

    generation: int
    data: bytes | None


class Claims:
    """What one process claims in a store; a context that shows signs of life while it is open."""

    def __init__(self, storage: ClaimStorage) -> None:
        self.signs = Signs(storage)
        self.process = self.signs.process
        self._storage = storage
        self._held: dict[str, int] = {}
        """Name -> generation of this process's claim."""
        self._lock = Lock()
        self._one_holder = Lock()
        """Threads of this process hold a name one after the other."""

    def __enter__(self) -> Self:
        try:
            self.signs.start()
        except OSError:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.signs.stop()
        self._leave()

    def _leave(self) -> None:
        with suppress(OSError):  # whatever ended the run is more important
            for name in list(self._held):
                self.release(name)
            self.signs.remove()
            self._storage.remove_if_empty()

    def left_by_others(self, names: Container[str]) -> set[str]:
        """Return which of some names are claimed by processes that were seen to be gone."""
        gone = set(self.signs.gone)
        if not gone:
            return set()
        claimed = [name for name in self.names() if name in names]
        orphaned = {name for name in claimed if (p := self.holder(name)) and p.id in gone}
        if not orphaned:
            self.signs.gone -= gone
        return orphaned

    def names(self) -> set[str]:
        """Return what is claimed now, by any process."""
        return set(newest(self._storage.names()))

    def take(self, name: str) -> bool:
        """Claim a name; False while another process that may live holds it.

        Two processes never hold one name, unless the one was taken for dead: see `holds`.
        """
        return (
            self.holds(name) or self._claim(name, None) or self._take_over(name, self._newest(name))
        )

    def _take_over(self, name: str, claim: _Claim | None) -> bool:
        """Claim a name whose claim was found, if nobody stands after that, nor after newer ones.

        Between the claim that was found and a newer one some may be missing: a process that was
        killed while it gave its claim back has removed only the older ones.
        """
        while claim is not None and self._is_stale(name, claim):
            if self._claim(name, claim):
                return True
            listed = self._listed(name)
            if listed is None or listed.generation == claim.generation:
                return False
            claim = listed
        return False

    def _claim(self, name: str, before: _Claim | None) -> bool:
        """Make the claim that follows another one; False if others were first, or are newer."""
        # Whoever makes the next generation's file may still be wrong: the claim that it was judged
        # by may have been given back and made again since, by a process that lives. So it is read
        # once more. Nobody can do that later on: those who look now see the newer claim and stop.
        generation = before.generation + 1 if before else 0
        if generation > LATEST:
            raise StoreWriteError(
                f"claims/{name}.{LATEST} is the claim of the {LATEST:,}th process that died; stop"
                " all processes of this store, and remove its folder claims"
            )
        if not self._storage.create(f"{name}.{generation}", self._text()):
            return False
        moved = before is not None and (
            self._storage.read(f"{name}.{before.generation}") != before.data
        )
        if moved or self._storage.read(f"{name}.{generation + 1}") is not None:
            self._storage.remove(f"{name}.{generation}")  # others released and claimed meanwhile
            return False
        if before is not None:  # the earlier holder may only be asleep: it must not publish
            self._storage.remove_unfinished(name)
        with self._lock:
            self._held[name] = generation
        return True

    def holds(self, name: str) -> bool:
        """Return whether this process's claim on a name was made and not taken over since."""
        generation = self._held.get(name)
        return (
            generation is not None
            and self._storage.read(f"{name}.{generation + 1}") is None
            and self._storage.read(f"{name}.{generation}") == self._text()
        )

    def has(self, name: str) -> bool:
        """Return whether this process has claimed a name and not given it back."""
        return name in self._held

    @contextmanager
    def publishing(self, *names: str) -> Iterator[Callable[[], None]]:
        """Publish in the block what names are claimed for; ClaimLostError if one was lost.

        Yields a function that is to be called when the unfinished file is there, before it gets
        its name.
        """

        def require() -> None:
            if not all(map(self.holds, names)):
                raise ClaimLostError(names[0])

        try:
            yield require
        except FileNotFoundError:  # whoever took over has removed the unfinished file
            require()
            raise

    def release(self, name: str) -> None:
        """Give a claim back; one that was taken over is left to whoever has it now."""
        if self.holds(name):
            self.retire(name)
        with self._lock:
            self._held.pop(name, None)

    def retire(self, name: str) -> None:
        """Remove all claims on a name up to that of this process, which needs it no more."""
        # the newest last: until it is gone, nobody else can claim
        for generation in range(self._held.get(name, -1) + 1):
            self._storage.remove(f"{name}.{generation}")
        with self._lock:
            self._held.pop(name, None)

    def holder(self, name: str) -> Process | None:
        """Return who claims a name; None if nobody does, or its file does not say."""
        claim = self._newest(name)
        return parse_process(claim.data) if claim else None

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold a name while the block runs; waits for others that hold it."""
        with self._one_holder:
            wait_s = FIRST_POLL_S
            while not self._take_newest(name):
                time.sleep(wait_s * random.uniform(0.5, 1.5))
                wait_s = min(2 * wait_s, LONGEST_POLL_S)
            try:
                yield
            finally:
                self.release(name)

    def _take_newest(self, name: str) -> bool:
        """Claim a name, and see to it that no claim is newer, whichever were removed before."""
        if not self.take(name):
            return False
        listed = self._listed(name)
        if listed is not None and listed.generation == self._held[name]:
            return True
        self.release(name)
        return self._take_over(name, listed)

    def require(self, name: str) -> None:
        """Claim a name, or raise StoreLockedError that says who holds it."""
        if not self.take(name):
            raise StoreLockedError(
                f"{name} is being written by {self.holder(name) or 'another process'}; wait for it,"
                " or stop it"
            )

    def sweep(self) -> None:
        """Remove what processes left that are gone, once nothing is left to take over."""
        for name, generation in newest(self._storage.names()).items():
            claim = _Claim(generation, self._storage.read(f"{name}.{generation}"))
            if self._is_stale(name, claim):
                for older in range(generation + 1):
                    self._storage.remove(f"{name}.{older}")
        for process, _ in read_signs(self._storage):
            if self.signs.is_gone(process):
                self.signs.remove(process)

    def _newest(self, name: str) -> _Claim | None:
        """Return the newest claim; an older one may have been removed before it, which is rare."""
        claim, generation = None, 0
        while (data := self._storage.read(f"{name}.{generation}")) is not None:
            claim, generation = _Claim(generation, data), generation + 1
        return claim or self._listed(name)

    def _listed(self, name: str) -> _Claim | None:
        """Return the newest of all claims on a name, by a list of all files."""
        generation = newest(self._storage.names()).get(name)
        if generation is None:
            return None
        return _Claim(generation, self._storage.read(f"{name}.{generation}"))

    def _is_stale(self, name: str, claim: _Claim) -> bool:
        process = parse_process(claim.data)
        if process is None:  # not written yet, or never
            return self.signs.is_silent(f"{name}.{claim.generation}", None)
        return self.signs.is_gone(process)

    def _text(self) -> bytes:
        return json.dumps(self.process.to_json()).encode()


def newest(names: list[str]) -> dict[str, int]:
    """Return each claimed name with the newest generation of its claims."""
    generations: dict[str, int] = {}
    for file in names:
        name, generation = parse_claim(file)
        if generation is not None:
            generations[name] = max(generation, generations.get(name, generation))
    return generations


def parse_claim(file: str) -> tuple[str, int | None]:
    """Return name and generation of a claim's file; None as generation of other files."""
    claim = _CLAIM.fullmatch(file)
    return (file, None) if claim is None else (claim["name"], int(claim["generation"]))
