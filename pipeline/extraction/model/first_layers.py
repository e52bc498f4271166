"""A model of which the last decoder layers are absent: neither loaded nor allocated.

The class of the model makes all of itself, by its whole configuration and without memory; then its
last layers are replaced, before weights are loaded. So the layers that stay, and all code that runs
before and between them, are those of the whole model: no setting that depends on the number of
layers changes (which layers share keys and values, slide, or take embeddings of their own).
"""

import re
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import decoder_layers


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
