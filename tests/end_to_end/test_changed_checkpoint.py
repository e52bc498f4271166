"""A checkpoint that was changed anywhere is another model to every command that runs it."""

import json
import shutil
from pathlib import Path

import pytest
from input_folder import Inputs

from savs.pipeline.demo import DEMO_MODEL

pytestmark = pytest.mark.thorough


def last_value(folder: Path) -> None:
    """Change the last value of one tensor, which no sample of the first values sees."""
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)


def swapped_ids(folder: Path) -> None:
    file = folder / "tokenizer.json"
    value = json.loads(file.read_text())
    words = value["model"]["vocab"]
    one, two = list(words)[-2:]
    words[one], words[two] = words[two], words[one]
    file.write_text(json.dumps(value))


def edited(name: str, key: str, value):
    def edit(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))

    return edit


def special_tokens(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text('{"pad_token": "<|im_end|>"}')


EDITS = {
    "the last value of a weight": (last_value, "model.weights: "),
    "two ids of the tokenizer": (swapped_ids, "processor.files.tokenizer.json: "),
    "settings of the tokenizer": (
        edited("tokenizer_config.json", "clean_up_tokenization_spaces", True),
        "processor.files.tokenizer_config.json: ",
    ),
    "settings of the processor": (
        edited("processor_config.json", "image_token_id", 5),
        "processor.files.processor_config.json: ",
    ),
    "another file of the tokenizer": (special_tokens, "processor.files.special_tokens_map.json: "),
}


@pytest.fixture
def photos(inputs: Inputs) -> Path:
    for label in "ab":
        for number in range(4):
            inputs.image(f"photos/{label}/{number}.png", number)
    return inputs.root / "photos"


def test_a_changed_checkpoint_neither_classifies_nor_extends_a_store(savs, photos, tmp_path):
    model = shutil.copytree(DEMO_MODEL, tmp_path / "model")
    run = ("--model", model, "--dtype", "float32", "--engine", "local,workers=0")
    question = ("--question", "Which?")
    extract = ("extract", "image-folder", *question, *run, "--out", "store")
    assert savs(*extract, "--train", photos).returncode == 0
    assert savs("select", "store", "--heads", 4, "--no-estimate").returncode == 0
    before = savs("classify", "store", photos, "--model", model)
    assert before.returncode == 0
    for edit, (change, message) in EDITS.items():
        change(model)
        for command in (
            ("classify", "store", photos, "--model", model),
            (*extract, "--test", photos, "--append"),
        ):
            ran = savs(*command)
            assert ran.returncode == 1, edit
            assert f"\n  {message}" in ran.stderr, edit
        shutil.rmtree(model)
        shutil.copytree(DEMO_MODEL, model)
    (model / "README.md").write_text("of no matter")
    again = savs("classify", "store", photos, "--model", model)
    assert again.stdout == before.stdout


INDEXES = {
    "a list": "[]",
    "a number for the names": '{"weight_map": 5}',
    "a file that is missing": '{"weight_map": {"a": "missing.safetensors"}}',
    "brackets": '{"weight_map": ' + "[" * 100_000,
}


@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_a_damaged_index_of_weights_is_one_line(savs, photos, tmp_path, index) -> None:
    model = shutil.copytree(DEMO_MODEL, tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(index)
    run = (
        "--question",
        "Which?",
        "--model",
        model,
        "--engine",
        "local,workers=0",
        "--out",
        "store",
    )
    ran = savs("extract", "image-folder", "--train", photos, *run)
    assert ran.returncode == 1
    assert f"error: model '{model}' cannot be loaded: " in ran.stderr
    assert "Traceback" not in ran.stderr
