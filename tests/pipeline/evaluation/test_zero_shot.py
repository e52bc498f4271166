from dataclasses import replace

import numpy as np
import pytest

from savs.pipeline import evaluate, select, zero_shot
from savs.pipeline.errors import SelectionError
from savs.stores import LayerGrid, ResultError, ShardContent, open_store, open_writer
from stores import columns, identity, planned


def store_with_answers(folder, tokens, logits, labels, train=None):
    """Write a one-head store whose test rows have the given answer logits."""
    grid = (LayerGrid(0, (0,), 2),)
    what = replace(identity(grid=grid), outputs={"answers": tokens})
    train = train or list(tokens)
    sizes = {"train": len(train), "test": len(labels)}
    plan = {split: planned(split, count) for split, count in sizes.items()}
    with open_writer(folder, what, plan) as writer:
        for spec in writer.missing():
            rows = train if spec.split == "train" else labels
            answers = np.zeros((len(rows), len(tokens)), np.float32)
            if spec.split == "test":
                answers = np.float32(logits)
            writer.write(
                spec,
                ShardContent(
                    {0: np.ones((1, len(rows), 2), np.float32)},
                    columns(spec.split, [{"label": label} for label in rows]),
                    columns(spec.split, []) | {"reason": []},
                    {},
                    {"answers": answers},
                ),
            )
        writer.seal()
    return open_store(folder)


def test_the_likeliest_first_token_is_the_answer_and_ties_go_to_the_first_class(tmp_path):
    logits = [[2, 1, 0], [0, 1, 5], [3, 3, 0], [0, 0, 1]]
    store = store_with_answers(tmp_path, {"a": 7, "b": 9, "c": 4}, logits, list("acbb"))
    result = zero_shot(store)
    assert result.predictions["prediction"].to_list() == ["a", "c", "a", "c"]
    assert result.metrics[0].value == 0.5
    assert result.readout == "zero-shot"
    # softmax of (2, 1, 0): e^2 / (e^2 + e + 1) = .6652, next .2447
    assert result.predictions["margin"][0] == pytest.approx(0.6652 - 0.2447, abs=1e-4)


def test_labels_that_begin_alike_are_refused(tmp_path):
    store = store_with_answers(tmp_path, {"plum": 7, "pear": 7}, [[1, 1]], ["plum"])
    with pytest.raises(SelectionError, match="'plum' and 'pear' begin with the same token"):
        zero_shot(store)


def test_its_predictions_have_the_form_of_any_other(tmp_path):
    store = store_with_answers(tmp_path, {"a": 1, "b": 2}, [[1, 0], [0, 1]], ["a", "a"])
    ours, theirs = zero_shot(store), evaluate(store, select(store, heads=1))
    assert ours.predictions.schema == theirs.predictions.schema
    assert ours.to_json()["heads"] == 0


@pytest.mark.parametrize(
    ("tokens", "logits", "reason"),
    [
        ({"a": 1, "b": 2}, [[1, float("nan")]], "expected a logit, not NaN, of each of 2 labels"),
        ({"a": 1, "b": 2, "d": 3}, [[1, 0, 2]], "output answers has no logit of label 'c'"),
        ({"a": 1, "b": 2, "c": 3}, [[1, 0]], r"is \(1, 2\) float32, expected a logit"),
    ],
    ids=["NaN", "label", "width"],
)
def test_answers_of_another_writer_are_refused_by_name(tmp_path, tokens, logits, reason):
    store = store_with_answers(
        tmp_path, tokens, logits, ["a"], train=["a", "b", "c"][: len(tokens)]
    )
    with pytest.raises(ResultError, match=reason):
        zero_shot(store)
