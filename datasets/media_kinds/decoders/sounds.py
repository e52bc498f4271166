"""Sounds: files, and the sound of videos, decoded to one channel at the rate of a model.

Loudness stays as it is, since it moves heads. FFmpeg resamples (libswresample); the mean of the
channels is taken after that.
"""

import io
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from savs.datasets.errors import MediaError
from savs.datasets.media_kinds.decoders.containers import (
    FLAC,
    MP3,
    WHOLE,
    NamedBytes,
    container_of,
    declares_frames,
    require_whole,
    sound_of,
)
from savs.datasets.media_kinds.decoding import DEFAULT_RATE
from savs.foundation.arrays import Array

MAX_SECONDS = 600
"""A longer sound is refused, unless it may be cut."""
LEAST_SECONDS = 0.1
"""Most models have no token for a shorter one, and say nothing."""
RATES = (4_000, 384_000)
"""Lowest and highest rate of a file."""
MAX_CHANNELS = 6
"""Most channels, as of a film."""
LOUDEST = 10.0
"""Samples are from -1 to 1, a little more after filters; beyond this they are not scaled."""
SLACK_BYTES = 64
"""Bytes that may be missing: some writers count their header, or padding that they leave out."""
PLAYED_SECONDS, PLAYED_BITS = 30, 24_000
"""How much of a sound a page plays, and the bits a second that it has there."""
PICTURE_PX = (480, 120)
"""Width and height of a picture of a sound."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """One channel of a sound; made by `decode_sound`."""

    samples: Array
    """`(samples,)` float32, from -1 to 1."""
    rate: int
    """Samples a second."""
    is_cut: bool = False
    """Whether its file goes on after the last sample."""

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return len(self.samples) / self.rate


def sounds_of(pieces: Iterable[Any]) -> list[Sound]:
    """Return the sounds of a prompt's pieces in reading order."""
    return [piece for piece in pieces if isinstance(piece, Sound)]


def decode_sound(
    data: bytes, name: str, rate: int = DEFAULT_RATE, cut_seconds: int | None = None
) -> Sound:
    """Decode a sound, or the first sound track of a video.

    Parameters
    ----------
    data
        WAV, FLAC, MP3, Ogg (Vorbis, Opus), AIFF, M4A, or a video as `decode_video` takes it.
    name
        For messages.
    rate
        Samples a second of the result.
    cut_seconds
        Keep the first seconds of a longer sound; by default one of more than `MAX_SECONDS` is
        refused. Nothing after the limit is decoded.

    Raises
    ------
    MediaError
        Of another format, damaged, truncated, without sound, shorter than `LEAST_SECONDS`, too
        long, with an odd rate, too many channels, or values that are no sound; or the package `av`
        is missing.
    """
    av = load_av(f"{name} is a sound")
    limit = (cut_seconds or MAX_SECONDS) * rate
    try:
        with av.open(io.BytesIO(data), format=_require_format(data, name)) as container:
            stream = _stream(container, name)
            parts, count, lost = [], 0, _Lost()
            for frame in _frames(stream, container, rate, lost, NamedBytes(data, name)):
                part = _mean(frame, name)
                parts.append(part)
                count += len(part)
                if count > limit:
                    break
            declared_s = _declared_s(stream, data)
    except MediaError:
        raise
    except Exception as error:  # a decoder may raise anything on damaged bytes
        raise MediaError(f"{name} cannot be decoded as a sound: {error}") from error
    samples = np.concatenate(parts)[:limit] if parts else np.zeros(0, np.float32)
    is_cut = count > limit
    if is_cut and cut_seconds is None:
        raise MediaError(
            f"{name} lasts more than {MAX_SECONDS} s: cut it, or keep the first N seconds with"
            " `audio_max_seconds`"
        )
    if not is_cut and count < WHOLE * declared_s * rate:
        raise MediaError(f"{name} is damaged: {count / rate:.1f} of {declared_s:.1f} s are present")
    lost.require_few(name)
    if len(samples) < LEAST_SECONDS * rate:
        raise MediaError(
            f"{name} lasts {len(samples) / rate:.3f} s, expected at least {LEAST_SECONDS} s"
        )
    return Sound(samples, rate, is_cut)


def load_av(what: str) -> Any:
    """Return the package PyAV, without FFmpeg's messages; MediaError, which says `what` needs it.

    Old torchvision turns the messages on. A thread of FFmpeg then waits for the GIL, which the
    thread that waits for its end holds.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        raise MediaError(
            f"{what}, which needs the package av; install with: pip install av"
        ) from error
    av.logging.set_level(None)
    return av


def seconds_of(data: bytes, cut_seconds: int | None = None) -> float:
    """Return about how long a sound lasts, by its header; 0 if that is not known."""
    try:
        import av

        opened: Any = av.open(io.BytesIO(data), format=_require_format(data, ""))
        with opened as container:
            seconds = (container.duration or 0) / 1e6
    except Exception:  # what is wrong is said when it is decoded
        return 0.0
    return min(seconds, cut_seconds or MAX_SECONDS)


def waveform(sound: Sound) -> Image.Image:
    """Return a picture of a sound: the lowest and the highest sample of each column."""
    width, height = PICTURE_PX
    edges = np.linspace(0, len(sound.samples), width + 1).astype(int)
    image = Image.new("RGB", PICTURE_PX, "white")
    draw = ImageDraw.Draw(image)
    middle = height / 2
    for column, (start, stop) in enumerate(pairwise(edges)):
        part = np.clip(sound.samples[start : max(stop, start + 1)], -1, 1)
        if len(part):
            top, bottom = middle * (1 - part.max()), middle * (1 - part.min())
            draw.line([(column, top), (column, max(bottom, top + 1))], fill="#3b6ea5")
    return image


def playable(sound: Sound) -> bytes:
    """Return the first `PLAYED_SECONDS` of a sound as Ogg Opus, which browsers play."""
    import av

    data = io.BytesIO()
    start = np.clip(sound.samples[: PLAYED_SECONDS * sound.rate], -1, 1)
    frame = av.AudioFrame.from_ndarray(start[None], format="flt", layout="mono")
    frame.sample_rate = sound.rate
    with av.open(data, "w", format="ogg") as container:
        stream: Any = container.add_stream("libopus", rate=DEFAULT_RATE, layout="mono")
        stream.bit_rate = PLAYED_BITS
        resampler = av.AudioResampler(stream.codec_context.format.name, "mono", DEFAULT_RATE)
        queue = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            queue.write(part)
        while (part := queue.read(stream.codec_context.frame_size, partial=True)) is not None:
            part.pts = None
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return data.getvalue()


def _require_format(data: bytes, name: str) -> str:
    """Return FFmpeg's name of a format: only its demuxer is tried, so no playlist is opened."""
    kind = sound_of(data) or container_of(data)
    if kind is None:
        raise MediaError(
            f"{name} is not a sound of a known format (WAV, FLAC, MP3, Ogg, AIFF, M4A, or a video)"
        )
    require_whole(data, name, SLACK_BYTES)
    return kind


def _stream(container: Any, name: str) -> Any:
    """Return the first sound track; MediaError if it cannot be taken."""
    if not container.streams.audio:
        raise MediaError(f"{name} has no sound")
    stream = container.streams.audio[0]
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(
            f"{name} has {rate:,} samples a second, expected {RATES[0]:,} to {RATES[1]:,}: resample"
            " it"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(
            f"{name} has {channels} channels, expected at most {MAX_CHANNELS}: mix it down"
        )
    return stream


@dataclass(slots=True)
class _Lost:
    """How much of a file cannot be decoded: MP3s often end in a packet without sound."""

    packets: int = 0
    failed: int = 0

    def require_few(self, name: str) -> None:
        if self.failed > max(1, self.packets // 100):
            raise MediaError(
                f"{name} is damaged: {self.failed:,} of {self.packets:,} packets cannot be decoded"
            )


def _frames(
    stream: Any, container: Any, rate: int, lost: _Lost, named: NamedBytes
) -> Iterator[Any]:
    """Yield a sound frame by frame, resampled, its channels interleaved."""
    import av
    from av.error import InvalidDataError

    resampler = None
    for packet in container.demux(stream):
        named.count(packet)
        lost.packets += 1
        try:
            frames = packet.decode()
        except InvalidDataError:
            lost.failed += 1
            continue
        for frame in frames:
            # The channels stay apart here: FFmpeg's own mixing makes stereo sqrt(2) louder. Samples
            # are interleaved ("flt"): with planes of eight channels it reads beyond its memory.
            resampler = resampler or av.AudioResampler("flt", frame.layout.name, rate)
            frame.pts = None  # gaps in time stamps would become silence
            yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


def _mean(frame: Any, name: str) -> Array:
    """Return the mean of a frame's channels, `(samples,)` float32.

    MediaError if one has values that are no sound: the mean of +1e30 and -1e30 would be silence.
    """
    values = frame.to_ndarray()
    loudest = float(np.abs(values).max(initial=0))
    if not loudest <= LOUDEST:  # NaN, too
        raise MediaError(f"{name} has samples of {loudest}, expected -1 to 1: scale it")
    return values.reshape(-1, frame.layout.nb_channels).mean(axis=1, dtype=np.float32)


def _declared_s(stream: Any, data: bytes) -> float:
    """Return the duration that a file declares, in seconds; 0 if it declares none."""
    kind = sound_of(data)
    says = kind == FLAC or (kind == MP3 and declares_frames(data))
    return float(stream.duration * stream.time_base) if says and stream.duration else 0.0


def sound_file(samples: Any, rate: Any, name: str) -> bytes:
    """Return the bytes of a WAV of 32-bit samples; a decoder takes them as they are.

    `samples` are `(samples,)`, floating from -1 to 1 or int16; MediaError, which calls the sound
    `name`, for others, and for a rate that is no whole number.
    """
    values = np.asarray(samples)
    is_float = values.dtype.kind == "f"
    if values.ndim != 1 or not (is_float or values.dtype == np.int16):
        raise MediaError(
            f"{name} is an array of {values.dtype} {values.shape}, expected (samples,) of floats"
            " from -1 to 1, or of int16"
        )
    if not isinstance(rate, int | np.integer) or not 0 < rate < 2**31:
        raise MediaError(f"{name} has the sampling rate {rate!r}, expected samples a second")
    data = (values if is_float else values / 2**15).astype("<f4").tobytes()
    is_of_floats, channels, width = 3, 1, 4
    shape = struct.pack("<HHIIHH", is_of_floats, channels, rate, width * rate, width, 8 * width)
    body = b"WAVEfmt " + struct.pack("<I", len(shape)) + shape
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
