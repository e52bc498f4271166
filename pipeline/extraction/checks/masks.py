"""Whether FlashAttention can express the masks of a model, seen in what its sdpa is given.

FlashAttention knows causal order, a sliding window and padding. For it transformers drops every
other mask without a word, such as that by which the tokens of an image see each other in Gemma 3.
Masks are compared, not features: they are equal or not, in any type and on any device.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import batches_of
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.tower_attention import RUNS, SDPA, has_sdpa_tower, set_runs
from savs.pipeline.prompts.pieces import MASK, Pieces

CHUNKED = "chunked_attention"
"""What `layer_types` of configurations calls layers that see no token of an earlier chunk, which
shorter prompts do not show."""
PROBES: tuple[Pieces, ...] = tuple(
    (Image.new("RGB", size, "grey"), "What is this?") for size in ((56, 56), (120, 40), (60, 130))
)
"""Prompts that are tried whatever the user's are: some masks are of images, and some towers mask
what fills small images up."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What FlashAttention would leave out; nothing where a text is empty."""

    decoder: str
    """Of the decoder; of all of an encoder."""
    tower: str
    """Of what is no part of the decoder."""


@dataclass(eq=False)
class _Recorder:
    """Runs sdpa, and notes where FlashAttention would not see the same."""

    decoder: frozenset[nn.Module]
    padding: torch.Tensor | None = None
    """`(batch, tokens)` of the batch that runs, 0 at padding."""
    in_decoder: str = ""
    in_tower: str = ""
    calls: int = 0
    """Calls by the decoder."""
    _known: dict[tuple[Any, ...], tuple[torch.Tensor, bool]] = field(default_factory=dict)
    """What a call has -> its mask, so that no other one gets its id, and whether it is kept: all
    layers of a kind are given one tensor."""

    def __call__(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> Any:
        has_bias = options.get("position_bias") is not None
        if module not in self.decoder:
            if attention_mask is not None or has_bias:
                self.in_tower = self.in_tower or type(module).__name__
        else:
            self.calls += 1
            lengths = query.shape[2], key.shape[2]
            if has_bias or not self._is_kept(module, attention_mask, lengths, options):
                self.in_decoder = self.in_decoder or type(module).__name__
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)

    def _is_kept(
        self,
        module: nn.Module,
        mask: torch.Tensor | None,
        lengths: tuple[int, int],
        options: Mapping[str, Any],
    ) -> bool:
        window = options.get("sliding_window")
        if mask is None:  # both are causal where the module is, and sdpa knows no window
            return window is None or window >= lengths[1]
        causal = options.get("is_causal")
        causal = bool(getattr(module, "is_causal", True) if causal is None else causal)
        call = (id(mask), lengths, causal, window)
        if call not in self._known:
            seen = expressed(lengths, mask.device, causal=causal, window=window)
            self._known[call] = mask, self._is_equal(mask, seen)
        return self._known[call][1]

    def _is_equal(self, mask: torch.Tensor, seen: torch.Tensor) -> bool:
        """Return whether a mask and what FlashAttention sees agree, but for rows of padding."""
        sees = mask if mask.dtype == torch.bool else mask == 0  # an added one has 0 where it sees
        differs = sees != seen
        if self.padding is not None and self.padding.shape[1] == seen.shape[1]:
            token = self.padding.to(mask.device).bool()
            differs = sees != (seen & token[:, None, None, :])
            differs &= token[:, None, -seen.shape[0] :, None]
        return not bool(differs.any())


def expressed(
    lengths: tuple[int, int], device: torch.device, *, causal: bool, window: int | None
) -> torch.Tensor:
    """Return `(queries, keys)`: which keys each query sees by FlashAttention, without padding.

    `lengths` are the numbers of queries and keys, of which the last stand for the same token.

    Examples
    --------
    >>> expressed((2, 3), torch.device("cpu"), causal=True, window=2).int().tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    queries, keys = lengths
    apart = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(
        keys, device=device
    )
    seen = apart >= 0 if causal else torch.ones_like(apart, dtype=torch.bool)
    return seen if window is None else seen & (apart.abs() < window)


def lost_masks(model: LoadedModel, prompts: Sequence[Pieces], size: int) -> Lost:
    """Return what FlashAttention would leave out in prompts, and in `PROBES` if images are read.

    The model runs by sdpa. Prompts run in batches of `size` at most.
    """
    if CHUNKED in (getattr(model.model.config.get_text_config(), "layer_types", None) or ()):
        return Lost("its layers attend in chunks, which FlashAttention does not know", "")
    tried = list(prompts)
    if model.encoder.images is not None:
        tried += map(model.encoder.pieces_read, PROBES)
    find = getattr(model.model, "get_decoder", None) if model.encoder.reads_prompts else None
    with _recording(frozenset(find().modules() if find else ())) as recorder:
        _run(model, tried, size, recorder)
    in_decoder, in_tower = recorder.in_decoder, recorder.in_tower
    if find and not recorder.calls:
        in_decoder = "its decoder computes attention in another way"
    elif in_decoder:
        in_decoder = f"{in_decoder} has a mask that FlashAttention would drop"
    if not in_tower or _tells_chunks(model, tried, size):
        return Lost(in_decoder, "")
    in_tower = f"{in_tower} has a mask that FlashAttention may drop"
    return Lost(in_decoder, in_tower) if find else Lost(in_tower, "")


def _tells_chunks(model: LoadedModel, prompts: Sequence[Pieces], size: int) -> bool:
    """Return whether a tower with a mask says where chunks end to what is named flash."""
    if not has_sdpa_tower(model.model):
        return False
    calls = RUNS.calls
    set_runs(model.model, runs=True)
    try:
        _run(model, prompts, size)
    except ModelError:
        return False
    finally:
        set_runs(model.model, runs=False)
    return RUNS.calls > calls


def _run(
    model: LoadedModel, prompts: Sequence[Pieces], size: int, recorder: _Recorder | None = None
) -> None:
    for batch in batches_of(prompts, size):
        together = [prompts[place] for place in batch]
        try:
            batches = [model.inputs(together)]
        except ValueError:  # a processor that takes images of unequal tiles in no batch
            batches = [model.inputs([pieces]) for pieces in together]
        for inputs in batches:
            if recorder is not None:
                recorder.padding = inputs.get(MASK)
            model.read(inputs)


@contextmanager
def _recording(decoder: frozenset[nn.Module]) -> Iterator[_Recorder]:
    recorder = _Recorder(decoder)
    ALL_ATTENTION_FUNCTIONS[SDPA] = recorder  # in front of the registered one, until it is deleted
    try:
        yield recorder
    finally:
        del ALL_ATTENTION_FUNCTIONS[SDPA]
