"""How many tokens a batch may have: what fits the memory, measured on a few prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from savs.pipeline.extraction.checks.batch_equality import batches_of
from savs.pipeline.extraction.checks.sample import COMPARED
from savs.pipeline.extraction.checks.ways import UntriedError, Verdict, Way
from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import RAW_IMAGES
from savs.pipeline.prompts.pieces import Pieces, is_plain

ASKED, MEASURED, FIXED = "asked", "measured", "fixed"
"""How the most tokens of a batch were found."""
CPU_TOKENS = 4096
"""A CPU is as fast with some rows as with many."""
MOST_TOKENS = 65_536
"""Larger batches keep no GPU busier."""
MEMORY_SHARE = 0.6
"""Of the free memory that a batch may take: another batch is on its way, and memory has gaps."""


@dataclass
class TokenMeter:
    """Measures the tokens of a batch, padding included, that fit the memory of all its devices.

    Prompts run by themselves and together, padded, as the run will run them, and the peak of each
    device is measured.
    """

    model: LoadedModel
    prompts: Sequence[Pieces]
    scale: PixelScale | None = None
    """What was found for pixels."""
    cached: bool = False
    """Whether keys and values are kept, of prefixes and of the prompts after them."""
    most: int = CPU_TOKENS
    """The tokens; as many as are fixed until they are measured."""

    def ways(self) -> Iterator[Way]:
        """Yield the way in which batches are as large as fits; it changes `most`."""
        if self.model.device.type != "cuda":
            raise UntriedError(f"nothing is measured on {self.model.device.type}")
        if not self.prompts:
            raise UntriedError("no prompt was tried")
        yield Way(MEASURED, self._measure)

    def _measure(self) -> Verdict:
        model, prompts = self.model, self.prompts
        devices = sorted({model.device, *_devices(model)}, key=str)
        batches = [[pieces] for pieces in prompts]
        batches += [[prompts[i] for i in places] for places in batches_of(prompts, COMPARED)]
        measured = [
            _bytes_a_token(model, batch, self.scale, devices) for batch in [batches[0], *batches]
        ]
        fitting = [found for found in measured[1:] if found]  # the first pass prepares libraries
        if not fitting:
            return Verdict(False, "no prompt that was tried fits")
        most, places = MOST_TOKENS, []
        for place, device in enumerate(devices):
            each = max(found[place] for found in fitting)
            each += 2 * _cache_bytes(model, device) if self.cached else 0
            free, _ = torch.cuda.mem_get_info(device)
            free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            most = min(most, int(MEMORY_SHARE * free / each))
            places.append(f"{each:,.0f} bytes a token of {free:,} free on {device}")
        self.most = max(most, 1)
        return Verdict(True, ", ".join(places))


def _devices(model: LoadedModel) -> list[torch.device]:
    """Return the GPU of each hook point; offloaded layers run on that of the inputs."""
    weights = (next(point.module.parameters(), None) for point in model.hook_points)
    found = (model.device if weight is None else weight.device for weight in weights)
    return [device if device.type == "cuda" else model.device for device in found]


def _cache_bytes(model: LoadedModel, device: torch.device) -> int:
    """Return what the keys and values of a token take in all layers on a device."""
    places = zip(model.grid, _devices(model), strict=False)
    values = sum(len(grid.heads) * grid.head_dim for grid, here in places if here == device)
    config = model.model.config.get_text_config()
    queries = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None)
    if isinstance(queries, int) and isinstance(shared, int):
        values = values * shared // queries
    return 2 * values * model.model.dtype.itemsize


def _bytes_a_token(
    model: LoadedModel,
    batch: Sequence[Pieces],
    scale: PixelScale | None,
    devices: Sequence[torch.device],
) -> list[float]:
    """Return what a batch takes on each device; nothing if it does not fit.

    The run cuts such a batch, or refuses a prompt.
    """
    is_raw = scale is not None and is_plain(batch[0])
    inputs = model.encoder.encode(batch, RAW_IMAGES if is_raw else None)
    for device in devices:
        torch.cuda.reset_peak_memory_stats(device)
    before = list(map(torch.cuda.memory_allocated, devices))
    try:
        model.launch(inputs, scale=scale if is_raw else None).result()
    except RuntimeError as error:
        if is_out_of_memory(error):
            return []
        raise
    peaks = map(torch.cuda.max_memory_allocated, devices)
    used = [max(peak - start, 1) for peak, start in zip(peaks, before, strict=True)]
    tokens = model.count_tokens(inputs)
    return [taken / tokens for taken in used]
