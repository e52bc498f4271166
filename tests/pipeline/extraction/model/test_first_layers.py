"""A model without its last layers says what the whole model says, in every family."""

import numpy as np
import pytest
import torch
from tiny_models import BUILDERS, LIMITED, marked, taken
from tiny_parts import picture

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import decoder_layers
from savs.pipeline.extraction.model.load import can_end_early, load_encoder
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.placement import AbsentLayer, layer_count, share_of_first_layers
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions

QUICK = ("qwen3_vl", "gemma4")
"""The second has what depends on the number of layers: shared keys and values, embeddings of its
own for each layer."""
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)


PROMPTS = (
    ("No image at all.",),
    (picture(60, 40), "What is it?"),
    ("Compare ", picture(30, 90), " with ", picture(56, 56), ", please, at some length."),
)


def options_of(folder) -> ModelOptions:
    return ModelOptions(model=str(folder), dtype="float32")


def count(model: LoadedModel) -> int:
    return sum(parameter.numel() for parameter in model.model.parameters())


def load(options: ModelOptions, last: int | None = None) -> LoadedModel:
    return ModelRun(options, RunOptions()).load(last)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "family",
    [marked(name, QUICK) for name in {**BUILDERS, **LIMITED}],
)
def test_the_heads_of_the_layers_that_stay_are_the_same_bit_by_bit(tiny_model, family, capfd):
    options = options_of(tiny_model(family))
    whole = load(options)
    assert can_end_early(options, whole.encoder, 0)
    parameters = dict(whole.model.named_parameters())
    for point in whole.hook_points[:-1]:
        last = point.grid.layer
        capfd.readouterr()
        model = load(options, last)
        assert capfd.readouterr().err == ""  # nothing about weights that were not used
        assert model.grid == tuple(grid for grid in whole.grid if grid.layer <= last)
        assert layer_count(model.model) == layer_count(whole.model)
        share = share_of_first_layers(type(whole.model), whole.encoder.config, last)
        assert share == pytest.approx(count(model) / count(whole))
        layers = decoder_layers(model.model)
        is_there = [not isinstance(layer, AbsentLayer) for layer in layers]
        assert is_there == [number <= last for number in range(len(layers))]
        own = dict(model.model.named_parameters())
        assert all(torch.equal(value, parameters[name]) for name, value in own.items())
        behind = sorted(parameters.keys() - own.keys())
        assert behind
        assert all(f"layers.{last}." not in name for name in behind)
        for prompt in taken(family, PROMPTS):
            ours, theirs = (one.read(one.inputs([prompt])).heads for one in (model, whole))
            for layer, values in enumerate(ours):
                np.testing.assert_array_equal(values, theirs[layer])


def test_the_identity_is_that_of_the_whole_model(tiny_model):
    options = options_of(tiny_model("qwen3_vl"))
    whole, few = load(options), load(options, 1)
    assert whole.weights is not None
    assert whole.identity({}).model == few.identity({}).model


def test_an_absent_layer_refuses_to_run():
    with pytest.raises(ModelError, match="a decoder layer that was not loaded was reached"):
        AbsentLayer()(torch.zeros(1))


@pytest.mark.parametrize(
    "given",
    [
        {"adapter": "adapter"},
        {"model_kwargs": {"device_map": {"": "cpu"}}},
        {"model_kwargs": {"quantization_config": {"load_in_4bit": True}}},
    ],
    ids=["adapter", "device map", "quantised"],
)
def test_what_needs_all_layers_is_loaded_whole(tiny_model, given):
    folder = tiny_model("qwen3_vl")
    encoder = load_encoder(options_of(folder))
    options = ModelOptions(model=str(folder), dtype="float32", **given)
    assert not can_end_early(options, encoder, 1)
    assert can_end_early(options_of(folder), encoder, 1)
    assert not can_end_early(options_of(folder), encoder, 2)  # it has three
    encoder.config.quantization_config = {"quant_method": "fp8"}  # of the checkpoint
    assert not can_end_early(options_of(folder), encoder, 1)
