"""Would rows packed without padding keep features, and what would they save? Prints two tables.

    python scripts/check_packing.py

transformers keeps the prompts of one row apart where it gets no mask and positions that begin again
at 0. Two prompts of different lengths run so on the tiny model of each family, in float32 on the
CPU, and each by itself. The padding is that of the batches that `savs extract` makes of drawn
lengths: questions around 45 tokens, images of one size or of many.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.utils import logging

from savs.pipeline.extraction.checks.trial import distance
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.jobs import BatchLimits, Request, make_batches
from savs.pipeline.extraction.model.continuation import image_positions
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.prompts.input_names import MASK
from savs.pipeline.prompts.media.inputs import Pieces

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from tiny_models import BUILDERS, build  # type: ignore[import-not-found]

PROMPTS: tuple[Pieces, ...] = (
    (Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).convert("RGB"), "What is it?"),
    (Image.effect_noise((40, 80), 50).convert("RGB"), "What may that be, in some more words?"),
)
SHARD, LIMITS = 256, BatchLimits(32, 65_536)
"""As an H100 has them by default."""


def packing_error(model: LoadedModel, prompts: Sequence[Pieces] = PROMPTS) -> float:
    """Return the greatest relative distance of a head in a packed row from its prompt alone."""
    alone = [model.inputs([pieces]) for pieces in prompts]
    batch = model.inputs(prompts)
    shape = alone[0][MASK].shape
    arguments: dict[str, Any] = {
        name: torch.cat([inputs[name] for inputs in alone], dim=1)
        if alone[0][name].shape == shape
        else values
        for name, values in batch.items()
        if name != MASK
    }
    lengths = [inputs[MASK].shape[1] for inputs in alone]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    maybe = (image_positions(model.model, inputs) for inputs in alone)
    if axes := [values for values in maybe if values is not None]:
        positions = torch.cat([positions[None], torch.cat(axes, dim=-1)])  # of the text first
    packed = _heads(model, {**arguments, "position_ids": positions}, np.cumsum(lengths) - 1)
    single = [_heads(model, inputs, [-1]) for inputs in alone]
    return max(
        distance(torch.cat(layer).numpy(), heads.numpy())
        for *layer, heads in zip(*single, packed, strict=True)
    )


def _heads(model: LoadedModel, arguments: Any, ends: Any) -> list[torch.Tensor]:
    """Return `(prompts, heads, head_dim)` of each layer: what enters its output projection."""
    read: dict[int, torch.Tensor] = {}

    def keep(layer: int, _module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        read[layer] = inputs[0][0, ends]

    handles = [
        point.module.register_forward_pre_hook(partial(keep, point.grid.layer))
        for point in model.hook_points
    ]
    with torch.inference_mode():
        model.model(**model.placed(arguments), use_cache=False)
    for handle in handles:
        handle.remove()
    return [
        read[point.grid.layer].unflatten(1, (-1, point.grid.head_dim))
        for point in model.hook_points
    ]


def padding_share(images: np.ndarray[Any, Any], seed: int = 0) -> float:
    """Return the share of padding in the batches of prompts with images of these tokens."""
    texts = np.random.default_rng(seed).lognormal(np.log(45), 0.5, len(images)).astype(int) + 15
    tokens = padded = 0
    for lengths in (texts + images).reshape(-1, SHARD):
        rows = [Request(n, "", "", (str(n),), 1, int(t)) for n, t in enumerate(lengths)]
        for batch in make_batches(rows, LIMITS):
            tokens += sum(request.tokens for request in batch)
            padded += len(batch) * max(request.tokens for request in batch)
    return 1 - tokens / padded


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="all that tests build, by default")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    count = 100 * SHARD
    many = np.exp(np.random.default_rng(1).uniform(np.log(64), np.log(1280), count)).astype(int)
    print("| images | padding |\n| --- | --- |")
    print(f"| of 256 tokens | {padding_share(np.full(count, 256)):.1%} |")
    print(f"| of 64 to 1,280 tokens | {padding_share(many):.1%} |")
    print("\n| family | packed rows against single prompts |\n| --- | --- |")
    for family in options.families or sorted(BUILDERS):
        try:
            with tempfile.TemporaryDirectory() as folder:
                model = load_model(str(build(family, Path(folder))), dtype="float32")
                result = f"{packing_error(model):.1e}"
        except Exception as error:  # each family has its own
            result = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:60]}"
        print(f"| {family} | {result} |", flush=True)


if __name__ == "__main__":
    main()
