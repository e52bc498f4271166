"""Where a checkpoint goes, and how much of it: to one GPU if it fits, else to as few as it needs.

The last decoder layers of a model may be absent, neither loaded nor allocated. The class of the
model makes all of itself, by its whole configuration and without memory; then its last layers are
replaced, before weights are loaded. So the layers that stay, and all code that runs before and
between them, are those of the whole model: no setting that depends on the number of layers changes
(which layers share keys and values, slide, or take embeddings of their own).
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from savs.foundation.bounds import whole_number
from savs.foundation.files import regular_size
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.checkpoint_files import is_index, main_file, read_index
from savs.pipeline.extraction.model.hook_points import decoder_layers
from savs.pipeline.extraction.model.model_options import AUTO, BALANCED, ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.running.formatting import format_bytes
from savs.pipeline.running.launchers import ALONE, Rank

ROOM = 0.15
"""Of the weights' bytes, kept free on each GPU for what a forward pass needs next to them."""
LEAST_ROOM_BYTES = 2 * 10**9
"""For a batch of one example, and for CUDA itself; larger batches take what is free."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What `from_pretrained` is given devices, and what the user is."""

    device_map: str
    text: str
    """Such as `cuda:0`, for a message."""
    max_memory: Mapping[int, int] = field(default_factory=dict)
    """GPU -> bytes, where the model is spread over some of the GPUs."""

    @property
    def keywords(self) -> dict[str, Any]:
        """Keyword arguments of `from_pretrained`."""
        limits = {"max_memory": dict(self.max_memory)} if self.max_memory else {}
        return {"device_map": self.device_map} | limits


def find_placement(
    options: ModelOptions,
    encoder: PromptEncoder,
    rank: Rank = ALONE,
    free: Sequence[int] | None = None,
    last_layer: int | None = None,
) -> Placement:
    """Decide where a model goes.

    A `device` that was given is taken as it is. Each `rank` of this machine takes other GPUs, if
    there are enough. `free` has the free bytes of each visible GPU, by default `FreeBytes`;
    `last_layer` is the last decoder layer that will be loaded, see `load`. ModelError if a GPU of
    that number is not there.
    """
    free = FreeBytes() if free is None else free
    if options.device not in (AUTO, BALANCED):
        _require_gpu(options, encoder, free, last_layer)
        return Placement(options.device, options.device)
    if not free:
        return Placement("cpu", "the CPU")
    placing = (options.model_kwargs or {}).keys() & {"device_map", "max_memory"}
    is_free = not placing and options.device != BALANCED
    weights = weight_bytes(options, encoder, last_layer) if is_free else None
    if weights is None:
        return Placement("auto", f"all of {_names(range(len(free)))}")
    chosen = choose_gpus(weights, free, rank)
    size = format_bytes(weights)
    if not chosen:
        all_gpus = _names(range(len(free)))
        return Placement("auto", f"{all_gpus} and the CPU: {size} of weights do not fit the GPUs")
    if len(chosen) == 1:
        return Placement(f"cuda:{chosen[0]}", f"cuda:{chosen[0]}, where {size} of weights fit")
    limits = {gpu: _usable(free[gpu]) for gpu in chosen}
    return Placement("auto", f"{_names(chosen)}: one of them is too small for {size}", limits)


def choose_gpus(weights: int, free: Sequence[int], rank: Rank = ALONE) -> tuple[int, ...]:
    """Return the numbers of the fewest GPUs that hold the weights, with room for a forward pass.

    A process alone takes those with the most free memory, the first of equals; of several
    processes on a machine each takes the next ones, and they share GPUs if there are too few.
    Empty if all GPUs together are too small. A process among several asks for the memory of no GPU
    but those that it may take.

    Examples
    --------
    >>> choose_gpus(16 * 10**9, [80 * 10**9] * 8, Rank(local_rank=3, local_ranks=8))
    (3,)
    >>> choose_gpus(140 * 10**9, [80 * 10**9] * 8, Rank(local_rank=1, local_ranks=2))
    (3, 4, 5)
    """
    is_alone = rank.launcher is None and rank.local_ranks == 1
    order = sorted(range(len(free)), key=lambda gpu: -free[gpu]) if is_alone else ()
    for count in range(1, len(free) + 1):
        groups = len(free) // count
        if is_alone:
            chosen = sorted(order[:count])
        else:
            first = rank.local_rank % groups * count
            chosen = list(range(first, first + count))
        if sum(_usable(free[gpu]) for gpu in chosen) >= weights * (1 + ROOM):
            return tuple(chosen)
    return ()


def weight_bytes(
    options: ModelOptions, encoder: PromptEncoder, last_layer: int | None = None
) -> int | None:
    """Return the size of a checkpoint's weights in the type that they are loaded in.

    None if its files do not say. With `last_layer`, weights of layers after it do not count.
    """
    stored = _stored_bytes(options, encoder)
    if stored is not None and last_layer is not None:
        whole = encoder.kind._model_mapping[type(encoder.config)]
        stored = round(stored * share_of_first_layers(whole, encoder.config, last_layer))
    if stored is None or options.dtype == "auto":
        return stored
    of_config = getattr(encoder.config, "dtype", None) or torch.float32
    return stored * getattr(torch, options.dtype).itemsize // of_config.itemsize


def _stored_bytes(options: ModelOptions, encoder: PromptEncoder) -> int | None:
    """Return the bytes of the weights' files; what is on the hub is downloaded, as loading does."""
    try:
        _, path = main_file(options, encoder.config, encoder.revision)
        if not is_index(path):
            return regular_size(path)
        total = read_index(path).metadata.get("total_size")
    except (OSError, ValueError, TypeError):  # loading will say so
        return None
    return int(total) if isinstance(total, int | float) else None


def count_gpus() -> int:
    """Return how many GPUs this process sees."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


class FreeBytes(Sequence[int]):
    """Free memory of each GPU that this process sees, as CUDA says it.

    A GPU is asked when its number is looked up: the question opens a context on it, which takes
    some 500 MB for as long as the process lives.
    """

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        self._count = count_gpus()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, gpu: Any) -> Any:
        if gpu not in self._asked:
            self._asked[gpu], _ = torch.cuda.mem_get_info(gpu)
        return self._asked[gpu]


def _usable(free: int) -> int:
    return max(free - LEAST_ROOM_BYTES, 0)


def _require_gpu(
    options: ModelOptions, encoder: PromptEncoder, free: Sequence[int], last_layer: int | None
) -> None:
    """Raise ModelError for a GPU that is not there, or that cannot hold the weights."""
    kind, _, number = options.device.partition(":")
    if kind != "cuda" or not number.isdecimal():
        return
    gpu = whole_number(number)
    if gpu is None or gpu >= len(free):
        there = f"{_names(range(len(free)))} are visible" if free else "no GPU is visible"
        raise ModelError(
            f"`device` {options.device:.50} is not there: {there}; see `nvidia-smi` and"
            " CUDA_VISIBLE_DEVICES"
        )
    weights = None if options.model_kwargs else weight_bytes(options, encoder, last_layer)
    if weights is not None and weights > free[gpu]:
        raise ModelError(
            f"{format_bytes(weights)} of weights do not fit {options.device}, of which"
            f" {format_bytes(free[gpu])} are free; leave out `device` or `gpus` to use"
            " several GPUs for one process"
        )


def _names(gpus: Sequence[int]) -> str:
    return ", ".join(f"cuda:{gpu}" for gpu in gpus)


class AbsentLayer(nn.Module):
    """The place of a layer that was not loaded."""

    def forward(self, *_: Any, **__: Any) -> Any:
        """Refuse to run."""
        raise ModelError("a decoder layer that was not loaded was reached")


def first_layers(whole: type, last: int) -> type:
    """Return the class of models that end after decoder layer `last`, counted from 0.

    Models of it have the name and configuration of the whole one. Weights of absent layers that a
    checkpoint has are ignored.
    """

    def __init__(self: Any, config: Any, *arguments: Any, **more: Any) -> None:  # noqa: N807
        whole.__init__(self, config, *arguments, **more)
        _drop_layers(self, last)

    return type(whole.__name__, (whole,), {"__init__": __init__, "__module__": whole.__module__})


def _drop_layers(model: Any, last: int) -> None:
    layers = decoder_layers(model)
    if layers is None:
        raise ModelError(f"{type(model).__name__} has no list of decoder layers")
    absent = range(last + 1, len(layers))
    for number in absent:
        layers[number] = AbsentLayer()
    prefix = next(name for name, module in model.named_modules() if module is layers)
    numbers = "|".join(map(str, absent))
    ignored = rf"(^|\.){re.escape(prefix)}\.({numbers})\."
    model._keys_to_ignore_on_load_unexpected = {
        *(model._keys_to_ignore_on_load_unexpected or ()), ignored
    }  # fmt: skip


def share_of_first_layers(whole: type, config: Any, last: int) -> float:
    """Return the share of a model's parameters that `first_layers` keeps; it takes no memory."""
    with torch.device("meta"):
        model = whole(deepcopy(config))  # some constructors write into it
    every = sum(parameter.numel() for parameter in model.parameters())
    _drop_layers(model, last)
    return sum(parameter.numel() for parameter in model.parameters()) / every


def layer_count(model: Any) -> int | None:
    """Return how many decoder layers a model has, absent ones too; None without a list of them."""
    layers = decoder_layers(model)
    return None if layers is None else len(layers)
