"""The media of some rows: each is read once, and known by its content from then on."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.example import NATIVE
from savs.datasets.media.containers import container_of
from savs.datasets.media.media import image_sizes, sha256
from savs.datasets.media.videos import DEFAULT_FRAMES
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.extraction.batches.jobs import Medium

WINDOW_BYTES = 128 * 2**20
"""Media of a window at most, unless one alone is larger: two or three windows are in memory."""
AT_ONCE = 8
"""Files that are read at the same time: disks and networks answer later than they could."""


@dataclass(frozen=True, slots=True)
class ReadMedium:
    """A medium that was read."""

    sha256: str
    medium: Medium
    sizes: list[tuple[int, int]]
    """Width and height of its images, see `image_sizes`."""
    is_video: bool = False
    """Whether they are frames of a video that the model gets as one."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows of a shard, with their media."""

    places: tuple[int, ...]
    """Places of the rows in the shard."""
    media: Mapping[str, ReadMedium | str]
    """Name -> the medium, or why it cannot be read."""


def windows(examples: Sequence[Example], media: MediaFolder) -> Iterator[Window]:
    """Yield all rows of a shard, in windows of rows whose media fit the memory together.

    Which rows are in a window depends on nothing but rows and sizes of media. Media in rows of
    files are read one after the other, as they lie there, and others in parallel.
    """
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-media") as pool:
        places: list[int] = []
        reading: dict[str, Future[ReadMedium | str]] = {}
        total = 0
        for place, example in enumerate(examples):
            places.append(place)
            for name in example.media:
                if name in reading:
                    continue
                if is_packed(name):
                    reading[name] = Future()
                    reading[name].set_result(found := _read(name, media))
                    total += len(found.medium.data) if isinstance(found, ReadMedium) else 0
                else:
                    reading[name] = pool.submit(_read, name, media)
                    total += media.size(name) or 0
            if total >= WINDOW_BYTES or place == len(examples) - 1:
                yield Window(tuple(places), {n: future.result() for n, future in reading.items()})
                places, reading, total = [], {}, 0


def _read(name: str, media: MediaFolder) -> ReadMedium | str:
    try:
        data = media.read(name)
    except MediaError as error:
        return str(error)
    frames = media.rules.video_frames or DEFAULT_FRAMES
    is_video = media.rules.video == NATIVE and container_of(data) is not None
    return ReadMedium(sha256(data), Medium(name, data), image_sizes(data, frames), is_video)
