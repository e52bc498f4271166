"""Measure how sounds are decoded, and how far batches of them are from single examples.

    just sounds                          # once: packages that the tables need, in build/voxtral
    PYTHONPATH=build/voxtral python scripts/bench_sounds.py decoding
    PYTHONPATH=build/voxtral python scripts/bench_sounds.py families

`decoding` compares with soundfile and soxr on minutes of noise in stereo; `families` runs a small
random model of each family that reads sounds.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from savs.datasets.media.sounds import DEFAULT_RATE, Sound, decode_sound
from savs.pipeline.extraction.check_model import sound_prompts
from savs.pipeline.extraction.checks.trial import distance, read_in_batches, run_single
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.prompts.media import Pieces

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

SECONDS, TURNS = 60, 5
FILES = (("wav", 44_100), ("flac", 44_100), ("mp3", 44_100), ("wav", 48_000), ("wav", 8_000))
SHORT = 0.3
"""Seconds of a sound that is shorter than the window of some encoders."""


def decoding() -> None:
    """Print how many times faster than real time files are decoded to 16 kHz, by either way."""
    encode, soundfile, soxr = (
        import_module("sounds").encode,
        import_module("soundfile"),
        import_module("soxr"),
    )
    noise = np.random.default_rng(0).standard_normal((2, 48_000 * SECONDS), np.float32) / 8

    def by_others(data: bytes) -> Any:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        return soxr.resample(samples.mean(axis=1), rate, DEFAULT_RATE)

    print(f"| {SECONDS} s, stereo | savs (PyAV) | soundfile + soxr | time, savs : others |")
    print("| --- | --- | --- | --- |")
    for suffix, rate in FILES:
        data = encode(suffix, noise[:, : rate * SECONDS], rate)
        ours, others = [], []
        for _ in range(TURNS):
            ours.append(_timed(lambda data=data: decode_sound(data, "noise")))
            others.append(_timed(lambda data=data: by_others(data)))
        mine, theirs = min(ours), min(others)
        print(
            f"| {suffix}, {rate / 1000:g} kHz | {SECONDS / mine:,.0f} x real time"
            f" | {SECONDS / theirs:,.0f} x | {mine / theirs:.2f} |"
        )


def families() -> None:
    """Print how far the heads of batches are from those of single examples, in float32."""
    tiny = import_module("tiny_models")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    print("| family | sounds of a second or more | with shorter ones |")
    print("| --- | --- | --- |")
    for family in tiny.AUDIO:
        with tempfile.TemporaryDirectory() as folder:
            model = load_model(str(tiny.build(family, Path(folder))), dtype="float32")
        prompts = sound_prompts(DEFAULT_RATE)
        noise = np.random.default_rng(1).standard_normal(round(SHORT * DEFAULT_RATE), np.float32)
        short: Pieces = (Sound(noise / 8, DEFAULT_RATE), "What is it?")
        apart = [_greatest(model, some) for some in (prompts, [short, *prompts])]
        print(f"| {family} | {apart[0]:.0e} | {apart[1]:.0e} |", flush=True)


def _greatest(model: Any, prompts: list[Pieces]) -> float:
    singles = np.stack([run_single(model, pieces).heads for pieces in prompts])
    return distance(singles, read_in_batches(model, prompts, len(prompts)))


def _timed(task: Callable[[], Any]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("decoding", "families"))
    {"decoding": decoding, "families": families}[parser.parse_args().table]()
