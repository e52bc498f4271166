"""Neurons: chosen, given, refused, of every kind of labels; the oracle has their numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from label_stores import make_many
from number_stores import make_numbers

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.exporting import export_store
from savs.pipeline.errors import ReportError, SelectionError
from savs.pipeline.heads.neurons import closeness, score_neurons
from savs.pipeline.heads.scoring import Scoring
from savs.pipeline.readouts import READOUTS
from savs.pipeline.selection.head_map import head_map, head_stability
from savs.pipeline.selection.heads_table import heads_frame
from savs.pipeline.selection.selection_config import load_config
from savs.stores import HeadNotFoundError, LayerGrid, head_name
from savs.stores.format.layout import holder, neuron
from stores import identity, write_store

GRID = (LayerGrid(0, (0, 1), 4), LayerGrid(3, (0, 2), 7))
LABELS = {"train": list("abc" * 8), "test": list("cab" * 5)}
PLANTED = ["L3.H2.N6", "L0.H1.N0", "L3.H2.N1"]
"""Values that know the class, the best one first."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng, features = np.random.default_rng(3), {}
    for split, labels in LABELS.items():
        sides = np.array(["abc".index(label) for label in labels])
        values = {g.layer: rng.normal(size=(2, len(labels), g.head_dim)) for g in GRID}
        values[3][1, :, 6] += 1000 + 300 * sides  # far from 0, and wide
        values[0][1, :, 0] = 0.001 * (values[0][1, :, 0] + 7 * sides)  # and narrow
        values[3][1, :, 1] += 5 * sides
        features[split] = values
    rows = {split: [{"label": label} for label in labels] for split, labels in LABELS.items()}
    folder = tmp_path_factory.mktemp("neurons") / "s"
    return write_store(folder, identity(grid=GRID), features, rows)


def names(selection):
    return [head_name(head) for head in selection.only_task().heads]


def test_values_that_know_the_class_are_chosen_whatever_their_scale(store):
    chosen = savs.select(store, heads=3, readout="neurons")
    assert names(chosen) == PLANTED
    assert chosen.model_heads == ((3, 2), (0, 1))  # what a model is asked for
    task = chosen.only_task()
    assert task.strengths == tuple(score / 24 for score in task.scores)
    assert "Selection(neurons of 3 neurons, " in repr(chosen)
    assert savs.evaluate(store, chosen).metrics[0].value == 1
    assert names(savs.select(store, heads=1, readout="neurons", max_layer=2)) == PLANTED[1:2]
    every = savs.select(store, heads="all", readout="neurons")
    assert len(every.heads) == 2 * 4 + 2 * 7
    mine = Scoring(name="own", of_all=lambda a, _: replace(a, score=-np.arange(len(a.score))))
    first = savs.select(store, heads=2, readout="neurons", scoring=mine)
    assert names(first) == ["L0.H0.N0", "L0.H0.N1"]
    strengths = dict(zip(every.heads, every.only_task().strengths, strict=True))
    assert first.only_task().strengths == tuple(strengths[head] for head in first.heads)
    best = max(share for head, share in strengths.items() if head_name(head)[:5] == "L0.H0")
    assert head_map(store, first).drop_nulls("rank")["strength"].to_list() == [best]


def test_more_neurons_than_heads_and_too_many_are_counted(store):
    assert len(savs.select(store, heads=20, readout="neurons").heads) == 20
    message = "23 neurons were requested, but there are 22; use 1 to 22"
    with pytest.raises(SelectionError, match=message):
        savs.select(store, heads=23, readout="neurons")
    message = "9 neurons were requested, but there are 8 up to layer 2"
    with pytest.raises(SelectionError, match=message):
        savs.select(store, heads=9, readout="neurons", max_layer=2)


def test_neurons_that_are_given_are_only_fitted(store, tmp_path):
    given = savs.select(store, heads="L3.H2.N6,L0.H0.N1", readout="neurons")
    assert names(given) == ["L3.H2.N6", "L0.H0.N1"]
    saved = savs.save_selection(given, tmp_path / "given")
    again = savs.select(store, heads=saved, readout="neurons")
    assert (again.only_task().heads, again.only_task().scores) == (
        given.only_task().heads,
        given.only_task().scores,
    )
    crossed = savs.evaluate(store, given, on="folds")
    assert crossed.metrics[0].value > 0.9


@pytest.mark.parametrize(
    ("heads", "readout", "error", "message"),
    [
        ("L0.H0", "neurons", SelectionError, "reads single neurons, such as L12.H7.N5, and got L0"),
        ("L0.H0.N1", "vote", SelectionError, "'vote' reads whole heads, and got L0.H0.N1"),
        ("L0.H0.N4", "neurons", HeadNotFoundError, "holds no head L0.H0.N4"),
        ("L0.H0.N", "neurons", SelectionError, "a list such as L12.H7"),
    ],
)
def test_what_a_readout_does_not_read_is_named(store, heads, readout, error, message):
    with pytest.raises(error, match=message):
        savs.select(store, heads=heads, readout=readout)


@pytest.mark.parametrize("scoring", ["resubstitution", "loo", "kfold"])
def test_scores_do_not_depend_on_how_many_are_in_work_at_a_time(monkeypatch, scoring):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(5, 12, 6)).astype(np.float32)
    labels, widths = np.array([0, 1, 2, 0] * 3), [6, 2, 6, 6, 1]
    whole = score_neurons(values, labels, list("abc"), widths, scoring)
    monkeypatch.setattr("savs.pipeline.heads.neurons.BLOCK", 1)
    parts = score_neurons(values, labels, list("abc"), widths, scoring)
    assert len(whole.score) == sum(widths)
    assert (whole.score == parts.score).all()
    assert (whole.margin == parts.margin).all()


def test_equal_distances_go_to_the_first_class_and_equal_counts_to_the_best_neuron():
    # the means are 0 and 2 in all four; 1 is as far from both, 3 and -1 are nearer to one
    train = np.tile(np.float32([[0], [2]]), (4, 1, 1))
    fitted = READOUTS["neurons"].fit(train, np.array([0, 1]), ["a", "b"], [1] * 4)
    found = fitted.scores(np.float32([[[1], [3]], [[3], [-1]], [[1], [3]], [[3], [-1]]]))
    assert found.scores.tolist() == [[2, 2], [2, 2]]
    assert found.choice.tolist() == [0, 1]
    # distances 1 and 1: 2/3 each; 1 and 3: 2/3 and 2/5
    assert found.soft[0].tolist() == pytest.approx([(2 / 3 + 2 / 5) / 2, 2 / 3])


def test_a_value_that_never_changes_says_the_first_class():
    same = np.full((1, 4, 1), 5, np.float32)
    assert closeness(same, same[:, :2]).tolist() == [[[0.0, 0.0]] * 4]
    found = score_neurons(same, np.array([0, 1, 1, 0]), ["a", "b"], [1], "resubstitution")
    assert (found.score.tolist(), found.margin.tolist()) == ([2], [0])


def test_a_map_has_each_head_with_its_best_neuron(store):
    chosen = savs.select(store, heads=3, readout="neurons")
    table = head_map(store, chosen)
    assert table["name"].to_list() == ["L0.H0", "L0.H1", "L3.H0", "L3.H2"]
    assert table["rank"].to_list() == [None, 2, None, 1]
    best = dict(zip(chosen.model_heads, chosen.only_task().scores, strict=False))
    assert table.filter(name="L3.H2")["score"].item() == best[3, 2]
    every = savs.select(store, heads="all", readout="neurons").only_task()
    greatest = dict.fromkeys(table["name"], (0, -1.0))
    for one, score, margin in zip(every.heads, every.scores, every.margins, strict=True):
        name = head_name(holder(one))
        greatest[name] = max(greatest[name][0], score), max(greatest[name][1], margin)
    assert list(table.select("score", "margin").iter_rows()) == [*greatest.values()]
    stable = head_stability(store, chosen, draws=3)
    assert {*PLANTED} <= {*stable.heads["name"]}
    assert stable.chance[None] == 3 / 22


def test_explanations_name_neurons_and_agree_with_the_votes(store):
    savs.select(store, heads=3, readout="neurons", out=True)
    result = savs.evaluate(store, "neurons", out=True)
    folder = store.path / "results" / "neurons"
    rows = savs.explain(folder, n=4).heads
    assert {*rows["name"]} == {*PLANTED}
    assert {*rows.select("layer", "head").rows()} == {(3, 2), (0, 1)}
    for (name,), votes in rows.group_by("id"):
        row = result.predictions.filter(id=name).row(0, named=True)
        counts = {vote["class"]: vote["score"] for vote in row["votes"]}
        assert all((votes["vote"] == c).sum() == counts.get(c, 0) for c in "abc")
    with pytest.raises(ReportError, match=r"a whole head, and L3\.H2\.N6 is one value"):
        savs.explain(folder, n=1, attention_maps=True, media_root=store.path)


def test_a_smaller_store_keeps_the_heads_of_chosen_neurons(store, tmp_path):
    chosen = savs.select(store, heads=3, readout="neurons")
    export_store(store, chosen.model_heads, tmp_path / "small", [])
    small = savs.open_store(tmp_path / "small")
    assert small.heads == [(0, 1), (3, 2)]
    ours, theirs = (savs.evaluate(one, chosen).predictions for one in (store, small))
    assert ours["prediction"].equals(theirs["prediction"])


def test_a_changed_file_names_no_neuron_that_is_not_there(store, tmp_path):
    folder = savs.save_selection(savs.select(store, heads=1, readout="neurons"), tmp_path / "s")
    config = json.loads((folder / "config.json").read_text())
    config["tasks"][0]["heads"] = [[3, 3000007]]  # L3.H2 has the values 0 to 6
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(savs.SavsError, match=r"source.grid has no head \(3, 3000007\)"):
        load_config(folder)


def test_votes_of_heads_and_of_neurons_are_not_in_one_table(store):
    with pytest.raises(ParameterError, match="some are heads and some are neurons"):
        heads_frame(store, [(3, 2), neuron((3, 2), 1)]).collect()
    found = heads_frame(store, [neuron((3, 2), 6)]).collect()
    assert found["correct"].all()
    assert {*found["name"]} == {"L3.H2.N6"}


def test_many_labels_have_neurons_of_their_own(tmp_path):
    many, *_ = make_many(tmp_path / "many")
    chosen = savs.calibrate(many, savs.select(many, heads=4, readout="neurons")).selection
    assert all(len(task.heads) == 4 for task in chosen.tasks)
    found = savs.evaluate(many, chosen).metrics[0]
    assert found.name == "mAP"
    assert found.value > found.chance + 0.1


def test_numbers_have_no_neurons(tmp_path):
    numbers, *_ = make_numbers(tmp_path / "numbers")
    with pytest.raises(
        SelectionError, match=r"`readout` neurons is for classes, and .*; use ridge"
    ):
        savs.select(numbers, readout="neurons")
