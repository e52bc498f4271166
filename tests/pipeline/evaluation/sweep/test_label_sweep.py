"""Sweeps of many labels: each point is what select, calibrate and evaluate measure."""

import numpy as np
import pytest
from label_stores import LABELS, make_many

import savs
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.draws import drawn_rows, make_draws, pool_variance
from savs.pipeline.evaluation.sweep.table import load_summary, save_sweep
from savs.pipeline.selection.training_data import StoredTraining


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A store of four labels and its sweep."""
    store, states, _ = make_many(tmp_path_factory.mktemp("swept") / "store", labels=4, unknown=0)
    found = savs.sweep(store, heads=[2, 5], shots=[3, "all"], draws=2, readouts=["vote", "lda"])
    return store, states, found


def measured(store, readout, heads):
    chosen = savs.calibrate(store, savs.select(store, heads=heads, readout=readout)).selection
    return savs.evaluate(store, chosen)


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["vote", "lda"])
def test_all_examples_and_a_draw_are_measured_as_stores_of_these_rows(swept, tmp_path, readout):
    store, _, found = swept
    tasks = StoredTraining(store).tasks()
    drawn = [d for d in make_draws(tasks, [3], 2, 0, share_rows=True) if d.key.number == 1]
    rows = sorted({row for draw in drawn for row in draw.task.rows.tolist()})
    part, _, _ = make_many(tmp_path / "part", labels=4, unknown=0, kept=rows)
    for shots, number, of_rows in ((None, 0, store), (3, 1, part)):
        expected = measured(of_rows, readout, 2)
        values = found.values.filter(readout=readout, heads=2, draw=number)
        values = values.filter(values["shots"].eq_missing(shots))
        assert values["metric"].to_list() == [metric.name for metric in expected.metrics]
        assert values["value"].to_numpy() == pytest.approx([m.value for m in expected.metrics])
        assert values["chance"].to_numpy() == pytest.approx([m.chance for m in expected.metrics])


def test_draws_have_enough_of_each_label_and_grow(swept):
    store, states, _ = swept
    tasks = StoredTraining(store).tasks()
    draws = make_draws(tasks, [1, 3, 8], 2, 0, share_rows=True)
    rows = {}
    for draw in draws:
        task, (shots, number, _) = draw.task, draw.key
        assert np.bincount(task.labels, minlength=2).min() >= shots
        assert (states[task.rows, LABELS.index(task.subtask)] == task.labels).all()
        rows.setdefault((shots, number), set()).update(task.rows.tolist())
    for number in (0, 1):
        assert rows[1, number] < rows[3, number] < rows[8, number]
        assert len(rows[1, number]) <= 8  # two sides of four labels
    assert rows[3, 0] != rows[3, 1]
    mean = (len(rows[3, 0]) + len(rows[3, 1])) / 2
    assert drawn_rows(draws, 3) == mean
    whole = [tasks[0].part(np.arange(90))]
    whole[0].labels[:] = 0
    assert pool_variance(whole, mean) == pytest.approx((mean / 90) ** 2 / (1 - (mean / 90) ** 2))


def test_the_table_has_every_metric_and_the_readouts_are_paired(swept, tmp_path):
    _, _, found = swept
    save_sweep(found, tmp_path / "sweep")
    summary = load_summary(tmp_path / "sweep")
    assert summary["metric"].unique(maintain_order=True).to_list()[0] == "mAP"
    assert {"F1", "exact match"} <= {*summary["metric"]}
    few = summary.filter(metric="mAP", shots=3, readout="lda", heads=2).to_dicts()[0]
    vote = summary.filter(metric="mAP", shots=3, readout="vote", heads=2).to_dicts()[0]
    assert few["draws"] == 2
    assert few["low"] < few["mean"] < few["high"]
    assert few["difference"] == pytest.approx(few["mean"] - vote["mean"])
    assert few["mean"] > few["chance"]


@pytest.mark.thorough
def test_several_stores_depths_and_what_is_refused(swept, tmp_path):
    store, _, found = swept
    other, _, _ = make_many(tmp_path / "other", labels=4, unknown=0, heads=3)
    both = savs.sweep({"a": store, "b": other}, heads=[2], shots=["all"])
    means = dict(both.summary.filter(metric="mAP").select("store", "mean").iter_rows())
    alone = found.summary.filter(metric="mAP", readout="vote", heads=2)
    assert means["a"] == pytest.approx(alone.filter(alone["shots"].is_null())["mean"].item())
    assert means["b"] == pytest.approx(measured(other, "vote", 2).metrics[0].value)
    depths = savs.sweep(store, heads=[2], max_layers=[0]).summary.filter(metric="mAP")
    assert depths["max_layer"].to_list() == [0, 3]
    shallow = savs.select(store, heads=2, max_layer=0)
    expected = savs.evaluate(store, savs.calibrate(store, shallow).selection).metrics[0]
    assert depths["mean"][0] == pytest.approx(expected.value)
    assert (depths["low"][0], depths["high"][0]) == pytest.approx((expected.low, expected.high))
    for readout in ("clip", "zero-shot"):
        with pytest.raises(SelectionError, match=f"{readout}.*has many labels, for which"):
            savs.sweep(store, readouts=[readout])
    bare, _, _ = make_many(tmp_path / "bare", seed=1, labels=1, unknown=0, test=1)
    with pytest.raises(SelectionError, match=r"no test example of .* has a label"):
        savs.sweep(bare)
