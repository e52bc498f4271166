"""Whether a model may run its attention by FlashAttention, tried on a few prompts.

It must be able to express all masks, see `lost_masks`: without one features are wrong, even where
they differ by no more than rounding in 16 bits does.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import Trial, read_in_batches
from savs.pipeline.extraction.checks.masks import lost_masks
from savs.pipeline.extraction.checks.ways import UntriedError, Verdict, Way, plain_runs
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.tower_attention import (
    SDPA,
    VISION,
    attention_names,
    set_attention,
)

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
    """Refuse a FlashAttention that the user named for a model whose masks it drops.

    Raises
    ------
    ModelError
        It drops one. Where the model cannot be run by sdpa, that is not known.
    """
    model, named = trial.model, trial.model.attention
    if "flash" not in named:
        return
    names = attention_names(model.model.config)
    try:
        set_attention(model.model, dict.fromkeys(names, SDPA))
        lost = lost_masks(model, trial.prompts, size)
    except Exception:  # as above; of models without sdpa each has its own
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

    Raises
    ------
    ImportError, ValueError
        It cannot be run here, or a part of the model does not support it; some parts may be set.
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
