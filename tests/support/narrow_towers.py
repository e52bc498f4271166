"""Qwen's vision models at full depth and narrow width, and what a batch of eight costs in calls.

Most of the time of a small batch on a GPU is what the processor spends on starting operations, and
on waiting for values that it reads back. Both are counted on a CPU: their numbers do not depend on
widths or on the device.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tiny_parts import save, text
from tiny_qwen import IMAGE, ids, qwen_template, qwen_tokenizer, rope
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from savs.pipeline.extraction.model import devices

NARROW = {"hidden_size": 16, "intermediate_size": 16, "num_heads": 1, "out_hidden_size": 48}


def _text(layers: int, **more: Any) -> dict[str, Any]:
    return text(num_hidden_layers=layers, **more)


CONFIGS: dict[str, Any] = {
    "qwen2_vl": lambda: hf.Qwen2VLConfig(
        text_config=_text(28, rope_parameters=rope()),
        vision_config={"depth": 32, "embed_dim": 16, "hidden_size": 48, "num_heads": 1},
        **ids(),
    ),
    "qwen2_5_vl": lambda: hf.Qwen2_5_VLConfig(
        text_config=_text(28, rope_parameters=rope()),
        vision_config={
            **NARROW,
            "depth": 32,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
        },
        **ids(),
    ),
    "qwen3_vl": lambda: hf.Qwen3VLConfig(
        text_config=_text(36, head_dim=16, rope_parameters=rope(mrope_section=[4, 2, 2])),
        vision_config={
            **NARROW,
            "depth": 27,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [8, 16, 24],
        },
        **ids(),
    ),
}
"""Family -> its configuration: the depths of Qwen2-VL-7B, Qwen2.5-VL-7B and Qwen3-VL-8B."""
KINDS = {
    "qwen2_vl": (hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor, 14),
    "qwen2_5_vl": (hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLProcessor, 14),
    "qwen3_vl": (hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLProcessor, 16),
}


def build_narrow(family: str, folder: Path) -> Path:
    """Save a random checkpoint of a family at full depth; the same weights each time."""
    torch.manual_seed(0)
    model, processor, patch = KINDS[family]
    videos = hf.Qwen3VLVideoProcessor() if family == "qwen3_vl" else hf.Qwen2VLVideoProcessor()
    parts = processor(
        image_processor=hf.Qwen2VLImageProcessor(patch_size=patch),
        tokenizer=qwen_tokenizer(),
        video_processor=videos,
        chat_template=qwen_template(IMAGE),
    )
    save(folder, model(CONFIGS[family]()), parts)
    return folder


WAITING = {
    *("item", "is_nonzero", "_is_all_true", "_local_scalar_dense", "equal", "nonzero"),
    *("masked_select", "unique_consecutive", "_unique2", "unique_dim"),
}
"""Operations whose result, or its size, the processor reads."""


class Counts(TorchDispatchMode):
    """Counts operations that compute, and reads by the processor: on a GPU each waits for it.

    Views of memory that is there already compute nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        name = func.overloadpacket.__name__
        sizes_are_read = name == "repeat_interleave" and given.get("output_size") is None
        if name in WAITING or sizes_are_read or _has_mask(name, args):
            self.waits[name] += 1
        found = func(*args, **given)
        inputs = {t.untyped_storage().data_ptr() for t in _tensors((args, given))}
        outputs = {t.untyped_storage().data_ptr() for t in _tensors(found)}
        self.operations += bool(outputs - inputs) or func._schema.is_mutable
        return found


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if torch.is_tensor(leaf)]


def _has_mask(name: str, args: Any) -> bool:
    """Return whether an index is a mask, whose true values are counted first."""
    if name not in ("index", "index_put", "index_put_"):
        return False
    return any(index is not None and index.dtype == torch.bool for index in args[1])


OURS = str(Path(devices.__file__).parents[1])
"""Where copies are counted: those of transformers are of values on the device already."""


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what runs in the block; of copies to a device those that `moved` does not make."""
    counts, tolist, to = Counts(), torch.Tensor.tolist, torch.Tensor.to

    def counted(tensor: torch.Tensor) -> Any:
        counts.waits["tolist"] += 1
        return tolist(tensor)

    def counted_to(tensor: torch.Tensor, *args: Any, **options: Any) -> Any:
        file = sys._getframe(1).f_code.co_filename
        has_device = "device" in options or any(isinstance(a, torch.device | str) for a in args)
        if has_device and file.startswith(OURS) and file != devices.__file__:
            counts.waits["to"] += 1
        return to(tensor, *args, **options)

    torch.Tensor.tolist = counted  # type: ignore[method-assign]
    torch.Tensor.to = counted_to  # type: ignore[method-assign,assignment]
    try:
        with counts:
            yield counts
    finally:
        torch.Tensor.tolist = tolist  # type: ignore[method-assign]
        torch.Tensor.to = to  # type: ignore[method-assign]


@contextmanager
def counting_passes(*modules: torch.nn.Module) -> Iterator[Counter[str]]:
    """Count the waits of forward passes of modules alone, not what is computed before them."""
    waits: Counter[str] = Counter()
    running: list[tuple[Any, Counts]] = []

    def begin(*_: Any) -> None:
        manager = counting()
        running.append((manager, manager.__enter__()))

    def end(*_: Any) -> None:
        manager, counts = running.pop()
        manager.__exit__(None, None, None)
        waits.update(counts.waits)

    with ExitStack() as stack:
        for module in modules:
            handles = [
                module.register_forward_pre_hook(begin),
                module.register_forward_hook(end, always_call=True),
            ]
            for handle in handles:
                stack.callback(handle.remove)
        yield waits
