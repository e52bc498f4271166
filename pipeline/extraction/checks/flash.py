"""Whether a model may run its attention by FlashAttention, tried on a few prompts.

It must be able to express all masks: without one features are wrong, even where they differ by no
more than rounding in 16 bits does. FlashAttention knows causal order, a sliding window and padding.
For it transformers drops every other mask without a word, such as that by which the tokens of an
image see each other in Gemma 3. So what sdpa is given is looked at: masks are equal or not, in any
type and on any device.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.trial import (
    Trial,
    UntriedError,
    Verdict,
    Way,
    batches_of,
    plain_runs,
    read_in_batches,
)
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.tower_attention import (
    RUNS,
    SDPA,
    VISION,
    attention_names,
    has_sdpa_tower,
    set_attention,
    set_runs,
)
from savs.pipeline.prompts.input_names import MASK
from savs.pipeline.prompts.media.inputs import Pieces

FLASH = {
    "flash_attention_3": is_flash_attn_3_available,
    "flash_attention_2": is_flash_attn_2_available,
}
"""Names of transformers that are tried, in this order -> whether their package is installed and
finds a GPU. Nothing is downloaded: kernels of the Hub run only if the user names them."""
GPU = "cuda"
"""Kind of device that FlashAttention runs on."""
TYPES = ("bfloat16", "float16")
"""What FlashAttention computes in."""
WITH_TOWER = "+tower"
"""Ends the name of a way by which the vision tower runs, too."""
NOT_USED = "FlashAttention is not used"
CHUNKED = "chunked_attention"
"""What `layer_types` of configurations calls layers that see no token of an earlier chunk, which
shorter prompts do not show."""
PROBES: tuple[Pieces, ...] = tuple(
    (Image.new("RGB", size, "grey"), "What is this?") for size in ((56, 56), (120, 40), (60, 130))
)
"""Prompts that are tried whatever the user's are: some masks are of images, and some towers mask
what fills small images up."""


def flash_ways(trial: Trial, size: int, *, with_tower: bool) -> Iterator[Way]:
    """Yield the ways to run by FlashAttention, in batches of `size` at most.

    They are compared with single examples of the model's own attention: they may differ as far as
    rounding explains. `with_tower` says that the vision tower may run by it, too.
    """
    model = trial.model
    if why := refusal(model):
        raise UntriedError(why)
    set_flash(model.model, None)
    if not trial.prompts:
        raise UntriedError("no prompt was tried")
    trial.run_alone()
    with plain_runs():
        lost = lost_masks(model, trial.prompts, size)
    if lost.decoder:
        raise UntriedError(f"{NOT_USED}: {lost.decoder}")
    towers = (True, False) if with_tower and not lost.tower else (False,)
    for name, tower in product(installed(), towers):
        yield Way(
            name + WITH_TOWER * tower,
            partial(_by_flash, trial, size, name, with_tower=tower),
            partial(set_flash, model.model, None),
            NOT_USED,
        )


def _by_flash(trial: Trial, size: int, name: str, *, with_tower: bool) -> Verdict:
    set_flash(trial.model.model, name, with_tower=with_tower)
    return trial.compare(read_in_batches(trial.model, trial.prompts, size))


def attention_of(way: str) -> str:
    """Return the attention of a way, in transformers' names."""
    return way.removesuffix(WITH_TOWER)


def require_masks(trial: Trial, size: int) -> None:
    """Raise ModelError for a FlashAttention that the user named if it drops a mask of the model."""
    model, named = trial.model, trial.model.attention
    if "flash" not in named:
        return
    names = attention_names(model.model.config)
    try:
        set_attention(model.model, dict.fromkeys(names, SDPA))
        lost = lost_masks(model, trial.prompts, size)
    except Exception:  # of models without sdpa each has its own; then it is not known
        return
    finally:
        set_attention(model.model, names)
    if why := lost.decoder or lost.tower:
        raise ModelError(
            f"`attention` is {named}, and {model.name} would give wrong features by it: {why}; give"
            " `attention` auto"
        )


def use_attention(model: LoadedModel, way: str) -> str:
    """Let a model run as was found on another machine; return a note where it cannot.

    Only FlashAttention is set: a store may come from a stranger, and some names download code.
    """
    attention = attention_of(way)
    name = attention if attention in FLASH else None
    if name is None and model.attention not in FLASH:
        return ""
    why = refusal(model) if name else ""
    if name and not why and name not in installed():
        why = f"{name} is not installed"
    try:
        set_flash(model.model, None if why else name, with_tower=way.endswith(WITH_TOWER))
    except (ImportError, ValueError) as error:
        why = str(error).partition("\n")[0]
        set_flash(model.model, None)
    if not why:
        return ""
    return (
        f"the store was begun with {name}, and this process goes on with {model.attention}: {why};"
        " features differ by rounding"
    )


def set_flash(model: Any, name: str | None, *, with_tower: bool = False) -> None:
    """Let a model's decoder run a FlashAttention, and its tower, too; or all sdpa in its place.

    ImportError, ValueError if it cannot be run here, or a part of the model does not support it;
    some parts may be set.
    """
    config, names = model.config, attention_names(model.config)
    if name is None:
        runs = {
            part: nested[""] if isinstance(nested, dict) else nested
            for part, nested in names.items()
        }
        flash = [part for part, attention in runs.items() if attention in FLASH]
        if flash:
            set_attention(model, dict.fromkeys(flash, SDPA))
        return
    text = config.get_text_config()
    parts = [part for part in names if part == "" or getattr(config, part) is text]
    if with_tower and VISION in names:
        parts.append(VISION)
    set_attention(model, dict.fromkeys(parts, name))
    if config._attn_implementation != name:
        raise ValueError(f"{type(model).__name__} does not let its attention be set")


def installed() -> list[str]:
    """Return the names that can be used here."""
    return [name for name, is_available in FLASH.items() if is_available()]


def refusal(model: LoadedModel) -> str:
    """Return why no FlashAttention can be tried with a model; nothing if one can."""
    if model.device.type != GPU:
        return f"FlashAttention needs a CUDA GPU, and the model is on {model.device.type}"
    if model.dtype not in TYPES:
        return f"FlashAttention computes in {' and '.join(TYPES)}, and the model in {model.dtype}"
    if model.attention != SDPA and model.attention not in FLASH:
        return f"the model runs with {model.attention} only"
    if not installed():
        return "no FlashAttention is installed"
    if getattr(model.model, "_compatible_flash_implementations", None):
        return "the model takes kernels of the Hub only; name one as `attention`"
    return ""


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
