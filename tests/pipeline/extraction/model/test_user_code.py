"""A model of an odd structure, read by a few lines as docs/guide/add-a-model.md shows them."""

import re
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.datasets.media_kinds.decoders.videos import Video
from savs.pipeline.errors import ModelError, OwnCodeError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import load_own_code

PAGE = (Path(__file__).parents[4] / "docs" / "guide" / "add-a-model.md").read_text("utf-8")
_, INPUTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
HEADS = """\
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.stores import LayerGrid


def find_heads(model):
    block = model.get_decoder().layers[-1].mlp.down_proj
    return [HookPoint(LayerGrid(layer=0, heads=(0, 1), head_dim=block.in_features // 2), block)]
"""
PROMPT = (Image.new("RGB", (56, 56), "red"), "What is it?")


@pytest.fixture
def code(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return str(path)

    return write


def test_heads_of_ones_own_are_read(tiny_model, code) -> None:
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32", model_code=code(HEADS))
    assert [(t.grid.heads, t.grid.head_dim) for t in model.hook_points] == [((0, 1), 32)]
    assert model.read(model.inputs([PROMPT])).heads[0].shape == (2, 1, 32)


def test_prompts_of_ones_own_are_put(tiny_model, code) -> None:
    folder = str(tiny_model("qwen2_vl"))
    own = load_model(folder, dtype="float32", model_code=code(INPUTS))
    ids = own.inputs([PROMPT, ("Text.",)])["input_ids"]
    text = own.encoder.processor.tokenizer.decode(ids[0])
    assert text.endswith("<|vision_end|>What is it?")
    assert own.read(own.inputs([PROMPT])).heads[0].shape[1] == 1
    plain = load_model(folder, dtype="float32")
    apart = [m.read(m.inputs([PROMPT])).heads[2] for m in (own, plain)]
    assert not np.allclose(*apart)


def test_a_video_is_never_lost_by_ones_own_prompts(tiny_model, code) -> None:
    """Code that keeps what it knows, text and images, would drop it without a word."""
    options = ModelOptions(model=str(tiny_model("qwen2_vl")), model_code=code(INPUTS))
    encoder = load_encoder(options)
    video = Video((PROMPT[0],) * 2, (0.0, 1.0), 2.0)
    with pytest.raises(ValueError, match=r"your to_inputs takes .* no video; `video` frames"):
        encoder.encode([PROMPT, (video, "What is it?")])


def test_other_code_is_another_identity(tiny_model, code) -> None:
    folder, facts = str(tiny_model("qwen2_vl")), {"name": "general", "options": {}}
    models = [
        load_model(folder, model_code=code(text)) for text in (HEADS, HEADS + "\n# changed\n")
    ]
    one, other = (model.identity(facts) for model in models)
    assert any("model.code" in line for line in one.differences(other))


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("x = 1\n", None, r"has neither find_heads\(model\) nor to_inputs"),
        ("1 / 0\n", None, r"fails when it runs: ZeroDivisionError"),
        ("", "gone.py", r"gone\.py is no Python file"),
        ("", "nobody", r"an entry point of the group savs\.models"),
    ],
)
def test_code_that_is_no_use_or_not_there_is_named(code, text, source, message) -> None:
    with pytest.raises((ModelError, OwnCodeError), match=message):
        load_own_code(source or code(text))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("block.in_features // 2", "1 // 0"), "line 7: find_heads raises ZeroDivisionError"),
        (
            ("(model):", "(model):\n    f()\n\n\ndef f():\n    1 / 0 #"),
            "line 10: find_heads raises Z",
        ),
        (("return [", "raise SystemExit(0) #"), "line 7: find_heads raises SystemExit: 0"),
        (("return [", "["), "find_heads gives None, expected a list of HookPoint"),
        (("return [", "return [] #"), r"find_heads gives \[\], expected a list of HookPoint"),
        (("[HookPoint(", "[("), "find_heads gives a tuple, expected HookPoint"),
        (("in_features // 2", "in_features"), r"gives 2 heads of \d+ values for a module that tak"),
        (("heads=(0, 1)", "heads=()"), "expected a layer and heads from 0, and a width"),
        (("heads=(0, 1)", "heads=(-1, 0)"), "expected a layer and heads from 0, and a width"),
        (("layer=0", "layer=-1"), "expected a layer and heads from 0, and a width"),
        (("block)]", "block)] * 2"), r"gives the layers \[0, 0\], expected each once, ascending"),
        (("2), block)", "2), 'down_proj')"), "gives a HookPoint of a str, expected a module"),
    ],
)
def test_heads_that_cannot_be_are_a_line(tiny_model, code, change, message) -> None:
    source = code(HEADS.strip().replace(*change))
    given = {"dtype": "float32", "model_code": source}
    with pytest.raises(OwnCodeError, match=message) as refused:
        load_model(str(tiny_model("qwen2_vl")), **given)
    assert str(refused.value).startswith(source)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("raise SystemExit(0)", "to_inputs raises SystemExit: 0"),
        ("raise MemoryError", "to_inputs raises MemoryError"),
        ("return None", "to_inputs gives a NoneType, expected what a processor returns"),
        ("return {}", "gives input_ids as a NoneType, expected a tensor: return_tensors='pt'"),
        ("found['input_ids'] = found['input_ids'][:0]", r"shape \(0, \d+\), expected 1 rows of to"),
        ("found['input_ids'] = found['input_ids'] / 2", "of torch.float32, expected whole numbers"),
        ("found['input_ids'] = found['input_ids'] > 0", "of torch.bool, expected whole numbers"),
        ("found['input_ids'] = found['input_ids'][..., None]", r"of shape \(1, \d+, 1\), expected"),
        ("found['attention_mask'] = found['attention_mask'][:, 1:]", "gives an attention_mask of"),
        ("found['pixel_values'][0, 0] = float('nan')", "gives pixel_values with NaN or infinity"),
    ],
)
def test_inputs_that_cannot_be_are_a_line(tiny_model, code, after, message) -> None:
    text = INPUTS.replace("return processor(", "found = processor(")
    source = code(f"{text.rstrip()}\n    {after}\n    return found\n")
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl")), model_code=source))
    with pytest.raises(OwnCodeError, match=message) as refused:
        encoder.encode([PROMPT])
    assert str(refused.value).startswith(source)


def test_an_entry_point_is_code_too(monkeypatch) -> None:
    module = "savs.pipeline.extraction.model.sites"
    places = {"mine": module, "gone": "no.such.package"}
    points = EntryPoints([EntryPoint(name, place, "savs.models") for name, place in places.items()])
    monkeypatch.setattr("savs.foundation.installed.entry_points", points.select)
    with pytest.raises(OwnCodeError, match=r"mine = .*sites .* has neither find_heads\(model\)"):
        load_own_code("mine")
    with pytest.raises(OwnCodeError, match=r"gone = no\.such\.package .* cannot be imported"):
        load_own_code("gone")
    with pytest.raises(ModelError, match=r"expected a file .* savs\.models \(gone, mine\)"):
        load_own_code("absent")
