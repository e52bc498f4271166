"""Captions: official scores compare cosines, answers have a threshold from training examples."""

import json
from types import SimpleNamespace

import numpy as np
import oracle as slowly
import pytest

from savs import evaluate, extract, select, sweep
from savs.datasets.benchmarks.naturalbench_retrieval import shown_caption
from savs.datasets.benchmarks.shapes import write_shapes
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.captions import _scores, best_threshold
from savs.pipeline.evaluation.sweep.draws import make_draws
from savs.pipeline.selection.training_data import StoredTraining
from savs.stores.maintain.copy import merge
from savs.stores.maintain.verify import verify


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """Return the shipped dual encoder's store of groups of two images and two captions."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("groups")
    drawn = {"seed": 3, "tasks": ("group-binding",), "train_per_class": 8, "test_units": 16}
    made = write_shapes(root, **drawn)
    files = {"train": made.train, "test": made.test}
    for path in files.values():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for number, row in enumerate(rows):
            row |= {"question_id": row.get("group", number), "image": row["images"][0]}
            row["question"] = row["question"].removesuffix(" Answer with Yes or No.")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"model": "demo-clip", "dtype": "float32", "out": root / "store"}
    return extract("naturalbench-retrieval", **files, **given).store


def cosines(store, split: str) -> list[float]:
    """Return the cosine of each example's image and caption, one by one."""
    texts = dict(
        zip(store.examples("captions")["prompt"], store.features("captions")[0], strict=True)
    )
    return [
        slowly.cosine(image, texts[shown_caption(prompt)["Yes"]])
        for image, prompt in zip(
            store.features(split)[0], store.examples(split)["prompt"], strict=True
        )
    ]


@pytest.mark.thorough
def test_official_scores_and_answers_are_those_of_the_cosines(groups) -> None:
    found = evaluate(groups, "captions")
    assert found.readout == "clip"
    assert found.to_json()["heads"] == 0
    metrics = {metric.name: metric.value for metric in found.metrics}
    s = np.array(cosines(groups, "test")).reshape(-1, 2, 2)  # group, caption, image
    text = (s[:, 0, 0] > s[:, 1, 0]) & (s[:, 1, 1] > s[:, 0, 1])
    image = (s[:, 0, 0] > s[:, 0, 1]) & (s[:, 1, 1] > s[:, 1, 0])
    expected = {"text": text, "image": image, "group": text & image}
    for name, own in expected.items():
        assert metrics[f"{name} score (official)"] == own.mean()
    assert 0 < text.mean() < 1
    train = cosines(groups, "train")
    is_yes = [label == "Yes" for label in groups.examples("train")["label"]]
    limits = [(a + b) / 2 for a, b in zip(sorted(train), sorted(train)[1:], strict=False)]
    right = [sum((v > t) == y for v, y in zip(train, is_yes, strict=True)) for t in limits]
    limit = best_threshold(np.array(train), np.array(is_yes))
    assert sum((v > limit) == y for v, y in zip(train, is_yes, strict=True)) == max(right)
    said = ["Yes" if value > limit else "No" for value in s.ravel()]
    assert found.predictions["prediction"].to_list() == said


def test_captions_of_all_classes_have_the_probabilities_of_the_encoder(inputs, tmp_path) -> None:
    pytest.importorskip("torch")
    rows = [
        {"image": inputs.image(f"{n}.png", 90 * n), "question": "Which? (a) Left (b) Right"}
        | {"label": f"({'ab'[n]})"}
        for n in range(2)
    ]
    path = inputs.rows("test.jsonl", rows)
    given = {"model": "demo-clip", "dtype": "float32", "out": tmp_path / "s"}
    store = extract("mmvp", train=path, test=path, **given).store
    texts = store.examples("captions")["prompt"].to_list()
    units = dict(zip(texts, store.features("captions")[0], strict=True))
    scale = store.manifest.identity.model["logit_scale"]
    found = evaluate(store, "captions").predictions
    for image, votes in zip(store.features("test")[0], found["votes"], strict=True):
        logits = [scale * slowly.cosine(image, units[f"Which? {x}"]) for x in ("Left", "Right")]
        shares = {vote["class"]: vote["score"] for vote in votes}
        assert [shares["(a)"], shares["(b)"]] == pytest.approx(slowly.softmax(logits, 1), abs=1e-4)


def test_thresholds_by_hand() -> None:
    # never between equal values
    assert best_threshold(np.array([1.0, 1.0, 2.0]), np.array([False, True, True])) == 1.5
    assert best_threshold(np.array([3.0, 3.0]), np.array([False, True])) == 3.0
    # two thresholds are right three times of four: the middle of the wider gap is taken
    values, truth = np.array([0.0, 1.0, 5.0, 6.0]), np.array([False, True, False, True])
    assert best_threshold(values, truth) == 0.5
    assert best_threshold(values * [1, 1, 1, 2], truth) == 8.5
    # between values one, two and two of four would be right at most: one answer is right 2, 3, 3
    values = np.float32([0.1, 0.2, 0.3, 0.4])
    for wrong in ([1, 1, 0, 0], [1, 0, 0, 0]):
        assert not (values > best_threshold(values, np.array(wrong, bool))).any()
    assert (values > best_threshold(values, np.array([1, 1, 1, 0], bool))).all()
    assert best_threshold(values[:1], np.array([True])) < values[0]


def test_captions_tell_what_the_image_alone_cannot(groups) -> None:
    by_text = {m.name: m.value for m in evaluate(groups, "captions").metrics}
    alone = {m.name: m.value for m in evaluate(groups, select(groups, readout="lda")).metrics}
    assert alone["accuracy"] == 0.5  # each image is in a true and in a false example
    assert by_text["accuracy"] > 0.7
    named = {m.name: m.value for m in evaluate(groups, "clip").metrics}
    assert named == by_text
    for wrong in ({"folds": 3}, {"on": "folds"}, {"risk": 0.1}):
        with pytest.raises(ParameterError, match="captions need no selection; omit `folds` and"):
            evaluate(groups, "clip", **wrong)


NAN = np.nan


@pytest.mark.parametrize(
    ("of_training", "of_test"),
    [([NAN, NAN], [NAN, NAN]), ([1, NAN, NAN], [1, NAN, NAN]), ([1, NAN], [NAN, NAN])],
    ids=["no class", "of three", "not in the test split"],
)
def test_captions_of_some_other_classes_are_refused(of_training, of_test) -> None:
    task = SimpleNamespace(subtask="t", classes=tuple(range(len(of_training))))
    cosines = (np.array([row] * 2, np.float32) for row in (of_test, of_training))
    with pytest.raises(SelectionError, match=r"subtask 't' has captions of \d of its \d classes"):
        _scores(*cosines, task, 1.0)


def test_a_sweep_learns_the_threshold_from_each_draw(groups) -> None:
    """With all examples it is `evaluate` by captions; with few, the threshold of these few."""
    found = sweep(groups, readouts=["clip", "lda"], shots=[2, "all"], draws=3)
    values = found.values.filter(readout="clip", metric="accuracy").sort("shots", "draw")
    own = {metric.name: metric.value for metric in evaluate(groups, "captions").metrics}
    tasks = StoredTraining(groups).tasks()
    train, test = np.array(cosines(groups, "train")), np.array(cosines(groups, "test"))
    is_yes = groups.examples("test")["label"].to_numpy() == "Yes"
    expected = []
    for draw in make_draws(tasks, [2], 3, seed=0):
        rows = draw.task.rows
        limit = best_threshold(train[rows], draw.task.labels == draw.task.classes.index("Yes"))
        expected.append(((test > limit) == is_yes).mean())
    assert len(set(expected)) > 1
    assert values["value"].to_list() == [*expected, own["accuracy"]]
    assert values["heads"].unique().to_list() == [0]


@pytest.mark.thorough
def test_a_store_without_captions_is_refused(scenes, tmp_path, tiny_model) -> None:
    files = {"train": scenes.train, "test": scenes.test}
    store = extract("general", **files, model=str(tiny_model("clip")), out=tmp_path / "s").store
    with pytest.raises(SelectionError, match="has no captions; extract a benchmark of captions"):
        evaluate(store, "captions")


@pytest.mark.thorough
def test_merged_stores_have_each_caption_once_and_the_scores_of_the_whole(groups, tmp_path) -> None:
    root = groups.path.parent
    rows = (root / "test.jsonl").read_text().splitlines(keepends=True)
    given = {"train": root / "train.jsonl", "model": "demo-clip", "dtype": "float32"}
    parts = []
    for name, own in (("a", rows[: len(rows) // 2]), ("b", rows[len(rows) // 2 :])):
        test = root / f"{name}.jsonl"
        test.write_text("".join(own))
        where = {"test": test, "out": tmp_path / name}
        parts.append(extract("naturalbench-retrieval", **given, **where).store)
    merged = merge(parts, tmp_path / "merged")
    assert verify(merged.path).problems == ()
    captions = merged.examples("captions")["prompt"].to_list()
    assert sorted(captions) == sorted(groups.examples("captions")["prompt"])
    assert sum(part.examples("captions").height for part in parts) > len(captions)
    expected = {metric.name: metric.value for metric in evaluate(groups, "captions").metrics}
    values = {metric.name: metric.value for metric in evaluate(merged, "captions").metrics}
    assert values == pytest.approx(expected)
    again = {"test": root / "a.jsonl", "out": merged.path, "append": True}
    assert extract("naturalbench-retrieval", **given, **again).rows == 0
