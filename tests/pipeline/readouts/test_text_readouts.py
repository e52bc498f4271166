"""Readouts that compare images with class texts, against the formulas of their papers, slowly."""

import math

import numpy as np
import oracle as slowly
import polars as pl
import pytest
from text_stores import SCALE, draw_text_store, make_text_store

from savs import calibrate, evaluate, load_selection, save_selection, select, sweep
from savs.pipeline.errors import SelectionError
from savs.pipeline.readouts import TEXT_READOUTS
from savs.pipeline.readouts.hec import HEC_VT_CV
from savs.pipeline.readouts.readout import ClassTexts
from savs.pipeline.selection.head_map import head_stability
from savs.pipeline.selection.left_out import leave_out
from savs.pipeline.selection.selection import choose_heads_like

HEADS = 6


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    """Return the store of a dual encoder."""
    return draw_text_store(tmp_path_factory.mktemp("texts") / "dual", 3)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return the store of a model with several heads that was told its classes."""
    return draw_text_store(tmp_path_factory.mktemp("texts") / "told", 4, heads=HEADS, scale=None)


def by_hand(store, kind="file"):
    """Return classes, training labels, and float64 features by split; texts as class means."""
    train = store.examples("train")["label"].to_list()
    classes = list(dict.fromkeys(train))
    rows = store.examples("classes")
    features = {split: store.features(split).astype(np.float64) for split in ("train", "test")}
    texts = []
    for head in store.features("classes").astype(np.float64):
        own = []
        for name in classes:
            units = [
                slowly.unit(head[i])
                for i, (label, category) in enumerate(
                    zip(rows["label"], rows["category"], strict=True)
                )
                if (label, category) == (name, kind)
            ]
            own.append(slowly.unit(np.mean(units, axis=0)))
        texts.append(own)
    return classes, [classes.index(label) for label in train], features, texts


def votes(store, selection):
    """Return `(n, classes)` scores of the evaluated test examples."""
    classes = selection.only_task().classes
    found = evaluate(store, selection).predictions["votes"]
    return np.array([[{v["class"]: v["score"] for v in row}[c] for c in classes] for row in found])


@pytest.mark.parametrize(("readout", "kind"), [("clip", "file"), ("clip-names", "names")])
def test_clip_is_the_softmax_of_scaled_cosines(dual, readout, kind) -> None:
    _, _, features, texts = by_hand(dual, kind)
    expected = [
        slowly.softmax([SCALE * slowly.cosine(x, t) for t in texts[0]], 1.0)
        for x in features["test"][0]
    ]
    found = votes(dual, select(dual, readout=readout))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("readout", ["clip", "tip-adapter", "lp-plus-plus", "hec-t"])
def test_texts_of_a_file_come_before_those_of_the_benchmark(tmp_path, readout) -> None:
    labels = {"train": ["a", "b"] * 2, "test": ["a", "b"] * 2, "classes": ["a", "b"] * 2}
    features = {split: np.float32([np.eye(2)[[0, 1, 0, 1]]]) for split in labels}
    features["classes"] = np.float32([np.eye(2)[[1, 0, 0, 1]]])  # those of the benchmark are wrong
    stores = {
        name: make_text_store(tmp_path / name, features, labels, [*kinds])
        for name, kinds in {
            "right": ("benchmark", "benchmark", "file", "file"),
            "wrong": ("file", "file", "benchmark", "benchmark"),
        }.items()
    }
    fitted = {name: select(store, readout=readout) for name, store in stores.items()}
    found = {name: votes(stores[name], fitted[name])[:, 0] for name in stores}
    assert (found["right"][::2] > found["wrong"][::2]).all()


def tip(features, labels, texts, classes, alpha, beta):
    """Return Tip-Adapter's logits: s x.T + alpha exp(-beta (1 - x.F)) L."""
    found = []
    for x in features["test"][0]:
        logits = [SCALE * slowly.cosine(x, t) for t in texts[0]]
        for f, y in zip(features["train"][0], labels, strict=True):
            logits[y] += alpha * math.exp(-beta * (1 - slowly.cosine(x, f)))
        found.append(logits)
    return np.array(found)


def test_tip_adapter_adds_the_cache(dual) -> None:
    classes, labels, features, texts = by_hand(dual)
    logits = tip(features, labels, texts, classes, 1.0, 1.0)
    selection = select(dual, readout="tip-adapter")
    found = votes(dual, selection)
    expected = [slowly.softmax(row, 1.0) for row in logits]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    changed = tip(features, labels, texts, classes, 0.0, 1.0).argmax(axis=1) != logits.argmax(
        axis=1
    )
    assert changed.any()  # the cache decides some


def test_tuned_settings_come_from_the_training_examples_alone(tmp_path) -> None:
    # Texts that say nothing: only a heavy cache tells the classes apart.
    rng = np.random.default_rng(1)
    labels = {"train": ["a", "b"] * 6, "test": ["a", "b"] * 20, "classes": ["a", "b"]}
    centres = {"a": rng.normal(size=8), "b": rng.normal(size=8)}
    features = {
        split: np.array([[centres[y] + 0.4 * rng.normal(size=8) for y in own]], np.float32)
        for split, own in labels.items()
    }
    features["classes"] = features["classes"][:, ::-1].copy()  # wrong texts
    store = make_text_store(tmp_path / "s", features, labels, ["file", "file"])
    plain, tuned = (select(store, readout=f"tip-adapter{end}") for end in ("", "-cv"))
    assert plain.only_task().fitted.settings.tolist() == [SCALE, 1, 1]
    assert tuned.only_task().fitted.settings[1] == 30
    found = [evaluate(store, one).metrics[0].value for one in (plain, tuned)]
    assert found[0] < 0.2
    assert found[1] > 0.8


def test_an_example_that_is_left_out_is_not_in_the_cache_that_names_it() -> None:
    # An odd example of the first class lies at 50 degrees to its text, nearer to the other: only
    # a cache that has the example itself puts it right, so no setting is better than the plain one.
    angles = np.deg2rad([0, 0, 0, 0, 50, 90, 90, 90, 90, 90])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)[None]
    texts = ClassTexts(np.eye(2, dtype=np.float32)[None], SCALE)
    tuned = TEXT_READOUTS["tip-adapter-cv"]
    fitted = tuned.fit(features, np.repeat([0, 1], 5), ["a", "b"], [2], texts)
    assert fitted.settings.tolist() == [SCALE, 1, 1]


@pytest.mark.parametrize("beta", [1.0, 20.0])
def test_classes_of_equal_texts_and_examples_go_to_the_first_in_tip_adapter(beta) -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(9, 64)).astype(np.float32)
    examples = texts[np.arange(90) % 9] + 0.3 * rng.normal(size=(90, 64)).astype(np.float32)
    texts[8], examples[8::9] = texts[1], examples[1::9]  # class 8 is class 1
    fitted = TEXT_READOUTS["tip-adapter"].load(
        directions=slowly.unit(texts)[None].astype(np.float32),
        cache=slowly.unit(examples)[None].astype(np.float32),
        labels=np.arange(90) % 9,
        settings=np.float32([100, 30, beta]),
    )
    for queries in (1, 20, 500):
        near = (texts[1] + 0.3 * rng.normal(size=(1, queries, 64))).astype(np.float32)
        found = fitted.scores(near)
        assert (found.choice != 8).all()
        assert (found.choice == 1).mean() > 0.9


@pytest.mark.thorough
def test_all_but_the_tuned_cache_are_calibrated(dual) -> None:
    for readout in TEXT_READOUTS:
        (task,) = calibrate(dual, select(dual, readout=readout)).selection.tasks
        assert (task.decision is None) == (readout == "tip-adapter-cv")


def hec_t(features, texts):
    """Return `(heads, n, classes)`: softmax of -|x - t|^2 / 2."""
    return np.array(
        [
            [
                slowly.softmax([-(math.dist(slowly.unit(x), t) ** 2) / 2 for t in own], 1.0)
                for x in head
            ]
            for head, own in zip(features, texts, strict=True)
        ]
    )


def test_hec_t_ranks_heads_and_averages_their_probabilities(told) -> None:
    _, labels, features, texts = by_hand(told)
    on_train = hec_t(features["train"], texts)[:, np.arange(len(labels)), labels]
    order = np.argsort(-on_train.mean(axis=1), kind="stable")[:3]
    selection = select(told, heads=3, readout="hec-t")
    assert [head for _, head in selection.only_task().heads] == order.tolist()
    scores = selection.only_task().scores
    np.testing.assert_allclose(scores, on_train.sum(axis=1)[order], atol=1e-5)
    expected = hec_t(features["test"], texts)[order].mean(axis=0)
    np.testing.assert_allclose(votes(told, selection), expected, atol=1e-6)


def hec_vt(features, labels, classes, texts, heads):
    """Return both sets of heads, and HEC-VT's probabilities of the test examples with them."""
    rows = np.arange(len(labels))
    by_text = hec_t(features["train"], texts)[:, rows, labels].sum(axis=1)
    by_vision = [slowly.lda_head_score(x, labels, classes, None)[0] for x in features["train"]]
    sets = [np.argsort(-np.array(s), kind="stable")[:heads] for s in (by_text, by_vision)]
    train, test = features["train"][sets[1]], features["test"][sets[1]]
    of_text = hec_t(features["test"], texts)[sets[0]].mean(axis=0)
    of_vision = slowly.lda(train, labels, classes, test, [12] * heads)
    return sets, (of_text + of_vision) / 2


def test_hec_vt_adds_the_discriminant_each_on_its_own_heads(told, tmp_path) -> None:
    classes, labels, features, texts = by_hand(told)
    sets, expected = hec_vt(features, labels, len(classes), texts, 2)
    selection = select(told, heads=2, readout="hec-vt")
    task = selection.only_task()
    chosen = [head for _, head in task.heads]
    assert sorted(chosen) == sorted({*sets[0], *sets[1]})
    assert len(chosen) == 3  # the sets share one
    assert list(task.scores) == sorted(task.scores, reverse=True)
    np.testing.assert_allclose(votes(told, selection), expected, atol=1e-4)
    for part, own in enumerate(sets):
        assert [h for h, w in zip(chosen, task.fitted.weights[part::2, 0], strict=True) if w] == [
            h for h in chosen if h in own
        ]
    loaded = load_selection(save_selection(selection, tmp_path))
    assert loaded.heads_each == 2
    assert choose_heads_like(told, loaded).to_json() == selection.to_json()
    # each half of the examples chooses two sets of one
    alone = select(told, heads=1, readout="hec-vt")
    assert 1 <= head_stability(told, alone, draws=6).heads["share"].sum() <= 2
    tuned = select(told, heads=2, readout="hec-vt-cv").only_task().fitted.weights
    assert (tuned[::2] == task.fitted.weights[::2]).all()
    assert {*np.unique(tuned[1::2])} < {0, 0.25, 0.5, 1, 2, 4}
    assert ((tuned == 0) == (task.fitted.weights == 0)).all()


def test_texts_of_other_classes_give_the_discriminants_the_greatest_weight() -> None:
    labels, centres = np.repeat(np.arange(3), 8), np.eye(3, dtype=np.float32)
    noise = 0.3 * np.random.default_rng(0).normal(size=(24, 3))
    features = (centres[labels] + noise).astype(np.float32)[None]
    texts = ClassTexts(np.roll(centres, 1, axis=0)[None], None)
    fitted = HEC_VT_CV.fit(features, labels, [*"abc"], [3], texts)
    assert fitted.weights[:, 0].tolist() == [1, 4]  # of the texts, and of the discriminants


@pytest.mark.parametrize(("heads", "count"), [("all", 6), (6, 6), ([(0, 4), (0, 1)], 2)])
def test_one_set_of_heads_serves_both_parts_where_nothing_is_chosen(told, heads, count) -> None:
    task = select(told, readout="hec-vt", heads=heads).only_task()
    assert len(task.heads) == count
    assert (task.fitted.weights == 1).all()
    assert "heads_each" not in select(told, readout="lda", heads=heads).to_json()


def test_each_fold_and_each_draw_has_two_sets_of_heads_too(told) -> None:
    classes, labels, features, texts = by_hand(told)
    selection = select(told, heads=2, readout="hec-vt")
    accuracy = evaluate(told, selection).metrics[0].value
    found = sweep(told, heads=[2, 3], shots=["all"], draws=1, readouts=["hec-vt"]).values
    whole = found.filter(pl.col("metric") == "accuracy").sort("heads")
    assert whole["value"][0] == pytest.approx(accuracy)
    numbers = np.array(labels)
    left = leave_out(told, selection, "loo")[0]
    for row, scores in zip(left.order[:4], left.scores.scores[:4], strict=True):
        kept = np.arange(len(labels)) != left.task.rows[row]
        part = {"train": features["train"][:, kept], "test": features["train"][:, ~kept]}
        _, expected = hec_vt(part, numbers[kept].tolist(), len(classes), texts, 2)
        np.testing.assert_allclose(scores, expected[0], atol=1e-4)


@pytest.mark.parametrize("readout", TEXT_READOUTS)
def test_a_saved_fit_comes_back_and_is_cross_validated_and_swept(dual, tmp_path, readout) -> None:
    ours = select(dual, readout=readout)
    theirs = load_selection(save_selection(ours, tmp_path))
    for name in TEXT_READOUTS[readout].arrays:
        saved, loaded = (getattr(s.only_task().fitted, name) for s in (ours, theirs))
        np.testing.assert_array_equal(loaded, saved, strict=True)
    assert evaluate(dual, ours, on="folds").predictions["prediction"].null_count() == 0
    found = sweep(dual, heads=[1], shots=[2], draws=1, readouts=[readout]).values
    assert found["readout"].unique().to_list() == [readout]


@pytest.mark.thorough
def test_on_noise_no_text_readout_beats_chance(tmp_path) -> None:
    tests = 600
    for heads, names in ((1, TEXT_READOUTS), (40, ("hec-t", "hec-vt", "hec-vt-cv"))):
        store = draw_text_store(
            tmp_path / f"noise {heads}", 9, heads=heads, counts=(10, 10), tests=tests, strength=0
        )
        for name in names:
            value = evaluate(store, select(store, readout=name)).metrics[0].value
            assert abs(value - 0.5) <= 4 * math.sqrt(0.25 / tests), name


@pytest.mark.parametrize("readout", ["clip", "tip-adapter", "lp-plus-plus"])
def test_a_language_models_store_is_refused(told, readout) -> None:
    with pytest.raises(SelectionError, match=f"'{readout}' needs the store of a dual encoder"):
        select(told, readout=readout)


def test_a_store_without_texts_or_of_another_kind_is_refused(told, tmp_path) -> None:
    one = {split: told.features(split)[:1] for split in ("train", "test", "classes")}
    labels = {split: told.examples(split)["label"].to_list() for split in one}
    store = make_text_store(tmp_path / "s", one, labels, ["file"] * 9)
    with pytest.raises(SelectionError, match=r"of the kind that this readout needs \(names\)"):
        select(store, readout="clip-names")
    del one["classes"], labels["classes"]
    bare = make_text_store(tmp_path / "bare", one, labels, [])
    with pytest.raises(SelectionError, match=r"no texts of the classes.*--classes labels"):
        select(bare, readout="hec-t")
    one["classes"], labels["classes"] = told.features("classes")[:1, :1], ["class 0"]
    part = make_text_store(tmp_path / "part", one, labels, ["file"])
    with pytest.raises(SelectionError, match="has no text of class"):
        select(part, readout="hec-t")
