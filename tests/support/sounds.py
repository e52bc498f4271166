"""Sounds that tests make: tones, in files of every format."""

import io
from typing import Any

import av
import numpy as np

from savs.datasets.media_kinds.decoders.sounds import sound_file

CODECS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "aiff": ("aiff", "pcm_s16be"),
    "m4a": ("ipod", "aac"),
    "mkv": ("matroska", "libopus"),
}
"""Suffix -> container and codec."""


def tone(seconds: float = 1.0, hertz: float = 440.0, rate: int = 16_000, loud: float = 0.5) -> Any:
    """Return a sine, `(samples,)` float32."""
    time = np.arange(round(seconds * rate)) / rate
    return (loud * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def wav(samples: Any, rate: int = 16_000) -> bytes:
    """Return a WAV of samples as they are."""
    return sound_file(samples, rate, "a test")


def encode(
    suffix: str, channels: Any, rate: int = 24_000, bits_a_second: int | None = None
) -> bytes:
    """Return a file of `(channels, samples)` float32."""
    data = io.BytesIO()
    container_name, codec = CODECS[suffix]
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(channels)]
    with av.open(data, "w", format=container_name) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if bits_a_second is not None:
            stream.bit_rate = bits_a_second
        flat = np.ascontiguousarray(np.asarray(channels).T.reshape(1, -1))
        whole = av.AudioFrame.from_ndarray(flat, format="flt", layout=layout)
        whole.sample_rate = rate
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        queue = av.AudioFifo()
        for frame in (*resampler.resample(whole), *resampler.resample(None)):
            frame.pts = None
            queue.write(frame)
        size = stream.codec_context.frame_size or 1024
        while (frame := queue.read(size, partial=True)) is not None:
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return data.getvalue()


def loudest_hertz(samples: Any, rate: int) -> float:
    """Return the strongest frequency of a sound."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))
