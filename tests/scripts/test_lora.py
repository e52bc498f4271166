"""An adapter that is trained on the training split gains over the model's own answer."""

import json

import pytest
from lora.options import LoraOptions
from safetensors.torch import load_file
from train_lora import app
from typer.testing import CliRunner

from savs import evaluate, extract
from savs.foundation.errors import ParameterError
from savs.pipeline.extraction.entry_points import load_model

FILES = ("train.jsonl", "test.jsonl")


@pytest.fixture
def animals(scenes, inputs):
    """Return the options of the rows of `animal`, whose labels the demo model has never seen."""
    for name, path in zip(FILES, (scenes.train, scenes.test), strict=True):
        rows = map(json.loads, path.read_text().splitlines())
        inputs.rows(name, [row for row in rows if row["subtask"] == "animal"])
    return {
        **{name: inputs.root / f"{name}.jsonl" for name in ("train", "test")},
        "media_root": scenes.root,
        "model": "demo",
        "dtype": "float32",
    }


def run(options, *more):
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return CliRunner().invoke(app, ["shapes", *given, *map(str, more)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_it_gains_over_zero_shot_and_leaves_the_vision_tower_alone(animals, tmp_path):
    out = tmp_path / "adapter"
    done = run(animals, "--out", out, "--epochs", 20, "--learning-rate", 0.005)
    assert done.exit_code == 0, done.output
    assert "the vision tower is frozen" in done.output
    names = load_file(out / "adapter_model.safetensors")
    assert names
    assert not any("visual" in name for name in names)
    losses = json.loads((out / "training.json").read_text())["losses"]
    assert losses[-1] < losses[0] / 2
    accuracy = {}
    for name, adapter in (("own", None), ("lora", out)):
        files = animals | {"out": tmp_path / name, "adapter": adapter}
        store = extract("shapes", answers="labels", **files).store
        accuracy[name] = evaluate(store, "zero-shot").metrics[0].value
    assert accuracy["lora"] > accuracy["own"] + 0.2
    assert store.manifest.identity.model["adapter"] == "adapter"
    again = run(animals, "--out", out)
    assert again.exit_code == 2
    assert "already" in again.output


@pytest.mark.costly
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_loss_is_the_log_likelihood_that_zero_shot_scores(animals, tmp_path):
    # with a rate of almost nothing, the first epoch's loss is that of the model itself
    out = tmp_path / "adapter"
    done = run(animals, "--out", out, "--epochs", 1, "--learning-rate", 1e-12, "--batch-size", 1)
    assert done.exit_code == 0, done.output
    store = extract("shapes", answers="labels", out=tmp_path / "s", **animals).store
    tokens = store.manifest.identity.outputs["answers"]
    values = store.output("train", "answers")
    own = [
        -values[row, list(tokens).index(label)] / len(tokens[label])
        for row, label in enumerate(store.examples("train")["label"])
    ]
    (loss,) = json.loads((out / "training.json").read_text())["losses"]
    assert loss == pytest.approx(sum(own) / len(own), rel=1e-4)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--rank", 0), 1, "rank is 0, expected more than 0"),
        (("--dropout", 1), 1, "dropout is 1.0, expected 0 or more and below 1"),
        (("--targets", ""), 1, "targets is empty"),
        (("--adapter", "x"), 2, "--adapter is for extract"),
        (("--train", "absent.jsonl"), 1, "absent.jsonl"),
    ],
    ids=["rank", "dropout", "targets", "adapter", "no file"],
)
def test_what_cannot_be_trained_is_one_message(animals, tmp_path, more, code, message):
    done = run(animals, "--out", tmp_path / "adapter", *more)
    assert (done.exit_code, message in done.output) == (code, True), done.output
    assert not (tmp_path / "adapter").exists()


def test_modules_that_the_model_lacks_are_refused_with_those_that_it_has():
    from lora.training import _config

    model = load_model("demo")
    with pytest.raises(ParameterError, match=r"called nothing; it has: .*o_proj.*q_proj"):
        _config(model, LoraOptions(targets=("nothing",)))
    decoder = _config(model, LoraOptions(targets=("q_proj", "fc1"))).target_modules
    whole = _config(model, LoraOptions(targets=("q_proj", "fc1"), vision=True)).target_modules
    assert set(decoder) < set(whole)
    assert {name.rpartition(".")[2] for name in decoder} == {"q_proj"}
