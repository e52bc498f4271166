"""What a user is given where a model cannot be loaded: one line with what to do."""

import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model

USUAL = "give `model` a Hugging Face id, a folder with config.json and weights, or 'demo'"
OFFLINE = r"\(offline, only what was fetched before can be loaded\)"
ADAPTER = "; give `adapter` the id or the folder of a PEFT adapter"
MEMORY = "; it needs more memory: a larger GPU, `device` auto over several, or `model_kwargs`"
GATED = GatedRepoError(
    "403 Client Error.", response=SimpleNamespace(headers={}, request=None, status_code=403)
)
NO_PACKAGE = ImportError("Using `bitsandbytes` requires it: `pip install bitsandbytes`")
HUB, WEIGHTS = "transformers.utils.hub.hf_hub_download", "from_pretrained"


def told(name="demo", **more):
    """Return the one line that is said of a model that cannot be loaded."""
    with pytest.raises(ModelError) as caught:
        load_model(str(name), **more)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


OPTIONS = {
    "an id that was never fetched": (
        {"name": "nobody/no-such-model"},
        f"model 'nobody/no-such-model' cannot be loaded: We couldn't connect.*; {USUAL} {OFFLINE}",
    ),
    "no such folder": ({"name": "/no/such"}, f".*such' cannot .* no such folder.*{USUAL}.*"),
    "an adapter that was never fetched": (
        {"adapter": "nobody/no-such-adapter"},
        f"adapter 'nobody/no-such-adapter' cannot be loaded: .*{ADAPTER}.*",
    ),
    "no folder of an adapter": (
        {"adapter": "/no/such"},
        f"adapter '/no/such' cannot be loaded: .*{ADAPTER}.*",
    ),
    "unknown dtype": ({"dtype": "int8"}, ".*no dtype is called 'int8'.*"),
    "limits the wrong way round": (
        {"min_pixels": 900, "max_pixels": 800},
        ".*`min_pixels` is 900, more than max_pixels, 800.*",
    ),
    **{
        keyword: (
            {"model_kwargs": {keyword: "x"}},
            f"model_kwargs has '{keyword}'; give `{field}` instead",
        )
        for keyword, field in (
            ("dtype", "dtype"),
            ("attn_implementation", "attention"),
            ("revision", "revision"),
        )
    },
}


@pytest.mark.parametrize(("options", "line"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_name_no_model(options, line):
    assert re.fullmatch(line, told(**options))


@pytest.mark.parametrize(
    ("where", "error", "end"),
    [
        pytest.param(HUB, GATED, "; ask for access on its page, then set HF_TOKEN", id="gated"),
        pytest.param(WEIGHTS, NO_PACKAGE, "bitsandbytes`; install the named package", id="package"),
        pytest.param(WEIGHTS, MemoryError(), MEMORY, id="memory of Python"),
        pytest.param(
            *(WEIGHTS, torch.OutOfMemoryError("CUDA out of memory. Tried ...\nmore"), MEMORY),
            id="memory of a GPU",
        ),
        pytest.param(WEIGHTS, None, MEMORY, id="memory of the CPU"),
    ],
)
def test_what_fails_while_it_is_loaded(monkeypatch, where, error, end):
    def fail(*args, **more):
        if error is None:
            return torch.empty(1 << 60, dtype=torch.uint8)
        raise error

    if where == HUB:
        monkeypatch.setattr(HUB, fail)
        assert told("closed/model").endswith(end)
    else:
        monkeypatch.setattr(AutoModelForImageTextToText, where, fail)
        assert told().endswith(end)


def test_folders_that_are_no_model(tmp_path):
    text = told(tmp_path)
    assert "config.json" in text.split(";")[0]
    assert USUAL in text
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    assert "Wav2Vec2Config is no architecture with a language decoder" in told(tmp_path)


def test_weights_that_are_absent_or_cut(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.1.self_attn.q_proj.weight"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert re.search("1 weights of .* are not in its files", told(folder))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:1000])
    assert "cannot be loaded" in told(folder)


def test_pixel_limits_that_the_processor_does_not_have(tiny_model):
    text = told(tiny_model("llava_onevision"), max_pixels=784)
    assert "no pixel limits; drop `max_pixels`" in text
