"""Short video files, encoded here: each frame has one colour."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

Color = tuple[int, int, int]

CODECS = {
    "mp4": ("mp4", "libx264"),
    "mov": ("mov", "mpeg4"),
    "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx-vp9"),
    "avi": ("avi", "mpeg4"),
}
"""Suffix -> container and codec."""
PALETTE: list[Color] = [
    (r, g, b) for r in (40, 128, 216) for g in (40, 128, 216) for b in (40, 128, 216)
]
"""27 colours that no lossy codec confuses."""


def plain(color: Color, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return an image of one colour."""
    return Image.new("RGB", size, color)


def encode(
    suffix: str,
    frames: Sequence[Image.Image],
    times: Sequence[int] | None = None,
    sound: Any = None,
    **options: str,
) -> bytes:
    """Return a clip of ten frames a second, or with frames at the given tenths of a second.

    `sound` is its track: `(samples,)` float32 at 16 kHz, or True for silence.
    """
    container_name, codec = CODECS[suffix]
    data = io.BytesIO()
    with av.open(data, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        has_sound = sound is not None
        track = container.add_stream("aac", rate=16000, layout="mono") if has_sound else None
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image)
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track is not None:
            _mux_sound(container, track, SILENCE if sound is True else sound)
    return data.getvalue()


def sound_only() -> bytes:
    """Return an MP4 without pictures."""
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        _mux_sound(container, container.add_stream("aac", rate=16000, layout="mono"), SILENCE)
    return data.getvalue()


SILENCE = np.zeros(3 * 1024, np.float32)


def _mux_sound(container: Any, stream: Any, samples: Any) -> None:
    for start in range(0, len(samples) - 1023, 1024):
        part = np.ascontiguousarray(samples[None, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.rate, frame.pts = 16000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def nearest(image: Image.Image, at: tuple[float, float] = (0.5, 0.5)) -> int:
    """Return the number in `PALETTE` of the colour at a place, as shares of width and height."""
    pixel = image.getpixel((int(at[0] * image.width), int(at[1] * image.height)))
    distance = np.abs(np.subtract(PALETTE, pixel)).max(axis=1)
    assert distance.min() < 30, f"{pixel} is no colour of the palette"
    return int(distance.argmin())
