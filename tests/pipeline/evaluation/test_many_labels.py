"""Stores with many labels: select and evaluate against a plain float64 oracle, and what is refused.

The oracle follows the definitions head by head and label by label; it shares no code with savs.
"""

import json
from dataclasses import replace

import msgspec
import numpy as np
import polars as pl
import pytest
from label_stores import LABELS, MANY, make_many, text_of
from sklearn.metrics import average_precision_score
from typer.testing import CliRunner

import savs
from savs.datasets.many_labels import with_label
from savs.foundation.errors import ParameterError
from savs.pipeline.cli.app import app
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.suspects import suspects
from savs.pipeline.evaluation.tables import confidence_tables, selection_table
from savs.pipeline.reports.suggestions.suggestions import write_suggestions
from savs.pipeline.selection.left_out import leave_out
from savs.pipeline.selection.readout_choice import choose_readout_by_folds
from savs.pipeline.targets.label_logits import LabelLogits
from savs.pipeline.targets.label_rules import NEVER, PLAIN, fit_rules, kept_levels
from savs.pipeline.targets.many import CALLED, LOGITS, PAIRS_KEPT
from savs.pipeline.targets.tasks import Measuring
from savs.stores import LayerGrid
from stores import identity, make_store, write_store


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return make_many(tmp_path_factory.mktemp("many") / "store")


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def oracle_margins(selection, states, features, label, rows):
    """Margin of `vote` and `posterior`: of each chosen head by its two centroids."""
    number = LABELS.index(label)
    train = np.arange(90)
    task = next(task for task in selection.tasks if task.subtask == label)
    total = np.zeros(len(rows))
    for layer, head in task.heads:
        values = features[layer][{0: [0, 1, 2, 3], 3: [0, 2]}[layer].index(head)]
        absent, present = (
            unit(np.float64(values[train[states[:90, number] == side]]).mean(axis=0))
            for side in (0, 1)
        )
        apart = unit(values[rows]) @ (present - absent)
        total += np.tanh(apart / 0.07 / 2) if selection.readout == "posterior" else apart
    return total / len(task.heads)


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["vote", "posterior"])
def test_probabilities_and_metrics_are_those_of_the_oracle(many, readout):
    store, states, features = many
    selection = savs.calibrate(store, savs.select(store, heads=4, readout=readout)).selection
    result = savs.evaluate(store, selection)
    table, rows = result.predictions, np.arange(90, 160)
    precisions = []
    per_label = result.tables["per_label"]
    for number, name in enumerate(per_label["label"]):
        task = selection.tasks[number]
        margins = oracle_margins(selection, states, features, name, rows)
        rule = task.decision
        expected = 1 / (1 + np.exp(-(rule.slope * margins + rule.intercept)))
        found = np.array(table["probabilities"].to_list())[:, number]
        assert found == pytest.approx(expected, abs=2e-4)
        is_said = np.array([name in said for said in table["predicted"].to_list()])
        clear = np.abs(expected - rule.threshold) > 1e-3
        assert (is_said == (expected >= rule.threshold))[clear].all()
        truth = states[rows, LABELS.index(name)]
        known = truth >= 0
        precisions.append(average_precision_score(truth[known] == 1, expected[known]))
    assert per_label["average_precision"].to_numpy() == pytest.approx(precisions, abs=1e-6)
    assert result.metrics[0].name == "mAP"
    assert result.metrics[0].value == pytest.approx(np.mean(precisions), abs=1e-6)
    assert result.metrics[0].clusters == 35
    assert result.metrics[0].value > result.metrics[0].chance + 0.2
    assert table["labels"][0].to_list() == [
        row["label"]
        for row in result.tables["per_label"].iter_rows(named=True)
        if states[90, LABELS.index(row["label"])] == 1
    ]


@pytest.mark.parametrize(
    "readout", ["vote", "posterior", "lda", "logistic", "calm", "knn", "ridge", "mahalanobis"]
)
def test_one_product_a_head_gives_each_labels_own_margin(many, readout):
    store, _, _ = many
    selection = savs.select(store, heads=3, readout=readout)
    heads = selection.heads
    features = store.features("test", heads)
    widths = {head: 4 if head[0] else 6 for head in heads}
    margins = LabelLogits(selection, widths).of(features)
    for task, found in zip(selection.tasks, margins, strict=True):
        width = max(4 if layer else 6 for layer, _ in task.heads)
        soft = task.fitted.scores(features[[heads.index(h) for h in task.heads], :, :width]).soft
        assert found == pytest.approx(soft[:, 1] - soft[:, 0], abs=3e-5)


def test_heads_of_a_label_are_those_of_its_own_two_classes(many, tmp_path):
    """A store of one label alone, as a task of two classes, chooses the same heads."""
    store, states, features = many
    selection = savs.select(store, heads=3)
    for task in selection.tasks[:3]:
        number = LABELS.index(task.subtask)
        rows = np.flatnonzero(states[:90, number] >= 0)
        assert task.examples == len(rows)
        # the first class is the first of ties, so an absent row comes first
        order = rows[np.argsort(states[rows, number], kind="stable")]
        own = write_store(
            tmp_path / task.subtask,
            identity(grid=store.grid),
            {"train": {n: values[:, order] for n, values in features.items()}},
            {"train": [{"label": str(states[row, number])} for row in order]},
        )
        (alone,) = savs.select(own, heads=3).tasks
        assert alone.heads == task.heads
        assert alone.scores == task.scores


def test_joint_heads_are_the_best_on_average(many):
    store, _, _ = many
    each = savs.select(store, heads="all")
    shares = dict.fromkeys(store.heads, 0.0)
    for task in each.tasks:
        for head, score in zip(task.heads, task.scores, strict=True):
            shares[head] += score / task.examples
    joint = savs.select(store, heads=3, joint_heads=True)
    assert {task.heads for task in joint.tasks} == {joint.tasks[0].heads}
    best = sorted(shares, key=shares.get, reverse=True)[:3]
    assert list(joint.tasks[0].heads) == best
    left_out = savs.evaluate(store, joint, on="folds")
    assert left_out.metrics[0].value > left_out.metrics[0].chance + 0.1


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_first_labels_of_a_selection_are_shown_and_the_others_counted(many, monkeypatch):
    selection = savs.select(many[0], heads=1)
    assert (len(selection_table(selection).frame), selection_table(selection).notes) == (20, ())
    monkeypatch.setattr("savs.pipeline.evaluation.tables.LABELS_SHOWN", 17)
    few = selection_table(selection)
    assert (len(few.frame), few.notes) == (17, ("and 3 other labels; --json lists all",))


@pytest.mark.thorough
def test_suspects_are_labels_that_were_changed(many, tmp_path):
    """Twenty rows get one wrong label each: suspects name most of them, and what is right."""
    store, states, _ = make_many(tmp_path / "right", unknown=0.0, labels=4)
    rng = np.random.default_rng(5)
    texts = store.examples("train")["label"].to_list()
    wrong = {}
    for row in range(0, 90, 6):
        label = LABELS[int(rng.integers(4))]
        is_there = bool(states[row, LABELS.index(label)] == 1)
        wrong[f"train:{row}"] = (
            label,
            texts[row],
            with_label(texts[row], label, is_there=not is_there),
        )
    noisy = savs.label(
        store, {name: msgspec.json.decode(new) for name, (_, _, new) in wrong.items()}
    )
    selection = savs.calibrate(noisy.store, savs.select(noisy.store, heads=4)).selection
    table = suspects(noisy.store, selection)
    found = {row["id"]: row for row in table.iter_rows(named=True)}
    named = [name for name in wrong if name in found and found[name]["subtask"] == wrong[name][0]]
    assert len(named) >= len(wrong) // 2
    for name in named:
        assert found[name]["label"] == wrong[name][2]
        assert found[name]["prediction"] == wrong[name][1]
    assert table["strength"].is_sorted(descending=True)
    out = run("select", noisy.store.path, "--suspects", "--out", tmp_path / "out")
    assert "strength (%)" in out
    # the file corrects the store: predictions become labels
    corrected = table.unique("id", maintain_order=True).select("id", label="prediction")
    assert savs.label(noisy.store, corrected).changes.height == corrected.height


def logits(shares):
    shares = np.asarray(shares, np.float64)
    return np.log(shares) - np.log1p(-shares)


def test_suspects_of_a_label_are_those_that_are_known_and_wrongly_predicted(many):
    store, _, _ = many
    selection = savs.calibrate(store, savs.select(store, heads=3)).selection
    unruled, silent, *others = selection.tasks
    never = replace(silent, decision=replace(silent.decision, threshold=NEVER))
    selection = replace(selection, tasks=(replace(unruled, decision=None), never, *others))
    table = savs.evaluate(store, selection).predictions
    parts = [*selection.target.contradicted(selection, table)]
    found = {part["subtask"][0]: part for part in parts if part.height}
    assert not found.keys() & {unruled.subtask, silent.subtask}
    shares = np.array(table["probabilities"].to_list())
    rows = table.select("id", "labels", "unknown", "predicted", "label").to_dicts()
    for number, task in enumerate(others, start=2):
        name = task.subtask
        margins = np.abs(logits(shares[:, number]) - logits(task.decision.threshold))
        is_known = np.array([name not in row["unknown"] for row in rows])
        is_wrong = np.array([(name in row["labels"]) != (name in row["predicted"]) for row in rows])
        wrong = np.flatnonzero(is_wrong & is_known)
        right = margins[~is_wrong & is_known]
        part = found[name]
        assert part["id"].to_list() == [rows[row]["id"] for row in wrong]
        assert part["margin"].to_list() == pytest.approx(margins[wrong], abs=1e-4)
        assert part["strength"].to_list() == pytest.approx(
            [(right <= margins[row]).mean() for row in wrong]
        )
        for row, changed in zip(wrong, part["prediction"], strict=True):
            text, is_there = rows[row]["label"], name in rows[row]["predicted"]
            assert changed == with_label(text, name, is_there=is_there)


@pytest.mark.parametrize("precision", [None, 0.6])
def test_a_fold_is_judged_by_the_rules_of_the_others_and_a_new_example_by_those_of_all(
    many, precision
):
    """Each label by hand; the slope of all is for margins as large as those of the whole fit."""
    store, _, _ = many
    selection = savs.select(store, heads=2, readout="lda", precision=precision)
    parts = leave_out(store, selection, 3, for_calibration=True)
    table = selection.target.left_out(selection, store.examples("train"), parts)
    found, called = (np.array(table[name].to_list()) for name in (LOGITS, CALLED))
    values = [
        store.features("train", task.heads)[:, part.task.rows]
        for task, part in zip(selection.tasks, parts, strict=True)
    ]
    decisions = selection.target.decide(selection, parts, lambda: values, 90)
    for number, (part, decision) in enumerate(zip(parts, decisions, strict=True)):
        margins = part.scores.soft[:, 1] - part.scores.soft[:, 0]
        states = part.labels.astype(np.int8)
        for fold in range(3):
            kept, out = part.fold != fold, part.fold == fold
            (rule,) = fit_rules(margins[None, kept], states[None, kept], precision)
            expected = rule.slope * margins[out] + rule.intercept
            assert found[part.rows[out], number] == pytest.approx(expected, abs=1e-4)
            clear = np.abs(expected - rule.least_logit) > 1e-3
            said = called[part.rows[out], number] == 1
            assert (said == (expected >= rule.least_logit))[clear].all()
        (rule,) = fit_rules(margins[None], states[None], precision)
        seen = selection.tasks[number].fitted.scores(values[number])
        whole, folds = (np.abs(s.soft[:, 1] - s.soft[:, 0]).mean() for s in (seen, part.seen))
        assert decision.slope == pytest.approx(rule.slope * folds / whole, rel=1e-3)
        assert decision.threshold == pytest.approx(rule.threshold)


def test_folds_choose_everything_anew_and_share_examples(many):
    store, _, _ = many
    selection = savs.calibrate(store, savs.select(store, heads=3)).selection
    result = savs.evaluate(store, selection, on="folds", folds=3)
    assert result.examples == 90
    assert "estimated by 3-fold cross-validation: " in result.notes[0]
    assert result.metrics[0].value > result.metrics[0].chance + 0.1


@pytest.mark.thorough
def test_labels_that_are_noise_are_at_chance_in_folds(tmp_path):
    """Thresholds are fitted without the fold that they decide: F1 is not too good."""
    gaps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        folder = tmp_path / str(seed)
        texts = [text_of(np.pad((rng.random(4) < 0.3).astype(int), (0, 16))) for _ in range(80)]
        train, test = noise(rng, 80, 2)
        store = make_store(folder, train, texts, test, texts[:2], options=MANY)
        selection = savs.select(store, heads=2)
        metrics = savs.evaluate(store, selection, on="folds").metrics
        gaps.append([metric.value - metric.chance for metric in metrics])
    error = np.std(gaps, axis=0, ddof=1) / np.sqrt(len(gaps))
    assert (np.abs(np.mean(gaps, axis=0)) < 3 * error + 0.03).all(), gaps


def noise(rng, train, test):
    return rng.normal(size=(3, train, 5)).astype("f4"), rng.normal(size=(3, test, 5)).astype("f4")


def test_rare_labels_get_no_threshold_and_a_note(tmp_path):
    rng = np.random.default_rng(0)
    texts = ['["a"]', '["a"]', "[]", '["b"]', "[]", "[]", '["a"]', "[]"]
    rows = [{"label": text} for text in texts]
    values = rng.normal(size=(2, 8, 4)).astype("f4")
    store = write_store(
        tmp_path / "rare",
        identity(grid=(LayerGrid(0, (0, 1), 4),), options=MANY),
        {"train": {0: values}, "test": {0: values}},
        {"train": rows, "test": [*rows[:6], {"label": '["c"]'}, {"label": '["a","c"]'}]},
    )
    assert 0 < choose_readout_by_folds(store).accuracies["vote"] <= 1  # of the label left out, a
    selection = savs.calibrate(store, savs.select(store)).selection
    assert [task.decision is None for task in selection.tasks] == [False, True]
    assert "but for 1 labels with too few examples" in selection.target.limits(selection, str)[1]
    result = savs.evaluate(store, selection)
    assert any(
        "too few independent examples to fit a threshold for 1 label ('b')" in note
        for note in result.notes
    )
    (unseen,) = (note for note in result.notes if "not in the training examples" in note)
    assert unseen.startswith("label 'c' of 2 examples is not in the training")
    assert result.tables["per_label"]["threshold"][1] == PLAIN.threshold
    exact = next(units for units in result.units if units.name == "exact match")
    assert exact.scores["score"][6:].to_list() == [0, 0]
    strict = savs.calibrate(store, savs.select(store, precision=0.999)).selection
    assert len(strict.target.notes(strict)) == 1
    first = strict.tasks[0]
    unreached = replace(first, decision=replace(first.decision, threshold=NEVER))
    strict = replace(strict, tasks=(unreached, strict.tasks[1]))
    assert "('a') has the precision 0.999 on left-out" in strict.target.notes(strict)[1]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (['["a"]', '["a"]'], "label 'a' is there in all 2 training examples"),
        (['["a"]', '{"a":null}', "[]", '{"b":null}'], "label 'b' is absent in all 3"),
        (["[]", "[]"], "no training example has a label"),
    ],
)
def test_a_label_without_both_sides_is_named(tmp_path, texts, message):
    values = np.ones((1, len(texts), 2), np.float32)
    store = write_store(
        tmp_path / "odd",
        identity(grid=(LayerGrid(0, (0,), 2),), options=MANY),
        {"train": {0: values}},
        {"train": [{"label": text} for text in texts]},
    )
    with pytest.raises(SelectionError, match=message):
        savs.select(store)


def test_what_is_for_one_label_is_refused(many, tmp_path):
    store, _, _ = many
    selection = savs.select(store, heads=2)
    with pytest.raises(ParameterError, match=r"above 0, and at most 0.5 of many labels"):
        savs.evaluate(store, savs.calibrate(store, selection).selection, risk=0.6)
    with pytest.raises(SelectionError, match="the model's own answer does not work; use a readout"):
        savs.evaluate(store, "zero-shot")
    with pytest.raises(SelectionError, match="compares images with names of classes"):
        savs.select(store, readout="clip")
    one = make_store(
        tmp_path / "one",
        np.ones((1, 2, 2), np.float32),
        ["a", "b"],
        np.ones((1, 2, 2), np.float32),
        ["a", "b"],
    )
    for name in ("joint_heads", "precision"):
        with pytest.raises(ParameterError, match=f"`{name}` is for examples with many labels"):
            savs.select(one, **{name: 0.5})
    with pytest.raises(ParameterError, match=r"`precision` is 1\.5"):
        savs.select(store, precision=1.5)
    with pytest.raises(ParameterError, match="omit one"):
        savs.select(store, heads="L0.H1", joint_heads=True)
    mixed = replace(savs.select(one, heads=1), source=selection.source)
    with pytest.raises(SelectionError, match="labels: one label in the selection, many labels"):
        savs.evaluate(store, mixed)
    with pytest.raises(SelectionError, match="no readout is called"):
        savs.evaluate(store, store.path)


@pytest.fixture(scope="module")
def suggested(many):
    """The store with a selection and what it predicts of the test examples."""
    store, *_ = many
    selection = savs.calibrate(store, savs.select(store, heads=4)).selection
    return store, selection, savs.evaluate(store, selection)


def test_the_examples_are_suggested_whose_least_sure_label_is_least_sure(suggested):
    store, selection, evaluation = suggested
    distances = {}
    for row in evaluation.predictions.iter_rows(named=True):
        thresholds = evaluation.tables["per_label"]["threshold"]
        apart = [
            abs(logits(p) - logits(t))
            for p, t in zip(row["probabilities"], thresholds, strict=True)
        ]
        distances[row["id"]] = min(apart)
    found = savs.suggest(store, selection, n=3)
    order = sorted(distances, key=lambda name: distances[name])
    assert found.table["id"][0] == order[0]
    assert {*found.table["id"]} <= {*order[:15]}  # the candidates are spread out
    margins = [distances[name] for name in found.table["id"]]
    assert found.table["margin"].to_list() == pytest.approx(margins, abs=1e-3)
    predicted = dict(evaluation.predictions.select("id", "prediction").iter_rows())
    assert found.table["prediction"].to_list() == [predicted[name] for name in found.table["id"]]
    assert found.classes == tuple(evaluation.tables["per_label"]["label"])
    with pytest.raises(SelectionError, match="a subtask does not work; omit it"):
        savs.suggest(store, selection, n=3, subtask="l00")


@pytest.mark.browser
def test_labels_are_marked_on_the_page_and_saved_as_lists(suggested, chrome, tmp_path):
    store, selection, _ = suggested
    found = savs.suggest(store, selection, n=3)
    write_suggestions(store, found, out=tmp_path / "next.html")
    tab = chrome.tab()
    tab.open(tmp_path / "next.html", width=390)
    assert tab.run("document.documentElement.scrollWidth") <= 390
    card = "document.querySelectorAll('article')[{}]"
    tab.run(f"{card.format(0)}.querySelectorAll('.marks input')[1].click()")
    tab.run(f"{card.format(1)}.querySelectorAll('.agree')[1].click()")
    tab.run(f"{card.format(2)}.querySelectorAll('.agree')[0].click()")
    values = tab.run("[...document.querySelectorAll('.label-of')].map(one => one.value)")
    assert [json.loads(one) for one in values] == [
        [found.classes[1]],
        json.loads(found.table["prediction"][1]),
        [],
    ]
    kept = "document.getElementById('count').textContent == '3 of 3 labelled'"
    tab.open_with(tmp_path / "next.html", kept)  # the page keeps them
    marked = tab.run(f"{card.format(1)}.querySelectorAll('.marks input:checked').length")
    assert marked == len(json.loads(values[1]))
    assert not tab.complaints
    named = dict(zip(found.table["id"], values, strict=True))
    labelled = savs.label(store, {name: json.loads(text) for name, text in named.items()})
    assert {*savs.open_store(store.path).examples("train")["id"]} >= {*named}
    savs.label(labelled.store, dict.fromkeys(named))


def test_a_split_that_was_skipped_whole_is_measured_as_missed(tmp_path):
    store, *_ = make_many(tmp_path / "skipped", test=4, skipped={"test": range(4)})
    result = savs.evaluate(store, savs.select(store, heads=2))
    assert result.skipped == 4
    assert result.predictions["prediction"].null_count() == 4
    assert result.predictions["probabilities"].null_count() == 4
    assert not result.predictions["correct"].any()
    assert {m.name: m.value for m in result.metrics}["exact match"] == 0


def test_probabilities_and_pairs_are_counted_where_they_are_known(tmp_path):
    """A skipped example has no probability, and an unknown label is in no pair."""
    store, states, _ = make_many(tmp_path / "some", skipped={"test": [0]})
    plain = savs.select(store, heads=2)
    result = savs.evaluate(store, savs.calibrate(store, plain).selection)
    (trusted,) = result.confidence
    assert trusted.examples == (states[91:] >= 0).sum()
    assert trusted.temperatures == {}  # calibrated by other numbers
    assert savs.evaluate(store, plain).confidence[0].temperatures is None
    rows = result.predictions.drop_nulls("prediction").to_dicts()
    everything = result.predictions.to_dicts()
    assert result.tables["pairs"].height == PAIRS_KEPT
    for pair in result.tables["pairs"].iter_rows(named=True):
        both = {pair["label"], pair["other"]}
        assert pair["n"] == sum(both <= {*row["labels"]} for row in everything)
        said = [row for row in rows if both <= {*row["predicted"]}]
        assert pair["predicted"] == sum(not both & {*row["unknown"]} for row in said)
    assert result.tables["pairs"]["n"].is_sorted(descending=True)
    found = result.target.estimates({}, result.tables, plain.tasks)
    for row in result.tables["per_label"].iter_rows(named=True):
        metric = found[row["label"]]
        assert (metric.value, metric.units) == (row["average_precision"], row["n"])


def test_intervals_of_labels_are_wider_where_fits_share_examples(many):
    """Of the same predictions, by the variance of the folds' means in that of independent ones."""
    store, _, _ = many
    selection = savs.calibrate(store, savs.select(store, heads=2)).selection
    parts = leave_out(store, selection, 3)
    examples = store.examples("train")
    table = selection.target.left_out(selection, examples, parts)
    table = table.with_columns(cluster=examples["group"]).lazy()
    widths = []
    for inflation in (1, 4):
        how = Measuring(metrics=lambda *_: [], inflation=inflation)
        row = selection.target.measure(table, selection, {}, how).tables["per_label"][0]
        widths.append((row["average_precision"] - row["low"]).item())
    assert widths[1] > 1.3 * widths[0]


def test_a_skipped_example_without_labels_is_not_right(tmp_path):
    train = ['["a"]', "[]", '["a"]', "[]"]
    values = np.float32([[[1, 0], [0, 1]] * 2])
    store = write_store(
        tmp_path / "s",
        identity(grid=(LayerGrid(0, (0,), 2),), options=MANY),
        {"train": {0: values}, "test": {0: values}},
        {
            "train": [{"label": text} for text in train],
            "test": [{"label": text} for text in ("[]", "[]", '{"a":null}', "[]")],
        },
        skipped={"test": [1]},
    )
    result = savs.evaluate(store, savs.select(store, heads=1))
    # the direction of the first and the third one is that of label a, which the first one lacks
    assert result.predictions["correct"].to_list() == [False, False, True, True]
    assert result.predictions["prediction"].to_list() == ['["a"]', None, '["a"]', "[]"]


def test_sets_have_each_label_from_the_logit_that_its_left_out_examples_say(many):
    store, _, _ = many
    selection = savs.calibrate(store, savs.select(store, heads=3)).selection
    plain = savs.evaluate(store, selection)
    found = savs.evaluate(store, selection, risk=0.2)
    assert found.predictions.drop("prediction_set").equals(plain.predictions.drop("prediction_set"))
    assert plain.predictions["prediction_set"].null_count() == len(plain.predictions)
    names = [task.subtask for task in selection.tasks]
    (run,) = selection.runs()
    said = selection.target.said(run, run.score(store.features("test", list(run.heads))))
    assert [set(one.inside(0.2)) for one in said] == [
        set(kept) for kept in found.predictions["prediction_set"]
    ]
    missed, true, sizes = 0, 0, []
    for row in found.predictions.iter_rows(named=True):
        expected = [
            name
            for name, logit, task in zip(
                names, logits(row["probabilities"]), selection.tasks, strict=True
            )
            if logit >= task.decision.kept[19] - 1e-4
        ]
        assert set(row["prediction_set"]) == set(expected)
        sizes.append(len(expected))
        missed += sum(name not in expected for name in row["labels"])
        true += len(row["labels"])
    report = found.confidence[0].risk
    assert report.outside.value == pytest.approx(missed / true)
    assert report.outside.value < 0.25
    assert report.classes == pytest.approx(np.mean(sizes))
    assert (report.answered, report.wrong) == (None, None)
    table = confidence_tables(found.confidence[0].to_json())[-1].text()
    assert "true labels outside the prediction set" in table
    (first, *_) = confidence_tables(found.confidence[0].to_json())
    assert "pairs; probabilities are calibrated" in first.notes[0]
    assert any("of all pairs of an example and a label" in line for line in first.details)
    assert "answered" not in table


def test_a_label_that_few_examples_have_is_in_each_set_and_named(tmp_path):
    store, _, _ = make_many(tmp_path / "few", labels=3, train=40, unknown=0)
    selection = savs.calibrate(store, savs.select(store, heads=2)).selection
    found = savs.evaluate(store, selection, risk=0.01)
    assert all(len(names) == 3 for names in found.predictions["prediction_set"])
    assert any("too few left-out training examples have" in note for note in found.notes)
    assert found.confidence[0].risk.outside.value == 0


@pytest.mark.parametrize("count", [9, 30, 99])
def test_levels_of_sets_leave_out_the_share_that_is_asked_for(count):
    rng = np.random.default_rng(count)
    draws = rng.normal(size=(4000, count + 1))
    for risk in (5, 10, 33):
        least = np.array([kept_levels(row[:-1])[risk - 1] for row in draws[:1500]])
        missed = (draws[:1500, -1] < least).mean()
        expected = (count + 1) * risk // 100 / (count + 1)
        assert missed == pytest.approx(expected, abs=4 * (risk / 100 / 1500) ** 0.5)
        assert expected <= risk / 100


def test_an_example_is_about_a_wrong_label_also_where_that_is_never_predicted(tmp_path):
    store, _, _ = make_many(tmp_path / "never", labels=3, unknown=0)
    selection = savs.calibrate(store, savs.select(store, heads=2)).selection
    rules = [replace(task.decision, threshold=NEVER) for task in selection.tasks[1:]]
    tasks = [replace(t, decision=r) for t, r in zip(selection.tasks[1:], rules, strict=True)]
    silent = replace(selection, tasks=(selection.tasks[0], *tasks))
    result = savs.evaluate(store, silent)
    tables = {name: table.to_dicts() for name, table in result.tables.items()}
    ranked = result.target.ranked(result.predictions, tables)
    wrong = ranked.filter(~pl.col("correct"))
    assert wrong.height > 5
    for row in wrong.iter_rows(named=True):
        assert (row["turn"] in row["labels"]) != (row["turn"] in row["predicted"])
