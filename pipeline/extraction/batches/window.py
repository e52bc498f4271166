"""The media of some rows: each is read once, and known by its content from then on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from savs.datasets import Example, MediaError, MediaFolder
from savs.datasets.example import NATIVE
from savs.datasets.media.containers import container_of
from savs.datasets.media.media import image_sizes, sha256
from savs.datasets.media.videos import DEFAULT_FRAMES
from savs.datasets.rows.media_names import is_packed
from savs.pipeline.extraction.batches.jobs import Medium

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
    medium: Medium
    sizes: list[tuple[int, int]]
    """Width and height of its images, see `image_sizes`."""
    is_video: bool = False
    """Whether they are frames of a video that the model gets as one."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some rows of a shard, with their media."""

    media: Mapping[int, Sequence[ReadMedium | str]]
    """Place of a row in the shard -> its media, each as it was read, or why it cannot be."""

    @property
    def places(self) -> tuple[int, ...]:
        """Places of the rows in the shard."""
        return tuple(self.media)


def windows(examples: Sequence[Example], media: MediaOf) -> Iterator[Window]:
    """Yield all rows of a shard, in windows of rows whose media fit the memory together.

    Which rows are in a window depends on nothing but rows and sizes of media. Media in rows of
    files are read one after the other, as they lie there, and others in parallel.
    """
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="savs-media") as pool:
        rows: dict[int, list[Future[ReadMedium | str]]] = {}
        reading: dict[tuple[int, str], Future[ReadMedium | str]] = {}
        total = 0
        for place, example in enumerate(examples):
            folder = media(example)
            rows[place] = []
            for name in example.media:
                key = (id(folder), name)  # other folders may have a file of this name
                if key not in reading and is_packed(name):
                    reading[key] = Future()
                    reading[key].set_result(medium := _read(name, folder))
                    total += len(medium.medium.data) if isinstance(medium, ReadMedium) else 0
                elif key not in reading:
                    reading[key] = pool.submit(_read, name, folder)
                    total += folder.size(name) or 0
                rows[place].append(reading[key])
            if total >= WINDOW_BYTES or place == len(examples) - 1:
                yield Window({row: [f.result() for f in own] for row, own in rows.items()})
                rows, reading, total = {}, {}, 0


def _read(name: str, media: MediaFolder) -> ReadMedium | str:
    try:
        data = media.read(name)
    except MediaError as error:
        return str(error)
    frames = media.rules.video_frames or DEFAULT_FRAMES
    is_video = media.rules.video == NATIVE and container_of(data) is not None
    return ReadMedium(sha256(data), Medium(name, data), image_sizes(data, frames), is_video)
