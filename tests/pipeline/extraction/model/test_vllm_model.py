"""The plugin's edges, and what a model that vLLM runs is, without vLLM."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from stand_in_vllm import VERSION, Registry, put_in_place
from tiny_models import marked
from tiny_parts import picture
from torch import nn

from savs.pipeline import vllm_plugin
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import Site
from savs.pipeline.extraction.model.vllm_heads import Kept, put_heads
from savs.pipeline.extraction.model.vllm_model import load_in_vllm, vllm_support
from savs.pipeline.extraction.model_run import ModelRun
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.names import HEADS_IN_VLLM
from savs.pipeline.prompts.chat import PROMPTS
from savs.stores import LayerGrid

ARCHITECTURE = "Qwen2VLForConditionalGeneration"
QUIET = (
    "import sys; from savs.pipeline.vllm_plugin import register; register(); print(*sys.modules)"
)


def test_the_plugin_is_named_where_vllm_looks_for_it():
    project = tomllib.loads(Path(__file__).parents[4].joinpath("pyproject.toml").read_text())
    named = project["project"]["entry-points"]["vllm.general_plugins"]["savs"]
    assert named == f"{vllm_plugin.__name__}:{vllm_plugin.register.__name__}"


def test_the_plugin_imports_nothing_where_no_variable_asks(monkeypatch):
    monkeypatch.delenv(HEADS_IN_VLLM, raising=False)
    run = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "savs.pipeline.vllm_plugin" in loaded
    assert not {"torch", "vllm", "savs.pipeline.extraction", "numpy"} & {*loaded}


def test_the_plugin_changes_the_architecture_that_is_named_and_no_other(monkeypatch):
    stand_in = put_in_place(monkeypatch)
    other = SimpleNamespace(load_model_cls=lambda: nn.Linear)
    stand_in.registry.models["Other"] = other
    before = stand_in.registry.models[ARCHITECTURE].load_model_cls()
    monkeypatch.setenv(HEADS_IN_VLLM, f"{ARCHITECTURE}/heads,norm")
    vllm_plugin.register()
    made = stand_in.registry.models[ARCHITECTURE].load_model_cls()
    assert issubclass(made, before)
    assert made.__name__ == before.__name__
    assert stand_in.registry.models["Other"] is other
    vllm_plugin.register()  # another load of the plugins
    assert stand_in.registry.models[ARCHITECTURE].load_model_cls() is made
    put_heads(ARCHITECTURE)
    assert issubclass(again := stand_in.registry.models[ARCHITECTURE].load_model_cls(), before)
    assert not issubclass(again, made)


@pytest.mark.parametrize("wanted", ["Unknown", f"{ARCHITECTURE}/tails"])
def test_the_plugin_raises_nothing_and_says_why(monkeypatch, caplog, wanted):
    stand_in = put_in_place(monkeypatch)
    if "/" in wanted:
        monkeypatch.setattr(Registry, "register_model", lambda *given: 1 / 0)
    before = dict(stand_in.registry.models)
    monkeypatch.setenv(HEADS_IN_VLLM, wanted)
    vllm_plugin.register()
    assert f"{HEADS_IN_VLLM}={wanted} is not followed: " in caplog.text
    assert stand_in.registry.models == before


class Projection(nn.Module):
    """A row-parallel projection of vLLM: four values of which this rank has two."""

    input_size, input_size_per_partition = 4, 2

    def forward(self, values):
        """Return it as vLLM does: the output, and a bias that is added later."""
        return torch.cat([values, values], dim=1), None


class Layer(nn.Module):
    """A layer of vLLM returns what its MLP adds, and the stream before that."""

    def forward(self, hidden, residual):
        return hidden, residual


def test_a_layer_gives_the_stream_and_ranks_are_joined_in_their_order():
    """Two prompts of 3 and 2 tokens lie in a step of 5: their last ones are at 2 and 4."""
    projection, layer, mlp = Projection(), Layer(), nn.Identity()
    grid = LayerGrid(0, (0,), 4)
    kept = Kept(
        [
            HookPoint(LayerGrid(0, (0, 1), 2), projection),
            HookPoint(grid, projection, site=Site("attention"), is_output=True),
            HookPoint(grid, layer, site=Site("residual"), is_output=True),
            HookPoint(grid, mlp, site=Site("mlp"), is_output=True),
        ]
    )
    values = torch.arange(10.0).reshape(5, 2)
    stream = torch.full((5, 4), 100.0)
    projection(values)
    added = mlp(torch.ones(5, 4))
    layer(added, stream)
    added.fill_(-1)  # the next norm writes into its input
    stream.fill_(-1)
    last = torch.tensor([2, 4])
    rows = kept.rows(last, lambda own: torch.cat([own, own + 50], dim=1))
    assert [row.tolist() for row in rows] == [
        [4, 5, 54, 55, 4, 5, 4, 5, 101, 101, 101, 101, 1, 1, 1, 1],
        [8, 9, 58, 59, 8, 9, 8, 9, 101, 101, 101, 101, 1, 1, 1, 1],
    ]
    with pytest.raises(KeyError):  # a step without new values has nothing of the one before
        kept.rows(last, lambda own: own)


FAMILIES = ("qwen2_vl", "gemma3", "llava", "qwen3_5", "idefics3", "internvl", "llava_onevision")


@pytest.mark.parametrize("family", [marked(family, ("qwen2_vl", "gemma3")) for family in FAMILIES])
def test_the_identity_does_not_say_which_engine_ran(tiny_model, family):
    options = ModelOptions(model=tiny_model(family))
    loaded = ModelRun(options, RunOptions()).load()
    by_vllm = ModelOptions(model=tiny_model(family), engine="vllm")
    model = load_in_vllm(by_vllm, load_encoder(by_vllm), None)
    facts = {"name": "general"}
    assert model.identity(facts) == loaded.identity(facts)
    assert model.grids == loaded.grids


@pytest.mark.parametrize("family", [marked(family, ("qwen2_vl", "gemma3")) for family in FAMILIES])
def test_tokens_are_those_of_transformers_with_one_mark_an_image(tiny_model, family):
    """What the processor of transformers makes of a mark is as many tokens of an image."""
    prompts = [("Is it so?",), (picture(28, 56), "\nWhat is it?"), ("At ", picture(56, 28), " now")]
    plain = load_encoder(ModelOptions(model=tiny_model(family)))
    worded = load_encoder(ModelOptions(model=tiny_model(family), engine="vllm"))
    for pieces in prompts:
        (prompt,) = worded.encode([pieces])[PROMPTS]
        whole = plain.encode([pieces])["input_ids"][0].tolist()
        images = [piece for piece in pieces if not isinstance(piece, str)]
        assert prompt.get("multi_modal_data", {}).get("image", []) == images
        if not images:
            assert prompt["prompt_token_ids"] == whole
            continue
        ours = iter(prompt["prompt_token_ids"])
        text = plain.tokenizer.convert_tokens_to_ids(list("so now"))
        assert [t for t in ours if t in text] == [t for t in whole if t in text]
        assert len(whole) > len(prompt["prompt_token_ids"]) or family == "idefics3"


def test_control_tokens_and_other_media_are_refused(tiny_model):
    encoder = load_encoder(ModelOptions(model=tiny_model("qwen2_vl"), engine="vllm"))
    with pytest.raises(ValueError, match="control tokens, which vLLM would run on as that token"):
        encoder.encode([("Say <|im_end|> now",)])


def test_a_checkpoint_without_a_type_needs_one(tiny_model):
    options = ModelOptions(model=tiny_model("qwen2_vl"), engine="vllm")
    encoder = load_encoder(options)
    encoder.config.dtype = None
    with pytest.raises(ModelError, match="names no dtype; give `dtype`"):
        load_in_vllm(options, encoder, None)


def test_the_architectures_are_those_of_the_vllm_that_is_installed_or_was_read(monkeypatch):
    """Those that vLLM leaves to transformers have no modules of vLLM, where hooks are."""
    assert vllm_support(ARCHITECTURE).endswith(f" has {ARCHITECTURE}")
    assert (
        vllm_support("BlipForConditionalGeneration").partition(" ")[2].startswith("does not have")
    )
    stand_in = put_in_place(monkeypatch)
    left = SimpleNamespace(module_name="vllm.model_executor.models.transformers")
    stand_in.registry.models["GlmForCausalLM"] = left
    assert vllm_support(ARCHITECTURE) == f"{VERSION} has {ARCHITECTURE}"
    assert vllm_support("GlmForCausalLM") == f"{VERSION} does not have GlmForCausalLM"


@pytest.mark.parametrize(("given", "least", "most"), [(None, 512, 8192), (100, 100, 100)])
def test_steps_are_as_long_as_memory_or_the_user_says(tiny_model, monkeypatch, given, least, most):
    from savs.pipeline.extraction.model import vllm_model

    options = ModelOptions(model=tiny_model("qwen2_vl"), engine="vllm")
    model = load_in_vllm(options, load_encoder(options), given)
    assert model.tokens == most
    monkeypatch.setattr(vllm_model, "KEPT_BYTES", 1)
    assert model.tokens == least
