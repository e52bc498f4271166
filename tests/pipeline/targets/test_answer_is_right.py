"""Whether the model's own answer is right: labels and metrics by hand, and what `classify` says."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from typer.testing import CliRunner

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.cli.app import app
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.model.answers import as_code_points
from savs.pipeline.selection.training_data import TrainingArrays
from savs.pipeline.targets import target_named
from savs.pipeline.targets.answer_is_right import RIGHT, WRONG, answer_metrics, kept_units
from savs.stores import HeadNotFoundError, LayerGrid, ResultError
from stores import identity, write_store

OWN = "own-answer"
GRID = (LayerGrid(0, (0, 1, 2), 6), LayerGrid(3, (0, 2), 4))
NAMES = ("a", "b", "c")
TRAIN, TEST = 40, 60


def answered(folder, *, seed=0, pull=2.0, subtask=None, skipped=None, texts=False, rights=None):
    """Write a store whose heads know whether answers are right; return it, and what is right."""
    rng = np.random.default_rng(seed)
    n = TRAIN + TEST
    labels = [NAMES[i] for i in rng.integers(3, size=n)]
    right = rng.random(n) < 0.6 if rights is None else np.full(n, rights)
    said = [
        NAMES[(NAMES.index(label) + (0 if is_right else 1 + number % 2)) % 3]
        for number, (label, is_right) in enumerate(zip(labels, right, strict=True))
    ]
    sums = np.array([[-0.5 if name == one else -3.0 for name in NAMES] for one in said])
    features = {}
    for grid in GRID:
        values = rng.normal(size=(len(grid.heads), n, grid.head_dim))
        values[0] += pull * right[:, None] * rng.normal(size=grid.head_dim)
        features[grid.layer] = np.float32(values)
    rows = [
        {"label": label, "extra": '{"place": "here"}', "group": f"g{i}", "category": f"c{i % 2}"}
        for i, label in enumerate(labels)
    ]
    if subtask is not None:
        rows = [{**row, "subtask": subtask[i % len(subtask)]} for i, row in enumerate(rows)]
    values, outputs = np.float32(sums), {"answers": {name: [5, 2] for name in NAMES}}
    if texts:
        values = as_code_points([f" {one.upper()}\n" for one in said])
        outputs = {"generated": {"tokens": 16, "ends": [2]}}
    (name,) = outputs
    store = write_store(
        folder,
        replace(identity(grid=GRID), outputs=outputs),
        {
            "train": {layer: v[:, :TRAIN] for layer, v in features.items()},
            "test": {layer: v[:, TRAIN:] for layer, v in features.items()},
        },
        {"train": rows[:TRAIN], "test": rows[TRAIN:]},
        outputs={"train": {name: values[:TRAIN]}, "test": {name: values[TRAIN:]}},
        skipped=skipped,
    )
    return store, right, said


@pytest.mark.parametrize("texts", [False, True])
def test_labels_say_whether_answers_are_right(tmp_path, texts) -> None:
    gone = {"train": [3], "test": [5, 6]}
    store, right, said = answered(tmp_path / "s", texts=texts, skipped=gone)
    seen = target_named(OWN).of_store(store)
    train, test = seen.examples("train"), seen.examples("test")
    kept = [row for row in range(TRAIN) if row != 3]
    assert train["label"].to_list() == [RIGHT if right[row] else WRONG for row in kept]
    assert list(seen.ids("train")) == train["id"].to_list()
    known = [row for row in range(TEST) if row not in (5, 6)]
    assert test["label"].to_list() == [RIGHT if right[TRAIN + r] else WRONG for r in known]
    extra = [json.loads(text) for text in train["extra"]]
    answers = [one["answer"].strip().lower() for one in extra]
    assert answers == [said[row] for row in kept]
    assert {one["place"] for one in extra} == {"here"}
    assert [one["labelled"] for one in extra] == store.examples("train")["label"].to_list()
    assert seen.skipped("test")["label"].to_list() == [None, None]
    assert target_named(OWN).of_store(seen) is seen
    kept_columns = ["id", "group", "category", "subtask", "media", "prompt"]
    assert train.select(kept_columns).equals(store.examples("train").select(kept_columns))
    selection = savs.select(store, target=OWN, heads=2)
    assert selection.answers == ("generate" if texts else "labels")
    assert sorted(selection.answer_labels) == [(None, name) for name in NAMES if not texts]
    np.testing.assert_array_equal(seen.features("train"), store.features("train"))
    assert store.examples("test")["label"].is_in(NAMES).all()


def test_labels_that_came_later_count(tmp_path) -> None:
    store, right, said = answered(tmp_path / "s")
    wrong = int(np.flatnonzero(~right[:TRAIN])[0])
    labelled = savs.label(store, {f"train:{wrong}": said[wrong]}).store
    selection = savs.select(store, target=OWN, heads=2)
    older = "labels or files changed"
    assert not any(older in note for note in savs.evaluate(store, selection).notes)
    seen = target_named(OWN).of_store(labelled).examples("train")
    assert seen.filter(id=f"train:{wrong}")["label"].item() == RIGHT
    assert any(older in note for note in savs.evaluate(labelled, selection).notes)
    moved = savs.label(labelled, {"test:0": said[TRAIN]}).store
    seen = target_named(OWN).of_store(moved).examples("train")
    assert seen.filter(id="test:0")["label"].item() == RIGHT


def by_hand(table: pl.DataFrame) -> dict[str, float]:
    """Return the metrics from the votes of predictions, by scikit-learn and by sorting."""
    soft = [{vote["class"]: vote["soft"] for vote in votes} for votes in table["votes"]]
    scores = np.array([one[RIGHT] - one[WRONG] for one in soft])
    right = (table["label"] == RIGHT).to_numpy()
    rates, found, _ = roc_curve(right, scores, drop_intermediate=False)
    order = np.argsort(-scores, kind="stable")
    kept = {share: order[: math.ceil(share * len(order))] for share in (0.8, 0.5)}
    return {
        "ROC-AUC": roc_auc_score(right, scores),
        "FPR at 95 % TPR": float(rates[np.flatnonzero(found >= 0.95 - 1e-9)[0]]),
        "accuracy of the surest 80 %": float(right[kept[0.8]].mean()),
        "accuracy of the surest 50 %": float(right[kept[0.5]].mean()),
        "accuracy of all answers": float(right.mean()),
    }


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["vote", "lda"])
@pytest.mark.parametrize("on", ["test", "folds"])
def test_metrics_are_those_by_hand(tmp_path, readout, on) -> None:
    store, _, said = answered(tmp_path / "s", pull=0.7)
    selection = savs.calibrate(store, savs.select(store, target=OWN, readout=readout, heads=3))
    saved = savs.save_selection(selection.selection, tmp_path / "saved")
    loaded = savs.load_selection(saved)
    ours, theirs = (one.only_task().decision for one in (selection.selection, loaded))
    assert ours.is_fitted
    assert theirs.calibration.temperature == ours.calibration.temperature
    result = savs.evaluate(store, loaded, on=on)
    table = result.predictions
    expected = by_hand(table)
    assert [metric.name for metric in result.metrics] == [*expected]
    for metric in result.metrics:
        assert metric.value == pytest.approx(expected[metric.name], abs=1e-9)
        assert metric.low <= metric.value <= metric.high
    answers = said[TRAIN:] if on == "test" else said[:TRAIN]
    assert dict(table.select("id", "answer").iter_rows()) == {
        f"{'test' if on == 'test' else 'train'}:{row}": one for row, one in enumerate(answers)
    }
    if on == "test":
        of_right = pl.when(pl.col("prediction") == RIGHT).then("probability")
        assert table["right"].equals(
            table.select(of_right.otherwise(1 - pl.col("probability"))).to_series().rename("right")
        )
        (trusted,) = result.confidence
        assert trusted.examples == TEST
    again = savs.evaluate(store, selection.selection, on=on).predictions
    assert again.equals(table)


def test_subtasks_have_heads_and_metrics_of_their_own(tmp_path) -> None:
    store, _, _ = answered(tmp_path / "s", subtask=("one", "two"))
    selection = savs.select(store, target=OWN, heads=2)
    assert [task.subtask for task in selection.tasks] == ["one", "two"]
    found = {metric.name: metric for metric in savs.evaluate(store, selection).metrics}
    single = [found[f"ROC-AUC, {name}"].value for name in ("one", "two")]
    assert found["ROC-AUC, macro"].value == pytest.approx(np.mean(single))
    assert [*found][-2:] == ["ROC-AUC, one", "ROC-AUC, two"]
    # where all answers are right, or wrong, nothing is told apart
    table = savs.evaluate(store, selection).predictions.lazy()
    classes = {"one": (WRONG, RIGHT), "two": (WRONG, RIGHT)}
    is_right = pl.col("label") == RIGHT
    some = answer_metrics(table.filter((pl.col("subtask") == "one") | is_right), classes)
    assert [units.name for units in some][::5] == ["ROC-AUC, macro", "ROC-AUC, one"]
    assert some[0].scores["score"].mean() == pytest.approx(single[0])
    assert answer_metrics(table.filter(is_right), classes) == []


def test_a_report_has_the_commands_that_learn_it_again(tmp_path) -> None:
    store, _, _ = answered(tmp_path / "s")
    savs.select(store, target=OWN, heads=2, out=True)
    folder = savs.evaluate(store, selection=f"{OWN}-vote", out=True).folder
    _, select, evaluate, _ = savs.report(folder, out=tmp_path / "p.html").provenance.commands
    assert select.startswith(f"savs select {store.path} --heads 2 --readout vote ")
    assert select.endswith(f" --target {OWN}")
    assert evaluate.startswith(f"savs evaluate {store.path} --selection {OWN}-vote --out ")


@pytest.mark.parametrize("coverage", [0.8, 0.5, 1.0])
def test_the_surest_answers_are_counted_once_each(coverage) -> None:
    rng = np.random.default_rng(1)
    for n in (1, 2, 7, 60):
        right = (rng.random(n) < 0.7).astype(float)
        surest = rng.permutation(n)
        kept = surest[: math.ceil(coverage * n - 1e-9)]
        assert kept_units(right, surest, coverage).mean() == pytest.approx(right[kept].mean())


def test_the_readout_says_what_answers_hide(tmp_path) -> None:
    store, _, _ = answered(tmp_path / "s", pull=2.0)
    known = savs.evaluate(store, savs.select(store, target=OWN)).metrics[0]
    noise, _, _ = answered(tmp_path / "noise", pull=0.0)
    unknown = savs.evaluate(noise, savs.select(noise, target=OWN)).metrics[0]
    assert known.low > 0.7
    assert unknown.low < 0.5 < unknown.high


def test_what_has_no_meaning_is_refused_in_a_line(tmp_path) -> None:
    all_right, _, _ = answered(tmp_path / "right", rights=True)
    with pytest.raises(SelectionError, match="all 40 training examples are right, so there is"):
        savs.select(all_right, target=OWN)
    store, _, _ = answered(tmp_path / "s")
    plain = write_store(
        tmp_path / "plain",
        identity(grid=GRID),
        {
            split: {g.layer: np.ones((len(g.heads), 4, g.head_dim), "f4") for g in GRID}
            for split in ("train", "test")
        },
        {split: [{"label": name} for name in "abab"] for split in ("train", "test")},
    )
    with pytest.raises(ResultError, match=r"keeps no answers of the model, .*`answers` labels"):
        savs.select(plain, target=OWN)
    with pytest.raises(ParameterError, match="`target` is 'regression', expected own-answer"):
        savs.select(store, target="regression")
    arrays = TrainingArrays(
        source=store.manifest.identity.source(),
        values=store.features("train"),
        labels=store.examples("train")["label"].to_list(),
        ids=list(store.ids("train")),
        target=target_named("one"),
    )
    for name, value in (("target", OWN), ("pseudo_labels", 0.5)):
        with pytest.raises(ParameterError, match=f"have no answers of a model; omit `{name}`"):
            savs.select(arrays, **{name: value})
    with pytest.raises(HeadNotFoundError, match=r"data in memory has no head .*9.*, only 5 others"):
        savs.select(arrays, heads=[(0, 9)])
    with pytest.raises(ParameterError, match="features in memory have no results; omit `out`, `s"):
        savs.select(arrays, strict=True)
    with pytest.raises(ResultError, match="has no output 'answers'; extract again with"):
        savs.evaluate(plain, savs.select(store, target=OWN))
    done = CliRunner().invoke(app, ["select", str(store.path), "--target", "own"])
    assert done.exit_code == 1
    assert "`target` is 'own', expected own-answer" in str(done.exception)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["labels", pytest.param("generate", marks=pytest.mark.costly)])
def test_new_images_get_the_answer_and_how_likely_it_is_right(made, tmp_path, kind) -> None:
    for split in ("train", "test"):
        rows = map(json.loads, Path(made.root, f"{split}.jsonl").read_text("utf-8").splitlines())
        lines = [json.dumps({**row, "subtask": None}) for row in rows if len(row["images"]) == 1]
        Path(made.root, f"own-{split}.jsonl").write_text("\n".join(lines) + "\n")
    train, test = (made.root / f"own-{split}.jsonl" for split in ("train", "test"))
    given = {"model": "demo", "dtype": "float32", "answers": kind}
    store = savs.extract("general", train=train, test=test, out=tmp_path / "s", **given).store
    selection = savs.calibrate(store, savs.select(store, target=OWN, readout="lda", heads=4))
    saved = savs.save_selection(selection.selection, tmp_path / "saved")
    expected = savs.evaluate(store, selection.selection).predictions
    found = savs.classify(saved, test).predictions
    assert found["id"].to_list() == expected["id"].to_list()
    assert found["prediction"].to_list() == expected["answer"].to_list()
    np.testing.assert_allclose(found["probability"], expected["right"], atol=1e-4)
    out = tmp_path / "new.csv"
    savs.classify(saved, test, out=out)
    again = savs.classify(saved, test, out=out)
    assert again.rows == 0
    assert pl.read_csv(out)["prediction"].to_list() == found["prediction"].to_list()
