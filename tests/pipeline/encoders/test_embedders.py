"""Multimodal embedding models: recipes give what the published code, written out here, gives."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import peft
import pytest
import torch
from doc_pages import ROOT, blocks
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_parts import picture
from torch.nn.functional import normalize
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from savs import classify, evaluate, load, save_selection, select
from savs.datasets.media_kinds.decoders.videos import Video
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.encoders.embedding import embeddings
from savs.pipeline.encoders.recipe import (
    EmbeddingRecipe,
    Resize,
    read_recipe,
    recipe_names,
    recorded_recipe,
)
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import check_model, load_model
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.model_options import ModelOptions, with_recipe
from savs.pipeline.prompts.input_names import NEXT_POSITIONS, POSITIONS

pytestmark = pytest.mark.thorough

FAMILIES = {
    "gme": "qwen2_vl",
    "jina-embeddings-v4": "qwen2_5_vl",
    "qwen3-vl-embedding": "qwen3_vl",
    "vlm2vec-qwen2vl": "qwen2_vl",
}
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
SMALL = {"gme": Resize(28, 28 * 28, 8 * 28 * 28), "qwen3-vl-embedding": Resize(32, 2**10, 2**13)}
"""The rules with sizes at which tests are quick."""


def recipe_of(name: str) -> str:
    """Return a recipe that ships, with small images."""
    recipe = read_recipe(name)
    changed = {"resize": SMALL.get(name), "min_pixels": None, "max_pixels": None}
    return json.dumps(msgspec.structs.replace(recipe, **changed).facts())


def published(name: str, folder: Path, image: Image.Image, question: str) -> np.ndarray:
    """Return the embedding of one input as the model's own code computes it."""
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    if rule := SMALL.get(name):
        sizes = {
            "factor": rule.factor,
            "min_pixels": rule.min_pixels,
            "max_pixels": rule.max_pixels,
        }
        height, width = smart_resize(image.height, image.width, **sizes)
        image = image.resize((width, height))
    text = {
        "gme": QWEN.format("You are a helpful assistant.", IMAGE + question) + "<|endoftext|>",
        "jina-embeddings-v4": f"<|im_start|>user\n{IMAGE}Describe the image.<|im_end|>\n",
        "qwen3-vl-embedding": QWEN.format("Represent the user's input.", IMAGE + question),
        "vlm2vec-qwen2vl": "<|image_pad|> Represent the given image with the following question: "
        + question,
    }[name]
    inputs = dict(processor(text=[text], images=[image], return_tensors="pt"))
    if name in ("gme", "vlm2vec-qwen2vl"):  # no positions of images
        inputs["position_ids"] = torch.arange(inputs["input_ids"].shape[1])[None]
    with torch.inference_mode():
        states = model(**inputs, output_hidden_states=True).hidden_states[-1][0].double()
    if name == "jina-embeddings-v4":
        ids = inputs["input_ids"][0].tolist()
        first, last = (
            processor.tokenizer.convert_tokens_to_ids(f"<|vision_{x}|>") for x in ("start", "end")
        )
        state = states[ids.index(first) : ids.index(last) + 1].mean(0)
    else:
        state = states[-1]
    return normalize(state, dim=0).numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_gives_what_the_published_code_gives(run, inputs, tiny_model, name) -> None:
    folder, recipe = tiny_model(FAMILIES[name]), recipe_of(name)
    done = run(family=FAMILIES[name], embedding=recipe, dtype="float32")
    assert done.skipped == []
    assert done.store.heads == [(0, 0)]
    found = done.store.features("train")[0]  # questions of several lengths, in one batch
    prompts = done.store.examples("train")["prompt"]
    for place in range(6):
        image = Image.open(inputs.root / f"images/train{place}.png").convert("RGB")
        expected = published(name, folder, image, prompts[place])
        np.testing.assert_allclose(found[place], expected, atol=1e-6)
    assert np.ptp(found, axis=0).max() > 0.01


def test_positions_of_a_recipe_are_kept_where_others_are_computed_ahead(tiny_model) -> None:
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32", embedding=recipe_of("gme"))
    inputs = model.inputs([(picture(60, 100), "What is it?")])
    assert inputs[POSITIONS][0].tolist() == list(range(inputs["input_ids"].shape[1]))
    ahead = host_inputs(model.encoder, inputs)
    assert ahead
    assert {POSITIONS, NEXT_POSITIONS}.isdisjoint(ahead)


def test_an_embedding_needs_all_weights_but_those_of_the_output(tiny_model, tmp_path) -> None:
    folder = shutil.copytree(tiny_model("qwen2_vl"), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    options = {"dtype": "float32", "embedding": recipe_of("gme")}

    def leave_out(part: str) -> None:
        left = {name: values for name, values in weights.items() if part not in name}
        assert len(left) < len(weights)
        save_file(left, folder / "model.safetensors", {"format": "pt"})

    leave_out("lm_head")
    assert load_model(str(folder), **options).hook_points
    leave_out("layers.1.mlp")
    with pytest.raises(ModelError, match=r"3 weights of .* would be random: .*layers\.1\.mlp"):
        load_model(str(folder), **options)


@pytest.mark.parametrize(
    ("read", "ids", "expected"),
    [
        ("last", [0, 1, 2, 2, 9], [8, 9]),
        ("<b>", [2, 1, 2, 2, 9], [6, 7]),  # the last of them
        (("<a>", "<b>"), [1, 1, 2, 2, 9], [4, 5]),  # the mean of places 1 to 3
        (("<a>", "<b>"), [0, 9, 1, 2, 9], [5, 6]),
    ],
)
def test_an_embedding_is_the_mean_of_the_states_that_are_read(read, ids, expected) -> None:
    tokenizer = SimpleNamespace(convert_tokens_to_ids={"<a>": 1, "<b>": 2}.get)
    mask = torch.tensor([[0, 1, 1, 1, 1]])  # place 0 is padding
    arguments = {"input_ids": torch.tensor([ids]), "attention_mask": mask}
    states = torch.arange(10.0).reshape(1, 5, 2)
    states[:, 0] = torch.nan
    whole = EmbeddingRecipe(prompt="{prompt}", read=read)
    found = embeddings(
        msgspec.structs.replace(whole, normalise=False), tokenizer, states, arguments
    )
    assert found.tolist() == [expected]
    assert torch.equal(embeddings(whole, tokenizer, states, arguments), normalize(found, dim=1))


def test_every_recipe_that_ships_is_tried() -> None:
    assert recipe_names() == sorted(FAMILIES)
    for name in recipe_names():
        assert read_recipe(name).model_types == (FAMILIES[name],)


def test_the_example_of_the_page_has_every_field() -> None:
    (example,) = [
        code for code in blocks(ROOT / "docs/guide/encoders.md", "toml") if "suffix" in code
    ]
    msgspec.toml.decode(example, type=EmbeddingRecipe)
    fields = {field.name for field in msgspec.structs.fields(EmbeddingRecipe)}
    assert set(msgspec.toml.decode(example)) == fields


BASE = EmbeddingRecipe(prompt="<|im_start|>{system}{image}{prompt}<|im_end|>", system="See.")
CHANGES = {
    "prompt": "<|im_start|>{system}\n{image}{prompt}<|im_end|>",
    "system": "Look.",
    "suffix": "<|endoftext|>",
    "image_mark": "<|image_pad|>",
    "read": "<|vision_end|>",
    "normalise": False,
    "positions": "sequential",
    "resize": Resize(28, 28 * 28, 4 * 28 * 28),
    "min_pixels": 112 * 112,
    "max_pixels": 28 * 28,
    "adapter": "adapter",
}


@pytest.fixture
def adapter(tiny_model, tmp_path) -> Path:
    """Save an adapter of the tiny model."""
    model = AutoModelForImageTextToText.from_pretrained(tiny_model("qwen2_vl"))
    config = peft.LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    folder = tmp_path / "adapter"
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


def as_file(path: Path, recipe: EmbeddingRecipe) -> str:
    """Write a recipe as a user does."""
    values = {k: v for k, v in msgspec.to_builtins(recipe).items() if v is not None}
    if rule := values.pop("resize", None):
        values["resize.factor"], values["resize.min_pixels"], values["resize.max_pixels"] = (
            rule.values()
        )
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return str(path)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_each_field_of_a_recipe_changes_identity_and_features(tiny_model, adapter, tmp_path):
    assert {*CHANGES, "model_types"} == {field.name for field in msgspec.structs.fields(BASE)}
    seen = {}
    for name, value in {"": None, **CHANGES}.items():
        value = str(adapter) if name == "adapter" else value
        recipe = msgspec.structs.replace(BASE, **({name: value} if name else {}))
        file = as_file(tmp_path / f"{name or 'base'}.toml", recipe)
        model = load_model(str(tiny_model("qwen2_vl")), dtype="float32", embedding=file)
        identity = model.identity({})
        read = model.read(model.inputs([(picture(60, 100), "What is it?")]))
        seen[name] = (identity.model, identity.processor, read.heads[0].ravel())
    for name in CHANGES:
        assert seen[name][:2] != seen[""][:2], name
        assert not np.allclose(seen[name][2], seen[""][2], atol=1e-5), name
    of_models = msgspec.structs.replace(BASE, model_types=("qwen2_vl",))
    assert of_models.facts() == BASE.facts()


def test_rows_without_the_place_that_is_read_are_skipped(run, inputs) -> None:
    rows = [
        {"image": "images/train0.png", "question": "What?", "label": "a"},
        {"question": "Is the sky blue?", "label": "b"},
    ]
    done = run(
        family="qwen2_5_vl", embedding="jina-embeddings-v4", test=inputs.rows("t.jsonl", rows)
    )
    ((_, row, reason),) = done.skipped
    assert row == "t:1"
    assert "read at <|vision_start|> ... <|vision_end|>, which the prompt lacks" in reason


def test_a_batch_is_refused_if_one_prompt_lacks_the_place_that_is_read(tiny_model) -> None:
    recipe = '{"prompt": "{image}{prompt}", "read": "<|vision_end|>"}'
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32", embedding=recipe)
    shown, text = (picture(60, 100), "What is it?"), ("What is it?",)
    assert model.inputs([shown, shown])["input_ids"].shape[0] == 2
    with pytest.raises(ValueError, match=r"read at <\|vision_end\|>, which the prompt lacks"):
        model.inputs([shown, text])
    video = Video((shown[0],) * 2, (0.0, 1.0), 2.0)
    with pytest.raises(ValueError, match="reads text and images, and the prompt has a video"):
        model.inputs([shown, (video, "What is it?")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding": "gmi"}, r"no `embedding` is called 'gmi'; there are gme, jina"),
        ({"embedding": "qwen3-vl-embedding"}, "is a recipe of qwen3_vl, and .* is qwen2_vl"),
        ({"embedding": "mine.toml"}, r"mine\.toml is not a recipe: .*unknown field `red`"),
        ({"embedding": "gone.toml"}, r"`embedding` gone\.toml cannot be read: No such file"),
        ({"embedding": '{"prompt": "{prompt} {system}"}'}, "and {system} once with a `system`"),
        ({"embedding": '{"prompt": "{image}{image}{prompt}"}'}, "expected {image} at most once"),
        ({"embedding": '{"prompt": "no place"}'}, r"expected {prompt} once in `prompt`"),
        ({"embedding": '{"prompt": "{prompt}", "read": "<no>"}'}, "'<no>', which is no token of"),
        ({"embedding": "gme", "prompt_template": "{prompt}"}, "drop `prompt_template`"),
        ({"embedding": "gme", "answers": "labels"}, "an embedding model: it answers no question"),
        ({"embedding": "gme", "heads": "L0.H0"}, "no heads to choose from; drop `heads`"),
        ({"embedding": "gme", "family": "dinov2"}, "is an image encoder.*drop `embedding`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_no_embedding_is_made_of_is_refused(run, inputs, monkeypatch, options, message):
    monkeypatch.chdir(inputs.root)
    (inputs.root / "mine.toml").write_text('prompt = "{prompt}"\nred = "last"\n')
    with pytest.raises(ModelError, match=message):
        run(**options)


def test_a_classifier_of_embeddings_knows_its_recipe(run, inputs, tiny_model, tmp_path) -> None:
    """The file of the recipe is gone, and the classifier reads new images as before."""
    recipe = as_file(tmp_path / "mine.toml", read_recipe(recipe_of("gme")))
    store = run(embedding=recipe, dtype="float32").store
    Path(recipe).unlink()
    selection = select(store, readout="lda")
    expected = evaluate(store, selection).predictions["prediction"].to_list()
    question = "What is it?"
    task = replace(selection.tasks[0], question=question)
    folder = save_selection(replace(selection, tasks=(task,)), tmp_path / "saved")
    images = [inputs.root / f"images/test{i}.png" for i in (0, 3)]  # with this question
    model = str(tiny_model("qwen2_vl"))
    found = classify(folder, images, model=model, dtype="float32", question=question)
    assert found.predictions["prediction"].to_list() == [expected[0], expected[3]]
    loaded = load(folder, model=model, cache=False)
    assert list(loaded.predict(images)) == [expected[0], expected[3]]
    assert "an embedding model" in (why_not_standalone(loaded.selection_) or "")


def test_a_strangers_classifier_names_no_file_and_no_large_images() -> None:
    stranger = {"prompt": "{prompt}", "adapter": "mallory/adapter"}
    options = ModelOptions(model="m", embedding=recorded_recipe({"embedding": stranger}))
    assert with_recipe(options).adapter is None
    with pytest.raises(ModelError, match=r"no `embedding` is called '\"/etc/recipe\.toml\"'"):
        recorded_recipe({"embedding": "/etc/recipe.toml"})
    for resize in (
        {"factor": 28, "min_pixels": 10**9, "max_pixels": 10**9},
        {"factor": 10**6, "min_pixels": 1, "max_pixels": 1},
    ):
        with pytest.raises(ModelError, match="Expected `int` <= "):
            recorded_recipe({"embedding": {"prompt": "{prompt}", "resize": resize}})


def test_check_model_tries_an_embedding_in_batches(tiny_model) -> None:
    model = str(tiny_model("qwen3_vl"))
    found = check_model(model, 4, dtype="float32", embedding=recipe_of("qwen3-vl-embedding"))
    assert (found.passed, found.batch_size) == (True, 4)
    assert found.facts["outputs"] == "L0.H0 the embedding; 48 wide"
