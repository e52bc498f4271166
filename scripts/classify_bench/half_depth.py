"""What a model of twelve layers costs whole, and if the chosen heads need the first six alone."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText

from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions

LAYERS, KEPT = 12, 6
SIDE, BATCH, REPEATS = 224, 4, 7
WIDER = 4
"""Times as wide as the shipped model: there, most of the time is not arithmetic."""


@dataclass(frozen=True, slots=True)
class Depth:
    """A model with some of its layers."""

    layers: int
    weights_mb: float
    vision_ms: float
    """The vision tower, per image."""
    whole_ms: float
    """A whole forward pass, per image."""

    @property
    def decoder_ms(self) -> float:
        """What the vision tower does not take."""
        return self.whole_ms - self.vision_ms


def measure_depths(folder: Path) -> tuple[Depth, Depth]:
    """Return a model of random weights, whole and with half of its layers, in turns."""
    torch.set_num_threads(1)
    _save_model(folder)
    options = ModelOptions(model=str(folder), dtype="float32", device="cpu")
    run = ModelRun(options, RunOptions())
    whole, half = run.load(), run.load(KEPT - 1)
    runs = {LAYERS: whole, KEPT: _up_to(half, KEPT - 1)}
    image = Image.effect_noise((SIDE, SIDE), 60).convert("RGB")
    inputs = whole.inputs([(image, "What is it?")] * BATCH)
    seconds: dict[int, list[float]] = {LAYERS: [], KEPT: []}
    vision: list[float] = []
    for _ in range(REPEATS):
        vision.append(_cpu_s(lambda: _see(whole, inputs)))
        for layers, model in runs.items():
            seconds[layers].append(_cpu_s(lambda model=model: model.read(inputs)))
    tower = 1000 * min(vision) / BATCH
    first, second = (
        Depth(layers, _megabytes(model), tower, 1000 * min(seconds[layers]) / BATCH)
        for layers, model in runs.items()
    )
    return first, second


def print_depths(whole: Depth, half: Depth) -> None:
    """Print a Markdown table."""
    print(
        f"\n| decoder layers of {LAYERS} | weights, MB | vision tower, ms | decoder, ms | sum, ms |"
    )
    print("| --- | --- | --- | --- | --- |")
    for one in (whole, half):
        print(
            f"| {one.layers} | {one.weights_mb:.1f} | {one.vision_ms:.1f} | {one.decoder_ms:.1f}"
            f" | {one.whole_ms:.1f} |"
        )
    print(
        f"\nhalf of the layers: {100 * half.decoder_ms / whole.decoder_ms:.0f} % of the decoder's"
        f" time, {100 * half.whole_ms / whole.whole_ms:.0f} % of the whole"
    )


def _save_model(folder: Path) -> None:
    shutil.copytree(DEMO_MODEL, folder)
    (folder / "model.safetensors").unlink()
    config = AutoConfig.from_pretrained(DEMO_MODEL)
    text = config.text_config
    text.num_hidden_layers, text.layer_types = LAYERS, ["full_attention"] * LAYERS
    for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        setattr(text, name, WIDER * getattr(text, name))
    config.vision_config.hidden_size = text.hidden_size
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config).float().save_pretrained(folder)


def _up_to(model: LoadedModel, last: int) -> LoadedModel:
    points = tuple(point for point in model.hook_points if point.grid.layer <= last)
    return replace(model, hook_points=points)


def _see(model: LoadedModel, inputs: dict[str, torch.Tensor]) -> None:
    with torch.inference_mode():
        model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])


def _megabytes(model: LoadedModel) -> float:
    return sum(p.numel() * p.element_size() for p in model.model.parameters()) / 1e6


def _cpu_s(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started
