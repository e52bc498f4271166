"""How many tokens a batch may have: measured where the model runs on a GPU."""

from collections.abc import Sequence

import torch

from savs.pipeline.extraction.model.devices import is_out_of_memory
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pieces import Pieces

CPU_TOKENS = 4096
"""A CPU is as fast with some rows as with many."""
MOST_TOKENS = 65_536
"""Larger batches keep no GPU busier."""
SHARE = 0.6
"""Of the free memory that a batch may take: another batch is on its way, and memory has gaps."""


def auto_tokens(model: LoadedModel, prompts: Sequence[Pieces], *, cached: bool = False) -> int:
    """Return the tokens of a batch that fit the device's memory.

    Parameters
    ----------
    model
        The loaded model.
    prompts
        Some of the user's prompts; each is run by itself, and its peak memory is measured.
    cached
        Whether keys and values are kept, of prefixes and of the prompts after them.
    """
    if model.device.type != "cuda" or not prompts:
        return CPU_TOKENS
    measured = [_bytes_a_token(model, pieces) for pieces in [prompts[0], *prompts]][1:]
    each = max(filter(None, measured), default=None)  # the first pass prepares libraries
    if each is None:
        return CPU_TOKENS
    each += 2 * _cache_bytes(model) if cached else 0
    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    return int(min(max(SHARE * free / each, 1), MOST_TOKENS))


def _cache_bytes(model: LoadedModel) -> int:
    """Return what the keys and values of a token take in all layers."""
    values = sum(len(grid.heads) * grid.head_dim for grid in model.grid)
    config = model.model.config.get_text_config()
    queries = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None)
    if isinstance(queries, int) and isinstance(shared, int):
        values = values * shared // queries
    return 2 * values * model.model.dtype.itemsize


def _bytes_a_token(model: LoadedModel, pieces: Pieces) -> float | None:
    """Return what a prompt takes by itself, None if it does not fit: the run will refuse it."""
    device, inputs = model.device, model.inputs([pieces])
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        model.read(inputs)
    except RuntimeError as error:
        if is_out_of_memory(error):
            return None
        raise
    used = torch.cuda.max_memory_allocated(device) - before
    return max(used, 1) / model.count_tokens(inputs)
