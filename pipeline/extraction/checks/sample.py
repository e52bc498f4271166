"""A few of the user's own prompts, on which a run tries its ways."""

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from savs.datasets import Example
from savs.datasets.media.videos import videos_of
from savs.datasets.rows.media_names import is_video_name
from savs.pipeline.extraction.batches.feed import MediaOf
from savs.pipeline.extraction.batches.prepare import pieces_of
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.prompts.pieces import Pieces, shape_of

T = TypeVar("T")
COMPARED = 4
"""Examples that are tried."""
SIZED = 200
"""Examples whose sounds are looked at to find short and long ones among them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A few of the user's own prompts."""

    prompts: Sequence[Pieces]
    seconds: float
    """Time that one of them takes to be decoded and encoded: the median; 0 without prompts."""


def sample(encoder: PromptEncoder, examples: Sequence[Example], media: MediaOf) -> Sample:
    """Return a few prompts of different lengths, as in every batch of one shape, see `shape_of`.

    Where names tell that some show videos and others do not, up to half are of each: two shapes. Of
    sounds the smallest and the largest file are among them: models may treat short ones otherwise.
    """
    named: dict[bool, list[Example]] = {}
    for example in sorted(examples, key=lambda e: (len(e.media), len(e.prompt))):
        named.setdefault(any(map(is_video_name, example.media)), []).append(example)
    kinds: dict[bool, list[Pieces]] = {}
    seconds: list[float] = []
    by_size = (_by_size(rows, media) for rows in named.values())
    for example in chain.from_iterable(_spread(rows, COMPARED) for rows in by_size):
        started = time.perf_counter()
        try:
            read = encoder.text_read(example.prompt, example.media)
            pieces = pieces_of(replace(example, prompt=read), media(example), encoder)
            encoder.encode([pieces])
        except Exception:  # the run itself skips it, and says so
            continue
        seconds.append(time.perf_counter() - started)
        kinds.setdefault(bool(videos_of(pieces)), []).append(pieces)
    prompts = [
        pieces
        for of_kind in kinds.values()
        for pieces in _spread(_alike(of_kind), COMPARED // len(kinds))
    ]
    return Sample(prompts, statistics.median(seconds) if seconds else 0.0)


def _by_size(examples: Sequence[Example], media: MediaOf) -> Sequence[Example]:
    """Return examples of sounds by the bytes of their files, some of many; others as they are."""
    if not any(examples[0].sounds):
        return examples
    some = _spread(examples, SIZED)
    return sorted(some, key=lambda e: sum(media(e).size(name) or 0 for name in e.media))


def _spread(items: Sequence[T], count: int) -> list[T]:
    """Return some of a list at equal distances, both ends among them; all of a shorter one."""
    places = (round(step * (len(items) - 1) / (count - 1)) for step in range(count))
    return [items[place] for place in dict.fromkeys(places)]


def _alike(prompts: Sequence[Pieces]) -> list[Pieces]:
    """Return the prompts of the shape that most have."""
    [(often, _)] = Counter(map(shape_of, prompts)).most_common(1)
    return [pieces for pieces in prompts if shape_of(pieces) == often]
