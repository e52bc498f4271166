"""Videos: a few frames of a file, or of windows of it, evenly spaced in time, decoded to RGB."""

import io
import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from savs.datasets.errors import MediaError
from savs.datasets.media_kinds.decoders.containers import (
    AVI,
    WHOLE,
    NamedBytes,
    container_of,
    require_whole,
)
from savs.datasets.media_kinds.decoders.images import require_size
from savs.datasets.media_kinds.decoders.sounds import Sound, decode_sound, load_av, sounds_of
from savs.datasets.media_kinds.decoding import (
    DEFAULT_FRAMES,
    FRAMES,
    MAX_IMAGE_PIXELS,
    WITH_SOUND,
    Decoding,
)
from savs.datasets.parts import Window, split_window

VIDEO_IMAGES = 4
"""The frames of a video together may have as many pixels as this number of images."""
MAX_FRAMES = 2**21
"""Most frames of a video, used or not: 19 hours at 30 a second."""


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """Frames of a video, or of a window of one; made by `decode_windows`."""

    frames: tuple[Image.Image, ...]
    """8-bit RGB, upright, in the order of time; at least one."""
    times_s: tuple[float, ...]
    """When each is shown, in seconds from the first frame of the file, or the window's start."""
    duration_s: float
    """From the first frame of the file to the end of the last one, or of the window, in seconds."""
    sound: Sound | None = None
    """Its sound, where the model gets that, too."""


Number = int | Fraction


def videos_of(pieces: Iterable[Any]) -> list[Video]:
    """Return the videos of a prompt's pieces in reading order."""
    return [piece for piece in pieces if isinstance(piece, Video)]


def all_sounds_of(pieces: Iterable[Any]) -> list[Sound]:
    """Return all sounds of a prompt's pieces in reading order, those of its videos included."""
    return sounds_of(piece.sound if isinstance(piece, Video) else piece for piece in pieces)


def decode_video(
    data: bytes,
    name: str,
    frames: int = DEFAULT_FRAMES,
    max_pixels: int = MAX_IMAGE_PIXELS,
    window: Window | None = None,
) -> Video:
    """Decode a video, or one window of it; see `decode_windows`."""
    return next(decode_windows(data, name, [window], frames, max_pixels))


def decode_windows(
    data: bytes,
    name: str,
    windows: Sequence[Window | None],
    frames: int = DEFAULT_FRAMES,
    max_pixels: int = MAX_IMAGE_PIXELS,
) -> Iterator[Video]:
    """Yield windows of a video, in the order of their starts; None is the whole video.

    Of each the frames that are visible at the centres of equal parts of its duration, as many parts
    as `frames`. A frame that is visible at several centres is in it once; a window with no more
    frames than parts has all. Times count from the start of the window; one that goes beyond the
    end of the video ends there.

    The file is decoded once, in order. In memory are the frames of a window, and those of later
    ones that come before its last.

    Raises
    ------
    MediaError
        Not MP4, MOV, Matroska, WebM or AVI; damaged, truncated, without pictures; a frame with more
        than `max_pixels`, or the frames of a window with more than four times as many together; a
        window that is empty or begins after the end; or the package `av` is missing.
    """
    # The file is opened up to three times: once for the times of its packets, which are cheap, then
    # to decode from the key frame before each wanted frame; if one is not reached that way, all
    # frames from there on are decoded in order.
    try:
        with _opened(data, name, max_pixels) as clip:
            times = _times(clip)
            unit_s = _unit_s(clip)
            parts = [_part(times, unit_s, window) for window in windows]
            faulty = next((n for n, (begin, end) in enumerate(parts) if begin >= end), len(parts))
            parts = parts[:faulty]  # those before it are decoded all the same
            picked = [
                [times.starts[i] for i in pick(times.starts, end, frames, begin)]
                for begin, end in parts
            ]
            size = clip.stream.codec_context.width, clip.stream.codec_context.height
            require_size(*size, name, VIDEO_IMAGES * max_pixels, max(map(len, picked), default=0))
        last_use = {time: number for number, wanted in enumerate(picked) for time in wanted}
        wanted_times = sorted(last_use)
        frames_at = _frames(data, name, max_pixels, wanted_times, times)
        decoded = zip(wanted_times, frames_at, strict=False)  # some may be missing
        images: dict[int, Image.Image] = {}
        for number, ((begin, end), wanted) in enumerate(zip(parts, picked, strict=True)):
            while wanted[-1] not in images and (item := next(decoded, None)):
                images[item[0]] = item[1]
            if missing := len(wanted) - sum(time in images for time in wanted):
                raise MediaError(f"{name} cannot be decoded: {missing} frames are missing")
            yield Video(
                tuple(images[time] for time in wanted),
                tuple(float(max(time - begin, 0) * unit_s) for time in wanted),
                float((end - begin) * unit_s),
            )
            images = {time: image for time, image in images.items() if last_use[time] > number}
        if faulty < len(windows):
            duration_s = float((times.end - times.starts[0]) * unit_s)
            raise MediaError(
                f"{name}@{windows[faulty]} is no window of the video, which lasts"
                f" {duration_s:.3f} s: it must begin before its end, and before that of the video"
            )
    except MediaError:
        raise
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"{name} cannot be decoded as a video: {error}") from error


def video_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a video's frames; no frame is decoded. MediaError as above."""
    with _opened(data, "the video") as clip:
        return clip.stream.codec_context.width, clip.stream.codec_context.height


def duration_ms(data: bytes, name: str) -> int:
    """Return the duration of a video, rounded up; no frame is decoded. MediaError as above."""
    try:
        with _opened(data, name) as clip:
            times = _times(clip)
            return math.ceil(1000 * (times.end - times.starts[0]) * _unit_s(clip))
    except MediaError:
        raise
    except Exception as error:  # as above
        raise MediaError(f"{name} cannot be read as a video: {error}") from error


def pick(starts: Sequence[int], end: Number, parts: int, begin: Number | None = None) -> list[int]:
    """Return the indices of the frames that are visible at the centres of equal parts, each once.

    The parts are those of the time from `begin` (by default the first start) to `end`. `starts` are
    the start times of the frames, ascending. With no more visible frames than parts, all are
    picked.

    Examples
    --------
    >>> pick([0, 1, 2, 3, 4, 5, 6, 7], 8, 2)
    [2, 6]
    >>> pick([0, 1, 10], 12, 2)
    [1]
    >>> pick([0, 1, 10], 12, 2, begin=4)
    [1, 2]
    """
    begin = starts[0] if begin is None else begin
    visible = range(max(0, bisect_right(starts, begin) - 1), bisect_left(starts, end))
    if len(visible) <= parts:
        return list(visible)
    centres = (begin + Fraction((2 * part + 1) * (end - begin), 2 * parts) for part in range(parts))
    return list(dict.fromkeys(bisect_right(starts, centre) - 1 for centre in centres))


@dataclass(frozen=True, slots=True)
class _Clip:
    """An open video."""

    container: Any
    stream: Any
    name: str
    numbered: bool
    """Frames are identified by number rather than time: AVI has a constant rate and no times."""
    max_pixels: int
    named: NamedBytes


@contextmanager
def _opened(data: bytes, name: str, max_pixels: int = MAX_IMAGE_PIXELS) -> Iterator[_Clip]:
    """Open a video with the demuxer of its own container: no other file, no network."""
    av = load_av(f"{name} is a video")
    kind = container_of(data)
    if kind is None:
        raise MediaError(f"{name} is not a video of a known format (MP4, MOV, Matroska, WebM, AVI)")
    require_whole(data, name)
    # The format is fixed, so no playlist or concat list is opened. FFmpeg's `format_whitelist`
    # would do that, too, but not what is checked above: it opens cut files as whole ones, and makes
    # an index of a gigabyte for 240 kB of MP4.
    with av.open(io.BytesIO(data), format=kind) as container:
        streams = container.streams.video  # a cover of a sound is one, too
        pictures = [s for s in streams if "attached_pic" not in str(s.disposition).lower()]
        if not pictures:
            raise MediaError(f"{name} has no pictures: it has only sound, or is empty")
        stream = pictures[0]
        require_size(stream.codec_context.width, stream.codec_context.height, name, max_pixels)
        stream.thread_type = "AUTO"
        yield _Clip(container, stream, name, kind == AVI, max_pixels, NamedBytes(data, name))


@dataclass(frozen=True, slots=True)
class _Times:
    """When frames are shown, in units of `_unit_s`."""

    starts: Sequence[int]
    """Ascending."""
    end: int
    """Of the last frame."""
    keys: Sequence[int] | None
    """Starts of the key frames; None of numbered frames, which cannot be sought."""


def _times(clip: _Clip) -> _Times:
    """Return when the frames of a video are shown."""
    present = used = 0
    # Numbers of packets are kept: FFmpeg's objects would take a hundred times as much.
    pts, durations, keys = array("q"), array("q"), bytearray()
    for packet in clip.container.demux(clip.stream):
        clip.named.count(packet)
        if not packet.size:
            continue
        present += 1
        if present > MAX_FRAMES:
            raise MediaError(f"{clip.name} has more than {MAX_FRAMES:,} frames: cut it")
        if packet.is_discard:
            continue
        used += 1
        if packet.pts is not None:
            pts.append(packet.pts)
            durations.append(packet.duration or 0)
            keys.append(packet.is_keyframe)
    if not used:
        raise MediaError(f"{clip.name} has no frame")
    if clip.numbered:
        if present < WHOLE * clip.stream.frames:
            raise MediaError(
                f"{clip.name} is damaged: {present} of {clip.stream.frames} frames are present"
            )
        return _Times(range(used), used, None)
    if not pts:
        raise MediaError(f"{clip.name} has no time stamps for its frames")
    stamps = np.frombuffer(pts, np.int64)
    order = np.argsort(stamps, kind="stable")
    later = np.append(stamps[order][1:] != stamps[order][:-1], True)
    order = order[later]  # of packets with one time stamp the last
    starts = stamps[order].tolist()
    gap = (starts[-1] - starts[0]) // max(1, len(starts) - 1)
    end = starts[-1] + (durations[order[-1]] or gap or 1)
    shown_s, tagged_s = float(end * clip.stream.time_base), _tagged_s(clip.stream)
    if shown_s < WHOLE * tagged_s:
        raise MediaError(f"{clip.name} is damaged: {shown_s:.1f} of {tagged_s:.1f} s are present")
    is_key = np.frombuffer(keys, np.bool_)[order]
    return _Times(starts, end, stamps[order][is_key].tolist())


def _unit_s(clip: _Clip) -> Fraction:
    """Return the unit of the times of `_times` in seconds."""
    if clip.numbered and clip.stream.average_rate:
        return 1 / Fraction(clip.stream.average_rate)
    return Fraction(clip.stream.time_base)


def _tagged_s(stream: Any) -> float:
    """Return the duration in seconds of Matroska's tag, 0 without one."""
    duration = stream.metadata.get("DURATION", "")
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", duration, re.ASCII)
    if match is None:
        return 0
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _part(times: _Times, unit_s: Fraction, window: Window | None) -> tuple[Number, Number]:
    """Return where a window of a video begins and ends, in units of its times, not after these."""
    first = times.starts[0]
    if window is None:
        return first, times.end
    begin, end = (first + Fraction(ms, 1000) / unit_s for ms in (window.start_ms, window.end_ms))
    return begin, min(end, times.end)


def _frames(
    data: bytes, name: str, max_pixels: int, wanted: Sequence[int], times: _Times
) -> Iterator[Image.Image]:
    """Yield the frames that begin at the wanted times, ascending; the end if some are missing."""
    reached = 0
    if times.keys is not None:
        with _opened(data, name, max_pixels) as clip:
            for image in _by_seeking(clip, wanted, times.keys):
                yield image
                reached += 1
    if reached < len(wanted):
        with _opened(data, name, max_pixels) as clip:
            yield from _in_order(clip, wanted[reached:])


def _by_seeking(clip: _Clip, wanted: Sequence[int], keys: Sequence[int]) -> Iterator[Image.Image]:
    """Decode from the key frame before each wanted time, until one is not reached that way."""
    at: int | None = None
    frames = clip.container.decode(clip.stream)
    for time in wanted:
        key = keys[bisect_right(keys, time) - 1] if keys and keys[0] <= time else None
        if key is not None and (at is None or key > at):
            clip.container.seek(key, stream=clip.stream)
            frames = clip.container.decode(clip.stream)
        frame = next((f for f in frames if f.pts is not None and f.pts >= time), None)
        if frame is None or frame.pts != time:
            return
        at = frame.pts
        yield _to_rgb(frame, clip)


def _in_order(clip: _Clip, wanted: Sequence[int]) -> Iterator[Image.Image]:
    """Decode from the start; for each wanted time, take the last frame that begins by then."""
    left = deque(wanted)
    before = None
    for number, frame in enumerate(clip.container.decode(clip.stream)):
        time = number if clip.numbered else frame.pts
        while left and time is not None and time >= left[0]:
            exact = time == left.popleft() or before is None
            yield _to_rgb(frame if exact else before, clip)
        if not left:
            return
        before = frame


def _to_rgb(frame: Any, clip: _Clip) -> Image.Image:
    require_size(frame.width, frame.height, clip.name, clip.max_pixels)
    if frame.is_corrupt:
        raise MediaError(f"{clip.name} is damaged: a frame cannot be decoded completely")
    image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def decode_as_shown(data: bytes, name: str, rules: Decoding) -> list[Video] | list[Image.Image]:
    """Return a video or its frames; of a part what is in the window that its name has."""
    clip, window = split_window(name)
    video = decode_video(data, clip, rules.frames, rules.max_pixels, window)
    if rules.video == WITH_SOUND and window is None:
        sound = decode_sound(data, name, cut_seconds=rules.audio_max_seconds)
        return [replace(video, sound=sound)]
    return video_pieces(video, name, rules)


def video_pieces(video: Video, name: str, rules: Decoding) -> list[Video] | list[Image.Image]:
    """Return what stands in a prompt for a decoded video; MediaError of a window with its sound."""
    if rules.video == WITH_SOUND:
        raise MediaError(f"{name} is a window, which has no sound; pass `video` native or frames")
    return [*video.frames] if rules.video == FRAMES else [video]
