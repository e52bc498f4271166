"""What a user is told where a model cannot be loaded: one line with what to do."""

from types import SimpleNamespace

import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from transformers import AutoModelForImageTextToText

from savs.pipeline import load_model
from savs.pipeline.errors import ModelError

USUAL = "give --model a Hugging Face id, a folder with config.json and weights, or 'demo'"
MEMORY = "it needs more memory: a larger GPU, --device auto over several, or --model-kwargs"


def _allocate(*_args, **_more):
    return torch.empty(1 << 60, dtype=torch.uint8)


def _raise(error):
    def fail(*_args, **_more):
        raise error

    return fail


def told(name="demo", **more):
    """Return the one line that is said of a model that cannot be loaded."""
    with pytest.raises(ModelError) as caught:
        load_model(str(name), **more)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def test_an_id_of_the_hub_that_was_never_fetched():
    text = told("nobody/no-such-model")
    assert text.startswith("model 'nobody/no-such-model' cannot be loaded: We couldn't connect")
    assert text.endswith(f"; {USUAL} (offline, only what was fetched before can be loaded)")


def test_a_folder_that_is_not_there(tmp_path):
    text = told(tmp_path / "gone")
    assert "gone' cannot be loaded: there is no such folder" in text
    assert USUAL in text


def test_a_folder_without_a_model(tmp_path):
    text = told(tmp_path)
    assert "config.json" in text.split(";")[0]
    assert USUAL in text


def test_an_architecture_without_a_decoder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip_vision_model"}')
    assert "CLIPVisionConfig is no architecture with a language decoder" in told(tmp_path)


def test_a_gated_repository(monkeypatch):
    response = SimpleNamespace(headers={}, request=None, status_code=403)
    error = GatedRepoError("403 Client Error.", response=response)
    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", _raise(error))
    text = told("closed/model")
    assert text.startswith(
        "model 'closed/model' cannot be loaded: You are trying to access a gated"
    )
    assert text.endswith("; ask for access on its page, then set HF_TOKEN")


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(
            _raise(torch.OutOfMemoryError("CUDA out of memory. Tried ...\nmore")), id="GPU"
        ),
        pytest.param(_raise(MemoryError()), id="Python"),
        pytest.param(_allocate, id="beside the CPU"),
    ],
)
def test_too_little_memory(monkeypatch, load):
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", load)
    assert told().endswith(f"; {MEMORY}")


def test_a_package_that_is_not_installed(monkeypatch):
    error = ImportError("Using `bitsandbytes` requires it: `pip install bitsandbytes`")
    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", _raise(error))
    assert told().endswith("`pip install bitsandbytes`; install what it names")


@pytest.mark.parametrize(
    ("keyword", "field"),
    [("dtype", "dtype"), ("attn_implementation", "attention"), ("revision", "revision")],
)
def test_a_keyword_argument_that_is_an_option(keyword, field):
    text = told(model_kwargs={keyword: "x"})
    assert text == f"model_kwargs has {keyword!r}; give `{field}` instead"


@pytest.mark.parametrize("adapter", ["nobody/no-such-adapter", "/no/such/adapter"])
def test_an_adapter_that_is_not_there(adapter):
    text = told(adapter=adapter)
    assert text.startswith(f"adapter '{adapter}' cannot be loaded: ")
    assert "; give --adapter the id or the folder of a PEFT adapter" in text
