"""Windows of videos, read one after the other: a file is read and decoded once for all of them."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from savs.datasets.errors import MediaError
from savs.datasets.media.media import MediaFolder, part_digest, sha256
from savs.datasets.media_kinds.decoders.videos import Video, decode_windows
from savs.datasets.parts import Window, split_window


@dataclass(slots=True)
class Clips:
    """Reads windows in the order of a list of names; one video is open at a time.

    Another order gives the same, and opens videos again.
    """

    ahead: dict[tuple[int, str], list[Window]] = field(default_factory=dict)
    """Folder and video -> the windows that will be read, each once, in their order."""
    _key: tuple[int, str] | None = None
    """The video that is open."""
    _data: bytes = b""
    _sha256: str = ""
    _run: deque[Window] = field(default_factory=deque)
    """Windows that are decoded next."""
    _videos: Iterator[Video] = field(default_factory=lambda: iter(()))
    _last: tuple[Window, Video] | None = None

    @classmethod
    def of(cls, names: Iterable[tuple[MediaFolder, str]]) -> "Clips":
        """Return a reader of the windows among media; others are left out."""
        ahead: dict[tuple[int, str], dict[Window, None]] = {}
        for folder, name in names:
            clip, window = split_window(name)
            if window is not None:
                ahead.setdefault((id(folder), clip), {})[window] = None
        return cls({key: [*windows] for key, windows in ahead.items()})

    def read(self, folder: MediaFolder, name: str) -> tuple[str, Video]:
        """Return the digest of a window, and its frames; MediaError if it cannot be decoded.

        After a damaged frame the next window is decoded from its own key frame on.
        """
        clip, window = split_window(name)
        assert window is not None
        key = (id(folder), clip)
        if key != self._key:
            self._run.clear()
            self._key = self._last = None
            self._data = folder.read(clip)
            self._sha256, self._key = sha256(self._data), key
        if self._last is None or self._last[0] != window:
            if window not in self._run:
                self._run = self._next_windows(key, window)
                rules = folder.rules
                windows = [*self._run]
                self._videos = decode_windows(
                    self._data, clip, windows, rules.frames, rules.max_pixels
                )
            try:
                while self._last is None or self._last[0] != window:
                    video = next(self._videos)
                    self._last = self._run.popleft(), video
            except MediaError:
                self._run.clear()
                raise
        return part_digest(self._sha256, name), self._last[1]

    def _next_windows(self, key: tuple[int, str], window: Window) -> deque[Window]:
        """Return a window and those that are read next, as long as they are in order of time."""
        listed = self.ahead.get(key, [])
        following = listed[listed.index(window) :] if window in listed else [window]
        ends = (n for n, (one, after) in enumerate(pairwise(following), 1) if after < one)
        return deque(following[: next(ends, len(following))])
