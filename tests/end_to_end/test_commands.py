import json
import re
import shutil
from importlib.metadata import version

import numpy as np
import polars as pl
import pytest

from savs import extract, open_store
from savs.pipeline.cli.commands import COMMANDS, GUESSES
from stores import make_store


def visible_text(error: str) -> str:
    """Return a usage error without its frame."""
    return " ".join(error.replace("│", " ").split())


@pytest.fixture(scope="module")
def store(scenes, tmp_path_factory):
    """Return a store of drawn scenes that the shipped model extracted."""
    given = {"train": scenes.train, "test": scenes.test, "model": "demo", "batch_size": 16}
    return extract("general", out=tmp_path_factory.mktemp("commands") / "store", **given).store.path


def test_extract_select_evaluate(savs, store):
    chosen = savs("select", store, "--heads", "5", "--verbose")
    assert chosen.returncode == 0, chosen.stderr
    assert "does not estimate test accuracy" in chosen.stderr
    scored = savs("evaluate", store, "--verbose")
    assert scored.returncode == 0, scored.stderr
    assert "accuracy, macro" in scored.stdout
    assert "chance" in scored.stdout
    assert f"using {store}/results/vote\n" in scored.stderr
    results = store / "results" / "vote"
    metrics = {m["name"]: m for m in json.loads((results / "metrics.json").read_text())["metrics"]}
    assert metrics["accuracy, exists"]["value"] >= 0.8
    assert metrics["accuracy, animal"]["value"] >= 0.8
    assert metrics["accuracy, animal"]["chance"] == 0.25
    predictions = pl.read_parquet(results / "predictions.parquet")
    assert predictions.columns == [
        *("id", "split", "label", "prediction", "correct", "probability", "margin", "votes"),
        *("prediction_set", "unsure", "typicality", "atypical", "group", "subtask", "category"),
        *("cluster", "leak", "content", "media", "prompt", "extra"),
    ]
    assert predictions["correct"].mean() == metrics["accuracy"]["value"]


def test_evaluate_prints_classes_and_confusions(savs, store):
    done = savs("evaluate", store, "--per-class")
    assert done.returncode == 0, done.stderr
    found = json.loads((store / "results/vote/metrics.json").read_text())
    lines = [line.split() for line in done.stdout.splitlines()]
    for row in found["per_class"]:
        ends = [str(row["n"]), str(row["predicted"]), row["subtask"]]
        (line,) = (line for line in lines if line[:1] == [row["label"]] and line[-3:] == ends)
        assert float(line[1]) == pytest.approx(100 * row["recall"], abs=0.051)
    head = lines.index(["class", "taken", "for", "examples", "subtask"])
    worst = found["confusions"][0]
    assert lines[head + 1] == [
        *(worst["label"], worst["prediction"], str(worst["n"]), worst["subtask"]),
    ]
    assert "precision" not in savs("evaluate", store).stdout
    seen = pl.read_parquet(store / "results/vote/predictions.parquet")
    assert seen["media"].list.len().min() >= 1
    examples = open_store(store).examples("test")
    assert seen["prompt"].to_list() == examples["prompt"].to_list()


def test_evaluate_without_a_selection_makes_the_default_one(savs, store, tmp_path):
    done = savs("evaluate", store, "--out", tmp_path / "mine", "--selection", store / "none")
    assert done.returncode == 1
    assert "none does not exist" in done.stderr
    for path in (store / "results").rglob("*"):
        if path.is_file():
            path.unlink()
    done = savs("evaluate", store, "--out", tmp_path / "mine", "--json")
    assert "no selection yet: selected 20 heads" in done.stderr
    assert json.loads(done.stdout)["heads"] == 20
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == [
        *("classifier.safetensors", "config.json", "metrics.json"),
        *("predictions.parquet", "units.parquet"),
    ]


def test_show(savs, store):
    shown = savs("show", store)
    assert shown.returncode == 0
    assert "demo (Qwen2VLForConditionalGeneration)" in shown.stdout
    assert "48 in 6 layers, 16 wide, float32" in shown.stdout
    facts = json.loads(savs("show", store, env={"SAVS_SHOW_JSON": "1"}).stdout)
    assert facts == json.loads(savs("show", store, "--json").stdout)
    assert facts["heads"] == 48
    assert facts["planned"] == {"train": 30, "test": 20}
    assert sum(c["examples"] for c in facts["classes"]) == 50
    assert facts["runs"][0]["batch_size"] == 16


@pytest.mark.thorough
def test_dry_run_writes_nothing(savs, scenes, tmp_path):
    done = savs(
        *("extract", "general", "--train", scenes.train, "--test", scenes.test),
        *("--model", "demo", "--out", tmp_path / "never", "--dry-run", "--json"),
        *("--engine", "local,workers=0"),
        *("--device-map", "cpu"),  # as transformers spells it
        *("--model-kwargs", '{"attn_implementation": "eager"}'),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["examples"] == {"train": 30, "test": 20}
    features = 50 * 6 * 8 * 16 * 4  # examples x layers x heads x width x float32
    assert features + 50 * 100 < found["bytes"] < features + 50 * 500  # and what tables say of each
    assert found["seconds"] > 0
    assert found["examples_per_second"] > 0
    assert any("batches do not change this model's features" in note for note in found["notes"])
    assert found["missing_media"] == []
    assert not (tmp_path / "never").exists()


def test_options_come_from_flags_then_environment_then_file(savs, store, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('[select]\nheads = 3\nout = "from-file"\n')

    def heads(*flags, env=None):
        done = savs("select", store, "--config", config, "--json", *flags, env=env)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["selection"] == "from-file"
        return len(found["tasks"][0]["heads"])

    assert heads() == 3
    assert heads(env={"SAVS_SELECT_HEADS": "4"}) == 4
    assert heads("--heads", "5", env={"SAVS_SELECT_HEADS": "4"}) == 5


def test_the_version_is_printed_and_is_in_every_file(savs, tmp_path):
    done = savs("--version")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    features = np.random.default_rng(0).normal(size=(4, 40, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    for command in (("select", "s", "--heads", 2), ("evaluate", "s")):
        assert savs(*command).returncode == 0
    savs("export", "s", "--to", "classifier", "--out", "bundle")
    files = ("s/results/vote/metrics.json", "s/results/vote/config.json", "bundle/config.json")
    assert {json.loads((tmp_path / file).read_text())["savs"] for file in files} == {
        version("savs")
    }


def test_a_store_of_one_head_needs_no_number(savs, tmp_path):
    features = np.random.default_rng(0).standard_normal((1, 6, 4), np.float32)
    make_store(tmp_path / "one", features, list("ababab"), features, list("ababab"))
    done = savs("select", tmp_path / "one", "--verbose")
    assert done.returncode == 0, done.stderr
    assert "the store has 1 head, fewer than 20: took all" in done.stderr
    refused = savs("select", tmp_path / "one", "--heads", "20")
    assert refused.returncode == 1
    assert "20 heads were requested, but there are 1;" in refused.stderr


def test_a_misspelt_variable_is_refused(savs, store):
    done = savs("select", store, env={"SAVS_SELECT_HEAD": "4"})
    assert done.returncode == 2
    assert "the variable SAVS_SELECT_HEAD sets no option; did you mean" in done.stderr
    assert "SAVS_SELECT_HEADS?" in done.stderr
    done = savs("select", store, env={"SAVS_SELECT_ZZZZZZZZ": "4"})
    assert "sets no option; see savs select --help" in done.stderr
    done = savs("select", store, env={"SAVS_SELCT_HEADS": "3"})
    assert done.returncode == 2
    assert "the variable SAVS_SELCT_HEADS sets no option; did you mean SAVS_SELECT_HEADS?" in (
        done.stderr
    )
    other = {"SAVS_EXTRACT_WORKERS": "4", "STORE": "x"}
    assert savs("select", store, "--heads", "5", env=other).returncode == 0


@pytest.mark.parametrize(("name", "command"), GUESSES.items())
def test_a_command_of_other_programs_is_answered_by_ours(savs, name, command):
    done = savs(name, "pets", "--out", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no command is called '{name}'; use {command}" in visible_text(done.stderr)
    for ours in re.findall(r"savs ([a-z-]+)", command):
        assert ours in COMMANDS
        flags = re.findall(r"--[a-z-]+", command)
        assert {*flags} <= {*savs(ours, "--help").stdout.split()}


@pytest.mark.thorough
def test_an_extraction_can_be_a_file(savs, inputs, tmp_path):
    train, test = inputs.few_shots()
    config = tmp_path / "run.toml"
    config.write_text(
        f'[extract]\nbenchmark = "general"\ntrain = "{train}"\ntest = "{test}"\nmodel = "demo"\n'
        f'out = "{tmp_path}/store"\nlimit = 4\nengine = "local,shard_rows=2"\nthumbnails = true\n'
    )
    done = savs("extract", "--config", config)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/store\n"
    assert "8 examples to do" in done.stderr
    store = open_store(tmp_path / "store")
    assert store.facts["planned"] == {"train": 4, "test": 4}
    assert store.facts["shards"] == 4
    assert "thumbnail" in store.examples().columns


@pytest.mark.thorough
def test_a_given_selection_leaves_the_stores_own_alone(savs, store, tmp_path):
    assert savs("select", store, "--heads", "5").returncode == 0
    chosen = savs("select", store, "--heads", "3", "--out", tmp_path / "three")
    folder = tmp_path / "three"
    assert f"next: savs evaluate {store} --selection {folder}\n" in chosen.stderr
    done = savs("evaluate", store, "--selection", folder / "config.json", "--json")
    assert json.loads(done.stdout)["heads"] == 3
    assert (store / "results/three/metrics.json").exists()
    again = json.loads(savs("evaluate", store, "--json").stdout)
    assert again["heads"] == 5


@pytest.mark.thorough
def test_a_given_selection_of_the_same_name_replaces_nothing(savs, store, tmp_path):
    assert savs("select", store, "--heads", "5").returncode == 0
    assert savs("select", store, "--heads", "3", "--out", tmp_path / "vote").returncode == 0
    own = store / "results/vote"
    before = {path: path.read_bytes() for path in own.iterdir()}
    refused = savs("evaluate", store, "--selection", tmp_path / "vote")
    assert refused.returncode == 2
    said = " ".join(refused.stderr.replace("│", " ").split())
    assert f"{own} holds another selection than {tmp_path}/vote" in said
    assert {path: path.read_bytes() for path in own.iterdir()} == before
    (tmp_path / "circle").symlink_to("circle")
    circle = savs("evaluate", store, "--selection", tmp_path / "circle" / "vote")
    assert circle.returncode == 1
    assert "Traceback" not in circle.stderr
    given = ("evaluate", store, "--selection", tmp_path / "vote", "--out", tmp_path / "three")
    assert savs(*given).returncode == 0
    shutil.copytree(own, tmp_path / "copy/vote")
    assert savs("evaluate", store, "--selection", tmp_path / "copy/vote").returncode == 0
    assert savs("evaluate", store, "--selection", own, "--folds", "5").returncode == 0
    assert savs("select", store, "--heads", "4").returncode == 0
    assert (
        savs("evaluate", store, "--selection", own, "--folds", "5").returncode == 0
    )  # of its own name


@pytest.mark.thorough
def test_zero_shot_beside_the_heads_vote(savs, scenes, store, tmp_path):
    refused = savs("evaluate", store, "--readout", "zero-shot")
    assert refused.returncode == 1
    assert "has no output 'answers'; extract again with --answers labels" in refused.stderr
    kept = savs(
        *("extract", "general", "--train", scenes.train, "--test", scenes.test),
        *("--model", "demo", "--out", tmp_path / "kept", "--answers", "labels"),
    )
    assert kept.returncode == 0, kept.stderr
    own = json.loads(savs("evaluate", tmp_path / "kept", "--readout", "zero-shot", "--json").stdout)
    metrics = {metric["name"]: metric["value"] for metric in own["metrics"]}
    assert metrics["accuracy, exists"] >= 0.8  # it was trained to answer this
    assert metrics["accuracy, animal"] <= 0.7  # and never heard these labels
    assert (tmp_path / "kept/results/zero-shot/predictions.parquet").exists()


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (
            ("--readout", "nobody"),
            (
                "no readout is called 'nobody'; expected one of: vote, posterior",
                "answers-lda, zero-shot, zero-shot-mean, icl, generated, or the path",
            ),
        ),
        (("--selection", "run.toml"), ("run.toml is no folder; pass a store, or the folder of",)),
    ],
    ids=["readout", "selection"],
)
def test_what_is_no_readout_or_selection(savs, store, tmp_path, given, messages):
    (tmp_path / "run.toml").write_text("[select]\n")
    done = savs("evaluate", store, *given)
    assert done.returncode == 1
    assert all(message in done.stderr for message in messages)
