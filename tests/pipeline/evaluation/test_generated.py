"""Generated texts that are matched with the labels."""

from dataclasses import replace

import numpy as np
import pytest

from savs import evaluate
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.own_answer import generated_texts
from savs.pipeline.extraction.model.answers import as_code_points
from savs.stores import LayerGrid, ResultError, ShardContent, open_store, open_writer
from stores import columns, identity, planned


def store_with_texts(folder, texts, labels, train=("Red fox", "dog"), values=None):
    """Write a one-head store whose test rows have the given generated texts."""
    what = replace(
        identity(grid=(LayerGrid(0, (0,), 2),)), outputs={"generated": {"tokens": 16, "ends": [2]}}
    )
    rows = {"train": list(train), "test": list(labels)}
    with open_writer(folder, what, {s: planned(s, len(own)) for s, own in rows.items()}) as writer:
        for spec in writer.missing():
            own = rows[spec.split]
            kept = as_code_points(texts if spec.split == "test" else [""] * len(own))
            if values is not None:
                kept = np.full((len(own), *values.shape), values)
            writer.write(
                spec,
                ShardContent(
                    {0: np.ones((1, len(own), 2), np.float32)},
                    columns(spec.split, [{"label": label} for label in own]),
                    columns(spec.split, []) | {"reason": []},
                    {},
                    {"generated": kept},
                ),
            )
        writer.seal()
    return open_store(folder)


def test_a_text_is_the_label_that_it_equals_but_for_white_space_and_case(tmp_path):
    texts = [" red  FOX\n", "Dog", "a dog", ""]
    store = store_with_texts(tmp_path, texts, ["Red fox", "Red fox", "dog", "dog"])
    result = evaluate(store, "generated")
    assert result.predictions["prediction"].to_list() == ["Red fox", "dog", "a dog", ""]
    assert result.predictions["correct"].to_list() == [True, False, False, False]
    assert (result.readout, result.metrics[0].value, result.skipped) == ("generated", 0.25, 0)
    assert "2 generated texts are none of the labels; they count as wrong" in result.notes


def test_any_text_comes_back_as_it_was_up_to_its_limit(tmp_path):
    texts = ['Grüße, 猫 \U0001f408 {"a": 1}', "x" * 200, "line\nbreak "]
    store = store_with_texts(tmp_path, texts, ["dog"] * 3)
    found = generated_texts(store, "test").to_list()
    assert found == [texts[0], "x" * 128, texts[2]]


def test_labels_that_no_text_tells_apart_are_refused(tmp_path):
    store = store_with_texts(tmp_path, ["yes"], ["yes"], train=("yes", "Yes "))
    with pytest.raises(
        SelectionError, match="'yes' and 'Yes ' differ in white space or case alone"
    ):
        evaluate(store, "generated")


@pytest.mark.parametrize(
    "values",
    [np.full(128, 0x7FFFFFFF, np.int32), np.zeros(5, np.int32), np.zeros(128, np.float32)],
    ids=["no characters", "width", "type"],
)
def test_what_is_no_text_is_refused(tmp_path, values):
    store = store_with_texts(tmp_path, ["x"], ["dog"], values=values)
    with pytest.raises(ResultError, match="output generated holds no texts"):
        evaluate(store, "generated")


def test_what_the_store_does_not_keep_is_said(tmp_path):
    store = store_with_texts(tmp_path, ["x"], ["dog"])
    with pytest.raises(ResultError, match="no output 'answers'; extract again with --answers lab"):
        evaluate(store, "zero-shot")
    known = "expected a selection or one of zero-shot, zero-shot-mean, icl, generated, captions"
    with pytest.raises(ParameterError, match=known):
        evaluate(store, "vote")
