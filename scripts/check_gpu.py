"""Run the engine of stage 1 on a GPU and write docs/gpu.md; without a GPU, nothing is written.

    python scripts/check_gpu.py --work build/check-gpu

The checks use the demo model, the throughput a random model of the shape of Qwen2-VL-7B.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from savs import extract
from savs.datasets import MediaFolder
from savs.pipeline.extraction import model_run
from savs.pipeline.extraction.check_model import sample_prompts
from savs.pipeline.extraction.checks.batch_equality import TOLERANCES, Check, distance, prove
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.attention_hooks import find_hook_points
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pieces import PIXELS
from savs.pipeline.extraction.model.pixel_scale import CLOSE, find_scale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES
from savs.stores import FeatureStore, open_store

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
DEMO: dict[str, Any] = {"model": "demo", "max_pixels": 448 * 448}
"""Its processor makes 256 visual tokens of a photo, as that of Qwen2-VL would."""
QWEN2_VL_7B: tuple[dict[str, Any], dict[str, Any]] = (
    {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
    | {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064}
    | {"rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]}},
    {"hidden_size": 3584, "embed_dim": 1280, "depth": 32, "num_heads": 16, "mlp_ratio": 4},
)
"""Sizes of its decoder and of its vision tower; the tokens are those of the demo model."""


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Check, measure, and write the page; return 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    work = parser.parse_args(arguments).work
    if not torch.cuda.is_available():
        print(f"torch sees no GPU: nothing is checked, and {page.name} is not written")
        return 0
    device, speeds = "cuda:0", {}
    small = write_photos(work / "448 x 448", (448, 448), 1000)
    checks = check_runs(device, small, 64, _half_of_memory(device))
    checks += [check_pixels(device, small), *check_dtypes(device, tuple(TOLERANCES))]
    torch.cuda.empty_cache()
    if torch.cuda.mem_get_info(device)[0] >= 20e9:  # its weights, and a batch
        model = build_model(*QWEN2_VL_7B, device)
        for photos in (small, write_photos(work / "HD", (1920, 1080), 1000)):
            speeds[photos.name] = measure_speed(model, photos)
    text = make_page(open_store(small / "alone").manifest.runs[0], checks, speeds)
    page.write_text(text, "utf-8")
    print(text)
    return int(any(check.passed is False for check in checks))


def check_dtypes(device: str, dtypes: Sequence[str]) -> Iterator[Check]:
    """Run the checks of `savs models CHECKPOINT` on the demo model in each dtype."""
    for dtype in dtypes:
        model = load_model("demo", device=device, dtype=dtype)
        for check in prove(model, sample_prompts(8), (2, 8)):
            yield Check(f"{dtype}: {check.name}", check.passed, check.what)


def check_pixels(device: str, photos: Path) -> Check:
    """Compare pixels that are normalised on the device with those of the processor."""
    encoder, apart, media = load_encoder(ModelOptions(**DEMO)), float("inf"), MediaFolder(photos)
    prompts = [(*media.visuals(f"test-{row}.jpg"), "What is it?") for row in range(4)]
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
    rows = {split: photos / f"{split}.jsonl" for split in ("train", "test")}
    return extract("general", **rows, **DEMO, out=photos / name, **options).store


def _compare(name: str, one: FeatureStore, other: FeatureStore, limit: float) -> Check:
    apart = max(distance(one.features(s), other.features(s)) for s in ("train", "test"))
    return Check(name, apart <= limit, f"greatest relative distance of a head: {apart:.1e}")


@contextmanager
def _half_of_memory(device: str) -> Iterator[None]:
    """Leave half of the memory that was used at most until now."""
    torch.cuda.empty_cache()
    share = torch.cuda.max_memory_allocated(device) / torch.cuda.mem_get_info(device)[1] / 2
    torch.cuda.set_per_process_memory_fraction(share, device)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, device)


def build_model(text: dict[str, Any], vision: dict[str, Any], device: str) -> LoadedModel:
    """Return a random Qwen2-VL in bfloat16, with the tokens and the processor of the demo model."""
    encoder = load_encoder(ModelOptions(**DEMO))
    tokens = {name: i for name, i in encoder.config.to_dict().items() if name.endswith("token_id")}
    config = type(encoder.config)(text_config=text, vision_config=vision, **tokens)
    torch.manual_seed(0)
    with torch.device(device), torch.no_grad():
        model = encoder.kind.from_config(config, dtype=torch.bfloat16).eval()
        for weight in (w for w in model.parameters() if w.ndim > 1):
            weight.normal_(std=weight[0].numel() ** -0.5)  # features neither vanish nor explode
    return LoadedModel(model, encoder, find_hook_points(model))


def measure_speed(model: LoadedModel, photos: Path, **options: Any) -> tuple[float, float]:
    """Return examples a second of an extraction, once its workers run, and of a bare forward."""
    passes, launch = [], LoadedModel.launch

    def launch_and_keep(self: LoadedModel, *given: Any) -> Any:
        if len(given) == 3:  # of the engine; what is tried before has no scale
            passes.append((time.perf_counter(), given))
        return launch(self, *given)

    with (
        patch.object(LoadedModel, "launch", launch_and_keep),
        patch.object(model_run, "load", lambda *_: model),
    ):
        _extract(photos, "speed", batch_check="off", **options)
    rows = [len(given[0]["input_ids"]) for _, given in passes]
    start = next(n for n in range(len(rows)) if sum(rows[: n + 1]) >= sum(rows) / 10)
    engine = sum(rows[start:-1]) / (passes[-1][0] - passes[start][0])
    model.launch(*passes[0][1]).result()  # the first pass makes workspaces
    begun = time.perf_counter()
    [model.launch(*given) for _, given in passes][-1].result()
    return engine, sum(rows) / (time.perf_counter() - begun)


def write_photos(folder: Path, size: tuple[int, int], count: int) -> Path:
    """Write JPEGs, each a file of its own content, and the rows that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for split, rows in (("train", 8), ("test", count)):
        with (folder / f"{split}.jsonl").open("w") as lines:
            for row in range(rows):
                fields = {"image": f"{split}-{row}.jpg", "question": f"What is in photo {row}?"}
                coarse = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
                Image.fromarray(coarse).resize(size).save(folder / fields["image"])
                lines.write(json.dumps(fields | {"label": "ab"[row % 2]}) + "\n")
    return folder


def make_page(
    record: Mapping[str, Any], checks: Sequence[Check], speeds: Mapping[str, tuple[float, float]]
) -> str:
    """Return docs/gpu.md."""
    holds = {True: "yes", False: "**no**", None: "does not apply"}
    facts = {**record, **record["versions"], "cores": os.cpu_count()}
    names = ("gpu", "driver", "cuda", "cores", "savs", "torch", "transformers")
    lines = (
        "# The engine on a GPU\n\n`python scripts/check_gpu.py` wrote this page:",
        f"{', '.join(f'{name} {facts.get(name)}' for name in names)}.\n",
        "| check | holds | seen |\n| --- | --- | --- |",
        *(f"| {check.name} | {holds[check.passed]} | {check.what} |" for check in checks),
        "\nExamples/s of a random Qwen2-VL-7B in bfloat16; bare: a forward of the same batches.\n",
        "| photos | engine | bare | share |\n| --- | --- | --- | --- |",
        *(f"| {n} | {e:.1f} | {b:.1f} | {e / b:.0%} |" for n, (e, b) in speeds.items()),
    )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
