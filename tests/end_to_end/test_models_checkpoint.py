"""`savs models CHECKPOINT`, and what `extract` does with a model that batches change."""

import json
import re

import numpy as np
import pytest

from savs import open_store

pytestmark = pytest.mark.thorough

UNMARKED = """
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    inputs = chat_inputs(processor, prompts)
    inputs["attention_mask"].fill_(1)  # padding is read as if it were prompt
    return inputs
"""
MIXED = """
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    inputs = chat_inputs(processor, prompts)
    if "pixel_values" in inputs and len(prompts) > 1:
        inputs["pixel_values"] = inputs["pixel_values"].flip(0)  # one example's image to another
    return inputs
"""
DEAF = """
from savs.pipeline.prompts.chat import chat_inputs


def to_inputs(processor, prompts):
    return chat_inputs(processor, [("Always the same.",) for _ in prompts])
"""
CHECKS = [
    "heads are the projection's input",
    "features are finite",
    "heads differ between prompts",
    "the image reaches the heads",
]


@pytest.fixture
def code(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return path

    return write


def test_a_good_model_passes(savs):
    done = savs("models", "demo")
    assert done.returncode == 0, done.stderr
    assert "48 in 6 layers, 16 wide" in done.stdout
    assert re.search(r"images at their marks +as the chat template has them", done.stdout)
    held = done.stdout[done.stdout.index("check ") :].splitlines()[1:]
    sizes = [f"batches of {size} equal single examples" for size in (2, 4, 8, 16, 32)]
    assert [line.rsplit(maxsplit=1) for line in held] == [[c, "yes"] for c in CHECKS + sizes]
    assert done.stderr.endswith("features can be trusted, in batches of up to 32, too\n")


def test_json_says_what_was_checked(savs, tiny_model):
    done = savs("models", tiny_model("qwen2_vl"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"facts", "checks", "batch_size", "passed", "verdict"}
    assert found["facts"]["model"] == "qwen2_vl (Qwen2VLForConditionalGeneration)"
    assert found["facts"]["heads"] == "12 in 3 layers, 12 wide"
    sizes = [f"batches of {size} equal single examples" for size in (2, 4, 8, 16, 32)]
    assert [check["name"] for check in found["checks"]] == CHECKS + sizes
    assert all(set(check) == {"name", "passed", "what"} for check in found["checks"])
    assert [check["passed"] for check in found["checks"]] == [True] * 9
    assert (found["batch_size"], found["passed"]) == (32, True)
    assert found["verdict"] == "features can be trusted, in batches of up to 32, too"


def test_a_missing_folder_is_one_line(savs, tmp_path):
    done = savs("models", tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    _loading, line = done.stderr.splitlines()
    assert line.startswith(f"error: model '{tmp_path}/nowhere' cannot be loaded: there is no such")
    assert "; give CHECKPOINT a Hugging Face id, a folder with config.json and weights" in line


UNEQUAL = [f"batches of {size} equal single examples" for size in (2, 4, 8, 16, 32)]
BATCHES = "batches change the features: extract with --batch-size 1"
UNSEEN = (
    "do not trust this model's features: heads differ between prompts, the image reaches the heads"
)


@pytest.mark.parametrize(
    ("text", "failed", "verdict"),
    [
        (UNMARKED, UNEQUAL, BATCHES),
        (DEAF, ["heads differ between prompts", "the image reaches the heads"], UNSEEN),
    ],
    ids=["padding is not marked", "the prompt is not seen"],
)
def test_a_model_that_fails_says_in_what(savs, tiny_model, code, text, failed, verdict):
    command = ("models", tiny_model("qwen2_vl"), "--recipe", code(text))
    done = savs(*command)
    assert done.returncode == 1, done.stderr
    wrong = [line[:-2].strip() for line in done.stdout.splitlines() if line.endswith(" NO")]
    assert wrong == failed
    assert done.stderr.endswith(verdict + "\n")


def test_json_of_a_model_that_fails(savs, tiny_model, code):
    command = ("models", tiny_model("qwen2_vl"), "--recipe", code(MIXED))
    done = savs(*command, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["passed"], found["batch_size"], found["verdict"]) == (False, 1, BATCHES)
    assert [check["name"] for check in found["checks"] if not check["passed"]] == UNEQUAL
    batches = found["checks"][-1]
    assert batches["passed"] is False
    assert "of the heads move beyond rounding (5% may" in batches["what"]


def test_extract_goes_on_with_single_examples_by_itself(savs, tiny_model, inputs, code, tmp_path):
    train, test = inputs.few_shots()
    stores = []
    for size in ("4", "1"):
        out = tmp_path / f"by-{size}"
        done = savs(
            *("extract", "general", "--train", train, "--test", test, "--out", out),
            *("--model", tiny_model("qwen2_vl"), "--recipe", code(UNMARKED)),
            *("--batch-size", size),
        )
        assert done.returncode == 0, done.stderr
        told = "batches change this model's features" in done.stderr
        assert told == (size == "4")
        stores.append(open_store(out))
    wanted, alone = stores
    assert {run["batch_size"] for run in wanted.facts["runs"]} == {1}
    for split in ("train", "test"):
        np.testing.assert_array_equal(wanted.features(split), alone.features(split))


def test_extract_says_nothing_of_a_good_model(savs, inputs, tmp_path):
    train, test = inputs.few_shots()
    done = savs(
        *("extract", "general", "--train", train, "--test", test, "--out", tmp_path / "good"),
        *("--model", "demo", "--batch-size", "4"),
    )
    assert done.returncode == 0, done.stderr
    assert "single examples" not in done.stderr
    assert {run["batch_size"] for run in open_store(tmp_path / "good").facts["runs"]} == {4}
