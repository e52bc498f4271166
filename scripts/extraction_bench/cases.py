"""The cases of the benchmark, and the photos or sounds of each."""

import io
import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from savs.datasets.media_kinds.decoders.sounds import sound_file

EXAMPLE_S = 0.010
PIXELS = 448 * 448
"""Limit of the processor: 256 visual tokens."""
SIZES = {"448": (448, 448), "HD": (1920, 1080), "12MP": (4032, 3024), "224": (224, 224)}


@dataclass(frozen=True, slots=True)
class Case:
    """One run of `savs extract` on the emulated accelerator."""

    name: str
    sizes: tuple[str, ...]
    """Sizes of the photos, in turn."""
    rows: int
    shard_rows: int = 256
    cold_s: float = 0.0
    """Time that reading a file takes longer."""
    draft: int | None = None
    site: str | None = None
    sound_s: float = 0.0
    """Length of sounds in place of photos."""

    @property
    def suffix(self) -> str:
        """The suffix of its files."""
        return "wav" if self.sound_s else "jpg"

    def model(self, work: Path) -> Path | str:
        """Return the model whose processor it takes."""
        return work / "omni" if self.sound_s else "demo"

    def folder(self, work: Path) -> Path:
        """Return where its photos lie."""
        return work / self.name.replace(" ", "-")


CASES = (
    Case("448 x 448", ("448",), 3000),
    Case("448 x 448, shards of 64 rows", ("448",), 3000, shard_rows=64),
    Case("448 x 448, 5 ms a read", ("448",), 3000, cold_s=0.005),
    Case("half 224 x 224, half HD", ("224", "HD"), 1500),
    Case("HD", ("HD",), 1000),
    Case("12 MP", ("12MP",), 360),
    Case("12 MP, jpeg_draft", ("12MP",), 600, draft=2 * PIXELS),
)
SOUNDS = (Case("sounds of 5 s", (), 1500, sound_s=5.0),)
"""Run by their name alone."""


SITES = (
    Case("448 x 448, heads", ("448",), 1500),
    Case("448 x 448, all sites", ("448",), 1500, site="heads,residual,attention,mlp,norm"),
)
"""Runs that are compared with each other."""


def write_photos(case: Case, work: Path) -> None:
    """Write photos or sounds, each a file of its own content, and the rows that name them."""
    folder = case.folder(work)
    folder.mkdir(exist_ok=True)
    if case.sound_s and not (work / "omni").exists():
        build_sound_model(work / "omni")
    bodies = (
        [sound(case.sound_s, seed) for seed in range(6)]
        if case.sound_s
        else [photo(SIZES[size], seed) for seed in range(6) for size in case.sizes]
    )
    for split, count in (("train", 40), ("test", case.rows)):
        with (folder / f"{split}.jsonl").open("w") as lines:
            for row in range(count):
                name = f"{split}-{row}.{case.suffix}"
                body = bodies[row % len(bodies)]
                (folder / name).write_bytes(body + name.encode())  # decoders stop before it
                field = "audio" if case.sound_s else "image"
                what = {field: name, "question": f"What is in {name}?"}
                lines.write(json.dumps(what | {"label": "ab"[row % 2]}) + "\n")


def sound(seconds: float, seed: int) -> bytes:
    """Return a WAV of noise, 44.1 kHz as in ESC-50."""
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * 44_100))
    return sound_file(samples.astype(np.float32), 44_100, "the benchmark")


def build_sound_model(folder: Path) -> None:
    """Save a tiny Qwen2.5-Omni with the spectrogram of the real one."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from transformers import AutoProcessor

    import_module("tiny_models").build("qwen2_5_omni_thinker", folder)
    processor = AutoProcessor.from_pretrained(folder)
    spectrogram = type(processor.feature_extractor)
    processor.feature_extractor = spectrogram(feature_size=128, chunk_length=300)
    processor.save_pretrained(folder)


def photo(size: tuple[int, int], seed: int) -> bytes:
    """Return a JPEG with about the detail of a photo."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (size[1] // 24, size[0] // 24, 3), np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    noisy = image + rng.integers(-12, 12, image.shape, np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()
