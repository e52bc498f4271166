"""The prompts of a store against each other, and against a store for each."""

import json

import numpy as np
import polars as pl
import pytest

from savs import calibrate, compare, evaluate, select, sweep
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.compare.compare import method_table
from savs.pipeline.evaluation.sweep.sweep import paired
from savs.pipeline.evaluation.sweep.table import save_sweep
from savs.pipeline.statistics.paired_tests import holm, mcnemar
from stores import make_store

pytestmark = pytest.mark.thorough

PROMPTS = ("good?", "poor?", "none?")
PULLS = (1.0, 0.45, 0.0)
"""How far the classes are apart under each prompt."""
LABELS = ("cat", "dog") * 12


def features(pull, seed):
    """Return `(heads, n, d)` of the examples under one prompt."""
    rng = np.random.default_rng(seed)
    sides = np.where(np.array(LABELS) == "cat", 1.0, -1.0)[None, :, None]
    return (pull * sides + rng.normal(size=(4, len(LABELS), 3))).astype("f4")


def media(number):
    return f'["{number}.png"]'


@pytest.fixture(scope="module")
def parts():
    return [features(pull, seed) for seed, pull in enumerate(PULLS)]


@pytest.fixture(scope="module")
def store(parts, tmp_path_factory):
    """Return a store of all prompts, side by side."""
    n, folder = len(LABELS), tmp_path_factory.mktemp("prompts") / "s"
    whole = np.stack(parts, axis=2).reshape(4, n * len(PROMPTS), 3)
    rows = [
        {"id": f"e{i}#{k + 1}", "subtask": prompt, "prompt": prompt, "media": media(i)}
        for i in range(n)
        for k, prompt in enumerate(PROMPTS)
    ]
    labels = [label for label in LABELS for _ in PROMPTS]
    tested = [row | {"media": media(100 + i)} for i, row in enumerate(rows)]
    return make_store(
        *(folder, whole, labels, whole, labels),
        shard_rows=7,
        train_rows=rows,
        test_rows=tested,
        options={"questions": list(PROMPTS)},
    )


@pytest.fixture(scope="module")
def alone(parts, tmp_path_factory):
    """Return the cross-validated predictions of a store for each prompt, right or wrong."""
    rows = [{"media": media(i)} for i in range(len(LABELS))]
    found = []
    for number, own in enumerate(parts):
        folder = tmp_path_factory.mktemp("alone") / str(number)
        one = make_store(folder, own, LABELS, own[:, :1], LABELS[:1], train_rows=rows)
        done = evaluate(one, select(one, heads=2), on="folds")
        found.append(done.predictions["correct"].to_numpy())
    return found


def test_prompts_are_compared_as_stores_of_their_own_would_be(store, alone, tmp_path):
    swept = sweep(store, heads=[2], prompts=True)
    table = swept.summary
    save_sweep(swept, tmp_path / "w")
    pairs = compare([tmp_path / "w"])
    assert pairs.select("a", "b").rows() == [(PROMPTS[0], prompt) for prompt in PROMPTS[1:]]
    assert pairs["low"].to_list() == table["difference_low"].to_list()[1:]
    methods = method_table([tmp_path / "w"])["method"].to_list()
    assert methods == [f"SAVs (vote), 2 heads, {prompt}" for prompt in PROMPTS]
    assert table["metric"].unique().to_list() == ["accuracy"]
    assert table["prompt"].to_list() == list(PROMPTS)
    assert table["mean"].to_list() == pytest.approx([own.mean() for own in alone])
    first, *others = alone
    assert table["difference"][0] is None
    tests = [mcnemar(int((first & ~b).sum()), int((~first & b).sum())) for b in others]
    assert table["p"].to_list()[1:] == pytest.approx([test.p for test in tests])
    assert table["p_holm"].to_list()[1:] == pytest.approx(holm([test.p for test in tests]))
    differences = [(b.astype(float) - first).mean() for b in others]
    assert table["difference"].to_list()[1:] == pytest.approx(differences)
    # none of the values is trivial: the poor prompts are worse, the worst significantly
    assert 0 > differences[0] > differences[1]
    assert table["p_holm"][2] < 0.05


def test_readouts_and_numbers_of_heads_are_rows_and_holm_counts_all(store):
    readouts = ["vote", "lda"]
    table = sweep(store, heads=["all", 1, 4], readouts=readouts, prompts=True).summary
    points = table.select("readout", "heads").unique(maintain_order=True).rows()
    assert points == [("vote", 1), ("vote", 4), ("lda", 1), ("lda", 4)]  # all are 4: once
    tested = table.filter(pl.col("p").is_not_null())
    assert tested.height == 8
    assert tested["p_holm"].to_list() == holm(tested["p"].to_list())
    for wrong, message in (([], "no readout was given"), (["vote"] * 2, "two readouts are called")):
        with pytest.raises(SelectionError, match=message):
            sweep(store, readouts=wrong, prompts=True)


def test_evaluate_has_no_number_of_several_prompts(store):
    names = [metric.name for metric in evaluate(store, select(store, heads=2)).metrics]
    assert names == [f"{m}, {p}" for m in ("accuracy", "balanced accuracy") for p in PROMPTS]
    crossed = evaluate(store, select(store, heads=2), on="folds").metrics
    assert [metric.name for metric in crossed] == names


def test_an_example_without_one_of_its_prompts_is_left_out_of_all(tmp_path):
    rows = {
        "id": ["a#1", "a#2", "b#2", "c#2", "c#1"],
        "subtask": ["A", "B", "B", "B", "A"],
        "cluster": ["0", "0", "1", "2", "2"],
        "correct": [True, False, True, True, False],
    }
    found, left_out = paired(pl.DataFrame(rows), ("A", "B"))
    assert left_out == 1
    assert found["A"].select("example", "score").rows() == [("a", 1), ("c", 0)]
    assert found["B"].select("example", "score").rows() == [("a", 0), ("c", 1)]
    labels = [label for label in "abababab" for _ in "AB"]
    asked = [
        {"id": f"e{i}#{n}", "subtask": prompt, "prompt": prompt, "media": media(i)}
        for i in range(8)
        for n, prompt in enumerate("AB", start=1)
    ]
    values = np.ones((1, 16, 2), "f4")
    own = {"train_rows": asked, "train_skipped": [3], "options": {"questions": ["A", "B"]}}
    store = make_store(tmp_path / "s", values, labels, values[:, :0], [], **own)
    assert (
        sweep(store, prompts=True)
        .notes[-1]
        .startswith("1 training example was skipped under some prompts and is left out of all;")
    )
    assert found["A"]["cluster"].to_list() == found["B"]["cluster"].to_list() == ["0", "2"]


def test_a_store_of_one_prompt_is_refused(tmp_path, parts):
    one = make_store(tmp_path / "s", parts[0], LABELS, parts[0], LABELS)
    with pytest.raises(SelectionError, match=r"has one prompt for each example.*--question for"):
        sweep(one, prompts=True)


def test_the_command_prints_and_writes_the_table(savs, store):
    done = savs("sweep", store.path, "--prompts", "--heads", 2, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["summary"] == sweep(store, heads=[2], prompts=True).summary.to_dicts()
    assert pl.read_parquet(found["files"][1]).to_dicts() == found["summary"]
    shown = savs("sweep", store.path, "--prompts")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["prompt", *PROMPTS]
    assert "24 training examples" in shown.stderr


def test_no_table_of_probabilities_is_of_several_prompts(store):
    selection = calibrate(store, select(store, heads=2)).selection
    found = evaluate(store, selection, risk=0.2)
    assert [part.prompt for part in found.confidence] == list(PROMPTS)
    for part, task in zip(found.confidence, selection.tasks, strict=True):
        own = found.predictions.filter(subtask=part.prompt)
        assert part.examples == own.height == len(LABELS)
        assert part.temperatures == {part.prompt: task.decision.temperature}
        assert part.coverage[0].accuracy == pytest.approx(own["correct"].mean())
        inside = [label in names for label, names in own["label", "prediction_set"].iter_rows()]
        assert part.risk.outside.value == pytest.approx(1 - np.mean(inside))
    assert found.confidence[0].calibration_error != found.confidence[2].calibration_error


def test_more_neurons_than_heads_are_compared(store):
    found = sweep(store, prompts=True, readouts=["neurons"], heads=[10])
    assert found.summary["heads"].unique().to_list() == [10]
    with pytest.raises(SelectionError, match="13 neurons were requested, but there are 12"):
        sweep(store, prompts=True, readouts=["neurons"], heads=[13])
