"""The jobs of a whole run, made ahead of the model: media read, rows made requests, batches cut."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from savs.datasets import Example, MediaFolder
from savs.pipeline.extraction.batches.assembly import Assembly
from savs.pipeline.extraction.batches.jobs import Job, Request
from savs.pipeline.extraction.batches.plan import BatchLimits, make_batches
from savs.pipeline.extraction.batches.token_counts import TokenCounter
from savs.pipeline.extraction.batches.window import ReadMedium, Window, windows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """The rows of a window, as the engine takes them over."""

    assembly: Assembly
    skipped: Mapping[int, str]
    """Place of a row -> why its media cannot be read."""
    waiting: Sequence[tuple[int, int]]
    """Request and place of each other row."""
    digests: Mapping[int, tuple[str, ...]]
    """Place of a row -> SHA-256 of its media."""
    jobs: Sequence[Job]
    is_last: bool
    """Whether it ends its shard."""


@dataclass
class Planner:
    """Makes jobs of the rows of shards, one shard after the other."""

    counter: TokenCounter
    limits: BatchLimits
    _requests: Iterator[int] = field(default_factory=count)
    _jobs: Iterator[int] = field(default_factory=count)

    def plan(self, assembly: Assembly, media: MediaFolder) -> Iterator[PlannedWindow]:
        """Yield the windows of a shard. Rows with equal media and equal prompts are one request."""
        known: dict[tuple[tuple[str, ...], str], int] = {}
        for window in windows(assembly.examples, media):
            yield self._window(assembly, window, known)

    def _window(
        self,
        assembly: Assembly,
        window: Window,
        known: dict[tuple[tuple[str, ...], str], int],
    ) -> PlannedWindow:
        skipped: dict[int, str] = {}
        waiting: list[tuple[int, int]] = []
        digests: dict[int, tuple[str, ...]] = {}
        new: list[tuple[int, Example, list[ReadMedium]]] = []
        for place in window.places:
            example = assembly.examples[place]
            found = [window.media[name] for name in example.media]
            absent = next((m for m in found if isinstance(m, str)), None)
            if absent is not None:
                skipped[place] = absent
                continue
            seen = [m for m in found if isinstance(m, ReadMedium)]
            digests[place] = tuple(m.sha256 for m in seen)
            key = (digests[place], example.prompt)
            if key not in known:
                known[key] = next(self._requests)
                new.append((known[key], example, seen))
            waiting.append((known[key], place))
        is_last = window.places[-1] == len(assembly.examples) - 1
        return PlannedWindow(assembly, skipped, waiting, digests, self._cut(new), is_last)

    def _cut(self, new: Sequence[tuple[int, Example, list[ReadMedium]]]) -> list[Job]:
        """Return the jobs of new requests."""
        texts = self.counter.text([example.prompt for _, example, _ in new]) if new else []
        requests = [
            Request(
                number=number,
                example=example.id,
                prompt=example.prompt,
                media=tuple(m.sha256 for m in seen),
                images=sum(len(m.sizes) for m in seen),
                tokens=text + sum(self.counter.image(*size) for m in seen for size in m.sizes),
            )
            for (number, example, seen), text in zip(new, texts, strict=True)
        ]
        media = {m.sha256: m.medium for _, _, seen in new for m in seen}
        return [
            Job(next(self._jobs), tuple(batch), {d: media[d] for r in batch for d in r.media})
            for batch in make_batches(requests, self.limits)
        ]


def ahead(made: Iterator[T]) -> Generator[T, None, None]:
    """Yield what an iterator gives, made in a thread, one item ahead of the consumer."""
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="savs-planner") as pool:
        upcoming = pool.submit(next, made, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, made, end)
            yield item
