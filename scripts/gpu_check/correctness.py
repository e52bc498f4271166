"""Whether the engine is right on a GPU: in all types, with workers, short of memory."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from savs import extract
from savs.datasets import MediaFolder
from savs.pipeline.extraction.check_model import Check, prove, sample_prompts
from savs.pipeline.extraction.checks.trial import TOLERANCES, distance
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import CLOSE, find_scale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES
from savs.pipeline.prompts.input_names import PIXELS
from savs.stores import FeatureStore

DEMO: dict[str, Any] = {"model": "demo", "max_pixels": 448 * 448}
"""Its processor makes 256 visual tokens of a photo, as that of Qwen2-VL would."""


def check_engine(photos: Path, device: str) -> list[Check]:
    """Run all checks with the demo model on photos of 448 x 448."""
    checks = check_runs(device, photos, 64, half_of_memory(device))
    return [*checks, check_pixels(device, photos), *check_dtypes(device, tuple(TOLERANCES))]


def check_dtypes(device: str, dtypes: Sequence[str]) -> Iterator[Check]:
    """Run the checks of `savs models CHECKPOINT` on the demo model in each dtype."""
    for dtype in dtypes:
        model = load_model("demo", device=device, dtype=dtype)
        for check in prove(model, sample_prompts(8), (2, 8)):
            yield Check(f"{dtype}: {check.name}", check.passed, check.what)


def check_pixels(device: str, photos: Path) -> Check:
    """Compare pixels that are normalised on the device with those of the processor."""
    encoder, apart, media = load_encoder(ModelOptions(**DEMO)), float("inf"), MediaFolder(photos)
    prompts = [(*media.decode(f"test-{row}-0.jpg"), "What is it?") for row in range(4)]
    if scale := find_scale(encoder, prompts):
        pixels = scale.apply(encoder.encode(prompts, RAW_IMAGES)[PIXELS].to(device)).cpu()
        apart = float((pixels - encoder.encode(prompts)[PIXELS]).abs().max())
    return Check("pixels normalised on the device", apart <= CLOSE, f"they differ by {apart:.1e}")


def check_runs(
    device: str, photos: Path, batch_size: int, short_of_memory: AbstractContextManager[None]
) -> list[Check]:
    """Extract without workers, twice with workers and pinned memory, and short of memory."""
    options: dict[str, Any] = {"device": device, "dtype": "float32", "batch_size": batch_size}
    options |= {"batch_check": "off", "batch_tokens": 2**20}
    alone = _extract(photos, "alone", workers=0, **options)
    first = _extract(photos, "first", workers=2, **options)
    second = _extract(photos, "second", workers=2, **options)
    with short_of_memory:
        short = _extract(photos, "short", workers=0, **options)
    was_cut = any(run["cut"] for run in short.manifest.runs)
    return [
        _compare("workers and pinned memory: the same bits", alone, first, 0.0),
        _compare("a second run: the same bits", first, second, 0.0),
        _compare("short of memory: the same store", alone, short, TOLERANCES["float32"]),
        Check("short of memory: batches are cut", was_cut, "as a shard records"),
    ]


def _extract(photos: Path, name: str, **options: Any) -> FeatureStore:
    shutil.rmtree(photos / name, ignore_errors=True)
    rows: dict[str, Any] = {split: photos / f"{split}.jsonl" for split in ("train", "test")}
    return extract("general", **rows, **DEMO, out=photos / name, **options).store


def _compare(name: str, one: FeatureStore, other: FeatureStore, limit: float) -> Check:
    apart = max(distance(one.features(s), other.features(s)) for s in ("train", "test"))
    return Check(name, apart <= limit, f"greatest relative distance of a head: {apart:.1e}")


@contextmanager
def half_of_memory(device: str) -> Iterator[None]:
    """Leave half of the memory that was used at most until now."""
    torch.cuda.empty_cache()
    share = torch.cuda.max_memory_allocated(device) / torch.cuda.mem_get_info(device)[1] / 2
    torch.cuda.set_per_process_memory_fraction(share, device)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, device)
