"""How long a sound a processor reads to its end: several leave out the rest without a word."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from savs.datasets.media.sounds import Sound

STEP_S = 60
"""Durations are tried in whole numbers of these where they are longer, else in powers of two."""
END_S = 0.1
"""How much at the end of a sound is changed: more than a window of any spectrogram."""


class SoundLimit:
    """Tries on noise how long a sound may be; what it found for a duration holds for others."""

    def __init__(self, inputs_of: Callable[[Sound], Mapping[str, Any]], rate: int) -> None:
        """`inputs_of` returns what the processor makes of a prompt with one sound."""
        self._inputs_of, self._rate = inputs_of, rate
        self._read_s, self._cut_s = 0.0, math.inf

    def require(self, sound: Sound) -> None:
        """Raise ValueError if the processor would leave out the end of a sound."""
        seconds = sound.seconds
        if seconds <= self._read_s:
            return
        upper = 2.0 ** math.ceil(math.log2(seconds))
        self._try(upper if upper <= STEP_S else STEP_S * math.ceil(seconds / STEP_S))
        self._try(seconds)
        if seconds <= self._read_s:
            return
        low, high = math.floor(self._read_s), math.ceil(self._cut_s)
        while high - low > 1:  # for the message, once
            self._try(middle := (low + high) // 2)
            low, high = (middle, high) if middle <= self._read_s else (low, middle)
        raise ValueError(
            f"the sound lasts {seconds:.1f} s, and this model reads the first {low} s alone: cut"
            f" sounds there with `audio_max_seconds` {low}, or split them"
        )

    def _try(self, seconds: float) -> None:
        if not self._read_s < seconds < self._cut_s:
            return
        if self._reads_end(seconds):
            self._read_s = seconds
        else:
            self._cut_s = seconds

    def _reads_end(self, seconds: float) -> bool:
        count = round(seconds * self._rate)
        samples = np.random.default_rng(0).standard_normal(count, np.float32) / 8
        other = samples.copy()
        other[-round(END_S * self._rate) :] *= -0.5
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # that a trial was cut is no news
        try:
            first, second = (self._inputs_of(Sound(x, self._rate)) for x in (samples, other))
        except Exception:  # it may refuse a long sound, or fail
            return False
        finally:
            logging.set_verbosity(level)
        return any(
            torch.is_tensor(value) and not torch.equal(value, second[name])
            for name, value in first.items()
        )
