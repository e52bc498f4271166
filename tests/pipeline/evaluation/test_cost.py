"""The forwards and seconds of a result, counted by hand."""

import numpy as np
import pytest
from text_stores import draw_text_store, make_text_store

from savs import evaluate, extract, select
from savs.pipeline.evaluation.cost import answers_cost
from savs.pipeline.selection.training_data import count_texts
from stores import make_store

CLASSES = {"x": ["a", "b"], "y": ["c", "d", "e"]}


def forwards(store, readout, **options):
    return evaluate(store, select(store, readout=readout, **options)).cost["forwards"]


@pytest.mark.thorough
def test_a_readout_costs_what_it_is_fitted_on_and_compared_with(tmp_path):
    # 4 + 3 + 5 training and 40 test examples, a name and two texts of each of three classes
    store = draw_text_store(tmp_path / "s", 1, heads=3)
    assert forwards(store, "vote", heads=2) == 40 + 12
    assert forwards(store, "hec-vt", heads=2) == 40 + 12 + 6
    assert forwards(store, "hec-t", heads=2) == 40 + 12 + 6  # they choose the heads
    assert forwards(store, "hec-t", heads="all") == 40 + 6
    assert forwards(store, "hec-t", heads=[(0, 1)]) == 40 + 6
    assert forwards(store, "vote", heads=[(0, 1)]) == 40 + 12


def test_of_a_dual_encoder_texts_count_and_training_examples_where_they_are_used(tmp_path):
    store = draw_text_store(tmp_path / "s", 1)
    assert forwards(store, "clip") == 40 + 6
    assert forwards(store, "clip-names") == 40 + 3
    assert forwards(store, "tip-adapter") == 40 + 12 + 6
    assert forwards(store, "logistic") == 40 + 12


def test_texts_of_other_classes_cost_nothing(tmp_path):
    store = draw_text_store(tmp_path / "s", 1)
    counts = [count_texts(store, ["file"], None, names) for names in (["class 0"], ["other"])]
    assert counts == [2, 0]


def test_a_selection_of_another_store_costs_the_examples_that_it_was_fitted_on(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 9, 12)).astype(np.float32)
    small = make_store(tmp_path / "small", values[:, :4], list("abab"), values, list("ababababa"))
    more = make_store(tmp_path / "more", values, list("ababababa"), values[:, :4], list("abab"))
    cost = {"forwards": 4 + 4, "seconds": None, "bytes": 8 * 12 * 4}
    assert evaluate(more, select(small)).cost == cost


def test_without_the_texts_that_were_read_no_cost_is_known(tmp_path):
    """Two stores without training examples; the second one has no texts, either."""
    values = np.random.default_rng(0).normal(size=(1, 4, 6)).astype(np.float32)
    features = {"train": values[:, :0], "test": values, "classes": values[:, :2]}
    labels = {"train": [], "test": list("abab"), "classes": list("ab")}
    texts = make_text_store(tmp_path / "texts", features, labels, ["file"] * 2)
    del features["classes"], labels["classes"]
    plain = make_text_store(tmp_path / "plain", features, labels, [])
    selection = select(texts, readout="clip")
    assert evaluate(texts, selection).cost["forwards"] == 4 + 2
    assert {*evaluate(plain, selection).cost.values()} == {None}


def rows_of(counts):
    return [{"subtask": subtask} for subtask, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("readout", "whole", "expected"),
    [
        ("zero-shot", False, 5),
        ("zero-shot", True, 3 * (1 + 2) + 2 * (1 + 3)),
        ("zero-shot-mean", True, 17),
        ("icl", False, 5 + 2),  # the demonstrations of two subtasks
        ("icl", True, 7),  # they are a cache, whatever the others do
        ("generated", False, 5),
        ("generated", True, None),
    ],
)
def test_answers_cost_the_test_examples_and_what_runs_again(tmp_path, readout, whole, expected):
    train = [{"subtask": name} for name, labels in CLASSES.items() for _ in labels]
    store = make_store(
        *(tmp_path / "s", np.ones((1, 5, 3), np.float32), list("abcde")),
        *(np.ones((1, 6, 3), np.float32), list("abacdx")),
        train_rows=train,
        test_rows=[*rows_of({"x": 3, "y": 2}), {"subtask": "y"}],
        test_skipped=[5],
        batching={"answers": {"name": "whole" if whole else "cached", "seen": ""}},
    )
    assert answers_cost(store, readout, CLASSES)["forwards"] == expected


@pytest.mark.thorough
def test_captions_cost_their_texts_and_the_examples_of_their_threshold(scenes, tmp_path):
    pytest.importorskip("torch")
    files = {"train": scenes.train, "test": scenes.test, "model": "demo-clip"}
    store = extract("shapes", **files, out=tmp_path / "s").store
    captions = store.examples("captions").height
    # `exists` has two classes of 5 training examples and captions, `animal` four classes, each
    # with one text next to its bare name, and training examples that nothing is chosen by
    found = evaluate(store, "captions").cost
    assert found["forwards"] == 20 + 10 + captions + 4
    splits = ("test", "train", "captions", "classes")
    assert found["seconds"] == pytest.approx(sum(map(store.seconds, splits)), abs=1e-3)


def test_captions_of_all_classes_cost_no_training_examples(inputs, tmp_path):
    pytest.importorskip("torch")
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "Which? (a) Left (b) Right"}
        | {"label": f"({'ab'[n]})"}
        for n in range(2)
    ]
    files = {split: inputs.rows(f"{split}.jsonl", rows) for split in ("train", "test")}
    store = extract("mmvp", **files, model="demo-clip", out=tmp_path / "s").store
    # two images, each with "Which? Left" and "Which? Right"
    assert evaluate(store, "captions").cost["forwards"] == 2 + 2


@pytest.mark.thorough
def test_a_run_records_its_own_cost(scenes, tmp_path):
    files = {"train": scenes.train, "test": scenes.test, "model": "demo", "dtype": "float32"}
    store = extract("shapes", **files, out=tmp_path / "s", answers="labels", icl_shots=1).store
    assert evaluate(store, select(store)).cost["forwards"] == 20 + 30
    assert evaluate(store, "zero-shot").cost == {
        "forwards": 20,
        "seconds": round(store.seconds("test"), 3),
        "bytes": 0,
    }
    assert evaluate(store, "icl").cost["forwards"] == 20 + 2
