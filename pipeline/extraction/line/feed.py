"""The jobs of a whole run, made ahead of the model: media read, rows made requests, batches cut.

Each medium of a window of rows is read once, and known by its content from then on.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.media.clips import Clips
from savs.datasets.media.media import part_sizes, sha256
from savs.datasets.media_kinds.catalogue import outline_of
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import IMAGE_COLUMN, Outline
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.parts import is_window, whole_name
from savs.datasets.rows.boxes import box_of
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.extraction.line.assembly import Assembly
from savs.pipeline.extraction.line.jobs import (
    Job,
    Medium,
    Request,
    TokenCounter,
    WindowMedium,
    make_batches,
)
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.prompts.media.catalogue import inputs_for

T = TypeVar("T")
MediaOf = Callable[[Example], MediaFolder]
"""Example -> the folder of its media; examples of one folder give the same object."""
WINDOW_BYTES = 128 * 2**20
"""Media of a window at most, unless one alone is larger: two or three windows are in memory."""
AT_ONCE = 8
"""Files that are read at the same time: disks and networks answer later than they could."""


@dataclass(frozen=True, slots=True)
class ReadMedium:
    """A medium that was read."""

    sha256: str
    """As `digest_of` has it."""
    medium: Medium | WindowMedium
    outline: Outline
    """What it will be in a prompt."""

    @property
    def bytes(self) -> int:
        """How much memory it takes: of a window its frames, else what its file has."""
        if isinstance(self.medium, Medium):
            return len(self.medium.data)
        return 3 * sum(width * height for width, height in self.outline.sizes)


Window = Mapping[int, Sequence[ReadMedium | str]]
"""Place of a row in its shard -> its media, each as it was read, or why it cannot be: some rows of
the shard, in its order."""


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """The rows of a window, as the engine takes them over."""

    assembly: Assembly
    skipped: Mapping[int, str]
    """Place of a row -> why its media cannot be read."""
    waiting: Sequence[tuple[int, int]]
    """Request and place of each other row. Rows with equal media and equal prompts have the same
    request, in whatever shard they are."""
    digests: Mapping[int, tuple[str, ...]]
    """Place of a row -> SHA-256 of its media."""
    jobs: Sequence[Job]
    is_last: bool
    """Whether it ends its shard."""


PromptKey = tuple[tuple[str, ...], str, tuple[int, ...], bool, int]
"""What makes prompts equal: SHA-256 of each medium, the text, the labels that are asked, whether an
answer is generated, and the demonstrations."""


@dataclass
class Planner:
    """Makes jobs of the rows of shards, one shard after the other."""

    counter: TokenCounter
    settings: PassSettings
    prompt_counts: Mapping[str, int] = field(default_factory=dict)
    """Name of a medium -> how many different prompts of the data show it, see `prompts_of`."""
    answers: Answers = NO_ANSWERS
    shares_images: bool = True
    """Whether prompts with as many images as the settings say may still share them."""
    known: dict[PromptKey, int] = field(default_factory=dict)
    """Prompt -> its request, where it has one: these are not planned again."""

    def plan(self, assembly: Assembly, media: MediaOf) -> Iterator[PlannedWindow]:
        """Yield the windows of a shard."""
        is_first = True
        for window in windows(assembly.examples, media):
            planned = self._window(assembly, window, is_first=is_first)
            is_first &= not planned.jobs
            yield planned

    def key(
        self, digests: tuple[str, ...], prompt: str, split: str, subtask: str | None
    ) -> PromptKey:
        """Return what a row's request is known by."""
        answers = self.answers
        wanted = answers.labels_for(split, subtask), answers.generates_for(split)
        return digests, prompt, *wanted, answers.context_of(split, subtask)

    def _window(self, assembly: Assembly, window: Window, *, is_first: bool) -> PlannedWindow:
        skipped: dict[int, str] = {}
        waiting: list[tuple[int, int]] = []
        digests: dict[int, tuple[str, ...]] = {}
        new: list[tuple[int, Example, list[ReadMedium]]] = []
        for place, media in window.items():
            example = assembly.examples[place]
            absent = next((m for m in media if isinstance(m, str)), None)
            if absent is not None:
                skipped[place] = absent
                continue
            media_read = [m for m in media if isinstance(m, ReadMedium)]
            digests[place] = tuple(m.sha256 for m in media_read)
            prompt = self.counter.encoder.text_read(example.prompt, example.media)
            key = self.key(digests[place], prompt, example.split, example.subtask)
            if key not in self.known:
                self.known[key] = len(self.known)
                new.append((self.known[key], replace(example, prompt=prompt), media_read))
            waiting.append((self.known[key], place))
        is_last = len(assembly.examples) - 1 in window
        jobs = self._cut(new, is_first=is_first)
        return PlannedWindow(assembly, skipped, waiting, digests, jobs, is_last)

    def _cut(
        self, new: Sequence[tuple[int, Example, list[ReadMedium]]], *, is_first: bool
    ) -> list[Job]:
        prompts = [example.prompt for _, example, _ in new]
        texts = self.counter.encoder.count_tokens(prompts) if new else []
        uses = Counter(
            chain.from_iterable({m.sha256 for m in media_read} for _, _, media_read in new)
        )
        alone: list[Request] = []
        sharing: list[Request] = []
        for (number, example, media_read), text in zip(new, texts, strict=True):
            request = Request(
                number=number,
                example=example.id,
                prompt=example.prompt,
                media=tuple(m.sha256 for m in media_read),
                images=sum(len(m.outline.sizes) for m in media_read),
                tokens=text + sum(self._tokens(m.outline) for m in media_read),
                pixels=sum(width * height for m in media_read for width, height in m.outline.sizes),
                labels=self.answers.labels_for(example.split, example.subtask),
                generates=self.answers.generates_for(example.split),
                context=self.answers.context_of(example.split, example.subtask),
            )
            several = any(self.prompt_counts.get(name, 0) > 1 for name in example.media)
            several |= any(uses[m.sha256] > 1 for m in media_read)
            shares = several and self.shares_images
            shares &= request.images == self.settings.shared_images
            shares &= all(m.outline.kind is IMAGES for m in media_read)
            (sharing if shares else alone).append(request)
        media = {m.sha256: m.medium for _, _, media_read in new for m in media_read}
        batches = [
            (batch, shared)
            for requests, shared in ((alone, False), (sharing, True))
            for batch in make_batches(requests, self.settings.limits, shared=shared)
        ]
        return [
            Job(
                tuple(batch),
                {digest: media[digest] for request in batch for digest in request.media},
                shared,
                is_first and place == 0,
            )
            for place, (batch, shared) in enumerate(batches)
        ]

    def _tokens(self, outline: Outline) -> int:
        return inputs_for(outline.kind).tokens(self.counter, outline)


def prompts_of(examples: Iterable[Example], encoder: PromptEncoder) -> Counter[str]:
    """Return how many different prompts, as the model reads them, show each medium, by its name."""
    distinct = {(e.media, encoder.text_read(e.prompt, e.media)) for e in examples}
    return Counter(chain.from_iterable(set(media) for media, _ in distinct))


def windows(examples: Sequence[Example], media: MediaOf) -> Iterator[Window]:
    """Yield all rows of a shard, in windows of rows whose media fit the memory together.

    Which rows are in a window depends on nothing but rows and sizes of media. Media in rows of
    files, and windows of videos, are read one after the other, as they lie there, and others in
    parallel. An image is read once for all its boxes.
    """
    clips = Clips.of((media(example), name) for example in examples for name in example.media)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-media") as pool:
        rows: dict[int, list[tuple[str, MediaFolder, Future[ReadMedium | str]]]] = {}
        reading: dict[tuple[int, str, str], Future[ReadMedium | str]] = {}
        total = 0
        for place, example in enumerate(examples):
            folder = media(example)
            rows[place] = []
            for name, column in zip(example.media, example.columns, strict=True):
                # a window is decoded where it is read, boxes of an image have its bytes in common
                read = name if is_window(name) else whole_name(name)
                key = (id(folder), read, column)  # other folders may have a file of this name
                if key not in reading and (is_window(read) or is_packed(read)):
                    reading[key] = Future()
                    reading[key].set_result(medium := _read(read, folder, clips, column))
                    total += medium.bytes if isinstance(medium, ReadMedium) else 0
                elif key not in reading:
                    reading[key] = pool.submit(_read, read, folder, clips, column)
                    total += folder.size(read) or 0
                rows[place].append((name, folder, reading[key]))
            if total >= WINDOW_BYTES or place == len(examples) - 1:
                yield {
                    row: [_part(name, folder, read.result()) for name, folder, read in reads]
                    for row, reads in rows.items()
                }
                rows, reading, total = {}, {}, 0


def _read(name: str, media: MediaFolder, clips: Clips, column: str) -> ReadMedium | str:
    try:
        if is_window(name) and column == IMAGE_COLUMN:
            digest, video = clips.read(media, name)
            sizes = [frame.size for frame in video.frames]
            outline = Outline(VIDEOS.kind_in_prompt(media.rules), sizes)
            return ReadMedium(digest, WindowMedium(name, video), outline)
        data = media.read(name)
    except MediaError as error:
        return str(error)
    return ReadMedium(sha256(data), Medium(name, data), outline_of(data, media.rules, column))


def _part(name: str, media: MediaFolder, whole: ReadMedium | str) -> ReadMedium | str:
    """Return the box in a name, of a medium that was read whole; without a box the whole."""
    box = box_of(name)
    if not box or isinstance(whole, str) or not isinstance(whole.medium, Medium):
        return whole
    sizes = part_sizes(whole.outline.sizes, name, media.rules.box_margin)
    medium, outline = Medium(name, whole.medium.data), replace(whole.outline, sizes=sizes)
    return replace(whole, sha256=whole.sha256 + box, medium=medium, outline=outline)


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield what an iterator gives, made in a thread, one item ahead of the consumer."""
    end: Any = object()
    with ThreadPoolExecutor(1, thread_name_prefix="savs-planner") as pool:
        upcoming = pool.submit(next, items, end)
        while (item := upcoming.result()) is not end:
            upcoming = pool.submit(next, items, end)
            yield item
