"""The ways in which a model is loaded, and that they give the features they should."""

import re
import shutil
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import build
from tiny_text import build_lora, build_text, make_remote

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.model_options import plain_name

PROMPTS = [("Short?",), ("A longer one, ", "in two pieces?")]
PICTURE = Image.new("RGB", (56, 56), "red")
SPREAD = {
    "model.visual": "disk",
    "model.language_model.embed_tokens": "cpu",
    "model.language_model.rotary_emb": "cpu",
    "model.language_model.norm": "cpu",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.layers.2": "disk",
    "lm_head": "cpu",
}
peft = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """Return the folder of a decoder of text."""
    return build_text(tmp_path_factory.mktemp("text") / "words")


@pytest.fixture(scope="module")
def lora(text_model, tmp_path_factory):
    """Return the folder of an adapter of it."""
    return build_lora(text_model, tmp_path_factory.mktemp("lora") / "tuned")


def loaded(folder, **more):
    return load_model(str(folder), dtype="float32", **more)


def heads(model, prompts=PROMPTS):
    """Return `(heads, batch, head_dim)` of each layer."""
    return model.read(model.inputs(prompts)).heads


def same(one, other):
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def differing(one, other):
    """Return what the identities of two models differ in."""
    return [line.split(":")[0] for line in one.identity({}).differences(other.identity({}))]


def test_a_decoder_of_text_gives_what_enters_its_output_projections(text_model):
    model = loaded(text_model)
    inputs = model.inputs(PROMPTS[1:])
    seen = {}
    for name, module in model.model.named_modules():
        if found := re.fullmatch(r"model\.layers\.(\d)\.self_attn\.o_proj", name):
            keep = lambda _m, args, layer=int(found[1]): seen.update({layer: args[0][0, -1]})  # noqa: E731
            module.register_forward_pre_hook(keep)
    with torch.inference_mode():
        model.model(**inputs)
    assert sorted(seen) == [0, 1, 2]
    for layer, values in enumerate(heads(model, PROMPTS[1:])):
        np.testing.assert_array_equal(values[:, 0], seen[layer].reshape(4, 12).numpy())


def test_a_decoder_of_text_is_put_the_chat_template_padded_on_the_left(text_model):
    model = loaded(text_model)
    short, long = model.encoder.processor.batch_decode(model.inputs(PROMPTS)["input_ids"])
    turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    assert long == turn.format("A longer one, in two pieces?")
    assert short.replace("<|endoftext|>", "") == turn.format("Short?")
    assert short.startswith("<|endoftext|>")
    alone = heads(model, PROMPTS[:1])
    for layer, values in enumerate(heads(model)):
        np.testing.assert_allclose(values[:, 0], alone[layer][:, 0], atol=1e-5)


@pytest.mark.parametrize("make", [build_text, partial(build, "qwen2_audio")], ids=["text", "sound"])
def test_an_image_for_a_model_that_reads_none_is_refused(make, tmp_path):
    model = loaded(make(tmp_path / "model"))
    with pytest.raises(ValueError, match="this model reads no images, and the prompt has one"):
        model.inputs([("Text.",), (PICTURE, "What is it?")])


@pytest.mark.thorough
def test_a_model_of_sound_reads_text(tmp_path):
    model = loaded(build("qwen2_audio", tmp_path / "audio"))
    assert type(model.model).__name__ == "Qwen2AudioForConditionalGeneration"
    batch, alone = heads(model), heads(model, PROMPTS[:1])
    assert {values.shape for values in batch} == {(4, 2, 12)}
    for layer, values in enumerate(batch):
        np.testing.assert_allclose(values[:, 0], alone[layer][:, 0], atol=1e-5)
        assert not np.allclose(values[:, 0], values[:, 1])


@peft
def test_an_adapter_changes_features_and_identity(text_model, lora):
    plain, tuned = loaded(text_model), loaded(text_model, adapter=str(lora))
    before, after = heads(plain), heads(tuned)
    for layer, values in enumerate(after):
        assert np.linalg.norm(values - before[layer]) > 0.1 * np.linalg.norm(before[layer])
    assert differing(plain, tuned) == ["model.adapter", "model.adapter_files"]


@peft
def test_an_adapter_is_the_same_wherever_its_folder_lies(text_model, lora, tmp_path, monkeypatch):
    shutil.copytree(lora, tmp_path / "tuned")
    monkeypatch.chdir(tmp_path)
    assert not differing(*(loaded(text_model, adapter=str(at)) for at in (lora, "tuned")))
    monkeypatch.chdir("tuned")
    assert plain_name(".") == plain_name(str(lora)) == "tuned"


@pytest.mark.thorough
@peft
def test_another_adapter_of_the_same_name_is_another_identity(text_model, lora, tmp_path):
    other = build_lora(text_model, tmp_path / "tuned", seed=1)
    models = [loaded(text_model, adapter=str(folder)) for folder in (lora, other)]
    assert differing(*models) == ["model.adapter_files"]


@peft
@pytest.mark.parametrize("layers", [2, 5], ids=["of fewer layers", "of more layers"])
def test_an_adapter_of_another_model_is_refused(text_model, tmp_path, layers):
    lora = build_lora(build_text(tmp_path / "other", layers), tmp_path / "lora")
    with pytest.raises(
        ModelError, match=r"lora does not fit the model: \d+ weights are in the adapter or the"
    ):
        loaded(text_model, adapter=str(lora))


def test_keyword_arguments_reach_the_model_and_its_identity(text_model):
    plain = loaded(text_model)
    other = loaded(text_model, model_kwargs={"rms_norm_eps": 0.5})
    assert other.model.config.rms_norm_eps == 0.5
    assert not same(heads(plain), heads(other))
    assert differing(plain, other) == ["model.config", "model.kwargs.rms_norm_eps"]


@pytest.mark.parametrize(("asked", "used"), [({}, False), ({"use_kernels": True}, True)])
def test_kernels_of_the_hub_are_used_only_if_asked_for(text_model, asked, used):
    assert loaded(text_model, model_kwargs=asked).model.use_kernels is used


def test_a_hub_model_that_was_fetched_before_loads_offline_with_its_commit(
    text_model, tmp_path, monkeypatch
):
    repository, commit = tmp_path / "models--someone--words", "0123456789" * 4
    shutil.copytree(text_model, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    fetched, local = loaded("someone/words"), loaded(text_model)
    encoders = [model.encoder for model in (fetched, local)]
    assert [(e.name, e.revision) for e in encoders] == [("someone/words", commit), ("words", None)]
    assert same(heads(fetched), heads(local))
    assert differing(fetched, local) == ["model.name", "model.revision"]


def test_where_weights_come_from_is_no_part_of_the_identity(text_model):
    more = loaded(text_model, model_kwargs={"token": "hf_secret", "max_memory": {"cpu": "1GiB"}})
    assert differing(loaded(text_model), more) == []
    assert "secret" not in str(more.identity({}))


def test_code_of_a_checkpoint_runs_only_if_it_is_trusted(text_model, tmp_path, monkeypatch):
    folder = make_remote(shutil.copytree(text_model, tmp_path / "remote"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    with pytest.raises(ModelError, match=r"if you trust the code .*, give `trust_remote_code`"):
        loaded(folder)
    assert not (tmp_path / "hub").exists()
    model = loaded(folder, trust_remote_code=True)
    assert type(model.model).__name__ == "MineForCausalLM"
    assert same(heads(model), heads(loaded(text_model)))
    with (folder / "mine.py").open("a") as file:
        file.write("# changed\n")
    changed = loaded(folder, trust_remote_code=True)
    assert differing(model, changed) == ["model.checkpoint_code"]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(SPREAD, id="cpu and disk"),
        pytest.param({"": "disk"}, id="disk", marks=pytest.mark.thorough),
    ],
)
def test_offloaded_weights_give_the_features_and_the_identity_of_the_plain_load(
    tiny_model, tmp_path, place
):
    plain = loaded(tiny_model("qwen2_vl"))
    kwargs = {"device_map": place, "offload_folder": str(tmp_path / "offload")}
    spread = loaded(tiny_model("qwen2_vl"), model_kwargs=kwargs)
    resting = {name for name, w in spread.model.named_parameters() if w.device.type == "meta"}
    assert "model.language_model.layers.1.self_attn.q_proj.weight" in resting
    assert str(spread.device) == "cpu"
    prompts = [(PICTURE, "What is it?"), ("No image.",)]
    assert same(heads(plain, prompts), heads(spread, prompts))
    assert differing(plain, spread) == []
    assert spread.settings == {}
