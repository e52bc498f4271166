"""What the parts of an extraction hand to each other, and which prompts run together.

Rows with equal prompts are one request; requests of similar length are one job, which a worker
prepares; what it gives back is run as a batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import torch

from savs.datasets.example import columns_of
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media_kinds.catalogue import COLUMNS, Decoded
from savs.datasets.media_kinds.decoders.videos import Video, video_pieces
from savs.datasets.media_kinds.medium import IMAGE_COLUMN
from savs.pipeline.encoders.image import image_tokens
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.prompts.chat import PROMPTS
from savs.pipeline.prompts.input_names import GRID, PIXELS

ImageKey = tuple[str, int]
"""What an image is known by: SHA-256 of its medium, and which frame of that it is."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt with its media: what runs once for all rows that are equal in both."""

    number: int
    """Counts the requests of a run."""
    example: str
    """Id of its first row, for messages."""
    prompt: str
    media: tuple[str, ...]
    """SHA-256 of each medium, in the order of the prompt."""
    images: int
    """Images that the model gets, frames of videos included, as far as known before decoding."""
    tokens: int
    """Length of the model's input, as far as known before decoding."""
    pixels: int = 0
    """Pixels of its images, as they are decoded."""
    labels: tuple[int, ...] = ()
    """The labels whose likelihood is kept, see `Answers.labels_of`."""
    generates: bool = False
    """Whether its answer is generated, see `Answers.generates_for`."""
    context: int = -1
    """The demonstrations after which they are asked, too, by number; -1 for none."""

    @property
    def columns(self) -> tuple[str, ...]:
        """As what each medium is read, see `columns_of`."""
        return columns_of(self.prompt, len(self.media))


@dataclass(frozen=True, slots=True)
class Medium:
    """The bytes of an image, a video or a sound."""

    name: str
    """As the first row names it, for messages."""
    data: bytes

    def decode(self, rules: MediaRules, column: str) -> Sequence[Decoded]:
        """Return what stands in a prompt for it, see `decode_medium`."""
        return decode_medium(self.data, self.name, rules, column)


@dataclass(frozen=True, slots=True)
class WindowMedium:
    """A window of a video, whose frames were decoded in the order of its file, see `Clips`."""

    name: str
    video: Video

    def decode(self, rules: MediaRules, column: str) -> Sequence[Decoded]:
        """Return what stands in a prompt for it; MediaError if that has a sound."""
        del column
        return video_pieces(self.video, self.name, rules)


@dataclass(frozen=True, slots=True)
class Job:
    """One batch as it goes to a worker process: all that preparing it needs."""

    requests: tuple[Request, ...]
    media: Mapping[str, Medium | WindowMedium]
    """SHA-256 -> medium, for all media of the requests."""
    shared: bool = False
    """Prepare each image once, for all requests that show it; see `Prepared.image_keys`."""
    is_first: bool = False
    """Whether it is the first of its shard: what the model kept of others is not continued, so
    that a shard has the same bits whatever ran before it."""

    def alone(self) -> "list[Job]":
        """Return a job for each of the requests."""
        return [
            replace(self, requests=(r,), media={m: self.media[m] for m in r.media})
            for r in self.requests
        ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Inputs that are ready to run."""

    requests: tuple[int, ...]
    """Numbers of the requests, in the order of the batch."""
    inputs: dict[str, Any]
    """What the model takes."""
    images: int
    """Images of each prompt, frames of its videos included."""
    image_keys: tuple[tuple[ImageKey, ...], ...] = ()
    """The images of each prompt in reading order, where they were prepared once for all prompts:
    `inputs` then describe the text alone."""
    vision: Mapping[ImageKey, Mapping[str, Any]] = field(default_factory=dict)
    """What the vision tower takes for each image that is shown."""
    is_plain: bool = True
    """Whether prompts have neither videos nor sounds; with these, pixels are normalised already."""
    host_inputs: dict[str, Any] = field(default_factory=dict)
    """What the model would compute from the inputs, see `host_inputs`; nothing if it does."""

    def take(self, rows: Sequence[int]) -> "Prepared":
        """Return some prompts, without preparing them again; adjacent ones where a range is given.

        Tensors have an item a prompt, or an item an image, of which each prompt has as many;
        patches lie one after the other, and a grid says how many each image has. ValueError if a
        tensor has another number of items, or prompts have videos or sounds.
        """
        if not self.is_plain:
            raise ValueError("how each processor lays out videos and sounds is not known")
        count, inputs = len(self.requests), dict[str, Any]()
        index = slice(rows.start, rows.stop) if isinstance(rows, range) else list(rows)
        for name, value in self.inputs.items():
            if name == PROMPTS:
                inputs[name] = [value[row] for row in rows]
            elif not torch.is_tensor(value):
                inputs[name] = value
            elif name == PIXELS and GRID in self.inputs:
                patches = self.inputs[GRID].prod(dim=1).unflatten(0, (count, -1)).sum(dim=1)
                ends = [0, *patches.cumsum(0).tolist()]
                inputs[name] = value[ends[rows[0]] : ends[rows[-1] + 1]]
            elif len(value) in (count, count * self.images):
                inputs[name] = value.unflatten(0, (count, len(value) // count))[index].flatten(0, 1)
            else:
                raise ValueError(f"{name} has {len(value)} items for {count} prompts")
        image_keys = tuple(self.image_keys[row] for row in rows if self.image_keys)
        shown_keys = set(chain.from_iterable(image_keys))
        return replace(
            self,
            requests=tuple(self.requests[row] for row in rows),
            inputs=inputs,
            image_keys=image_keys,
            vision={key: value for key, value in self.vision.items() if key in shown_keys},
            host_inputs={},
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that cannot be run."""

    request: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """A job as a worker process gives it back."""

    parts: Sequence[Prepared | Refused]
    thumbnails: Mapping[int, bytes]
    """Number of a request -> a small JPEG of its first medium."""
    unshared: str = ""
    """Why images that requests share were prepared for each, where that was so."""
    cut: frozenset[str] = frozenset()
    """SHA-256 of the sounds that were cut."""


MOST_PIXELS = 2**28
"""Decoded pixels of a batch at most, some 800 MB in each worker; more in one prompt run alone."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be."""

    rows: int
    """Prompts at most."""
    tokens: int
    """Prompts times the length of the longest, at most; a longer prompt is a batch by itself."""


def make_batches(
    requests: Sequence[Request], limits: BatchLimits, *, shared: bool = False
) -> list[list[Request]]:
    """Return the requests that run together: of like length, so that little is padded.

    A batch has one number of images, and of sounds: some models are wrong where it differs within a
    batch. Requests are ordered by these, then by tokens, then by number, and cut where a limit is
    reached, that of `MOST_PIXELS` included. If images are `shared`, requests with the same ones
    stay together, ordered by the longest of them.

    Examples
    --------
    >>> long, short, middle = (Request(n, "", "", (), 0, t) for n, t in enumerate((90, 10, 80)))
    >>> batches = make_batches([long, short, middle], BatchLimits(rows=8, tokens=200))
    >>> [[r.tokens for r in batch] for batch in batches]
    [[10, 80], [90]]
    >>> requests = [Request(n, "", "", (name,), 1, 9) for n, name in enumerate("aba")]
    >>> batches = make_batches(requests, BatchLimits(rows=2, tokens=99), shared=True)
    >>> [[(r.media[0], r.number) for r in batch] for batch in batches]
    [[('a', 0), ('a', 2)], [('b', 1)]]
    """
    groups: dict[Any, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.media if shared else request.number, []).append(request)
    ordered = sorted(
        groups.values(), key=lambda g: (_media(g[0]), max(r.tokens for r in g), g[0].number)
    )
    batches: list[list[Request]] = []
    longest = pixels = 0
    for request in chain.from_iterable(ordered):
        last = batches[-1] if batches else []
        longest = max(longest, request.tokens)
        if not last or last[-1].media != request.media:
            pixels += request.pixels
        room = (
            last
            and _media(last[0]) == _media(request)
            and len(last) < limits.rows
            and (len(last) + 1) * longest <= limits.tokens
            and pixels <= MOST_PIXELS
        )
        if room:
            last.append(request)
        else:
            batches.append([request])
            longest, pixels = request.tokens, request.pixels
    return batches


def _media(request: Request) -> tuple[int, ...]:
    """Return how many images the model gets, and how many media of other columns."""
    others = (request.columns.count(column) for column in COLUMNS if column != IMAGE_COLUMN)
    return request.images, *others


PIXELS_A_TOKEN = 28 * 28
"""Where a processor does not tell: patches of 14 pixels a side, four of which are one token."""
LEAST_IMAGE_TOKENS, MOST_IMAGE_TOKENS = 64, 4096
"""Bounds of that estimate for one image."""


@dataclass(frozen=True, eq=False)
class TokenCounter:
    """Counts the tokens of prompts before anything is decoded."""

    encoder: PromptEncoder

    @lru_cache(maxsize=4096)  # noqa: B019 - a counter lives as long as its run
    def image(self, width: int, height: int) -> int:
        """Return the tokens of an image of a size in pixels."""
        if not self.encoder.reads_prompts:
            return image_tokens(self.encoder.config)
        count = self.of_processor("num_image_tokens", "image_sizes", (height, width))
        estimate = min(width * height // PIXELS_A_TOKEN, MOST_IMAGE_TOKENS)
        return max(estimate, LEAST_IMAGE_TOKENS) if count is None else count

    @property
    def processor(self) -> Any:
        """The processor of the model."""
        return self.encoder.processor

    @lru_cache(maxsize=4096)  # noqa: B019 - as above
    def of_processor(self, kind: str, name: str, size: Any) -> int | None:
        """Return the tokens of a medium as the processor counts them; None if it does not."""
        try:
            return int(self.processor._get_num_multimodal_tokens(**{name: [size]})[kind][0])
        except Exception:  # half of the processors have it, each for itself
            return None
