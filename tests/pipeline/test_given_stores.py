"""Public functions take open stores and selections; a path in their place is refused."""

from collections.abc import Callable
from inspect import isfunction, signature
from typing import Any

import pytest

from savs import pipeline
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.sweep.draws import make_draws

TAKE_A_STORE: dict[str, Callable[[Any], Any]] = {
    "select": pipeline.select,
    "evaluate": pipeline.evaluate,
    "calibrate": lambda store: pipeline.calibrate(store, store),
    "suspects": lambda store: pipeline.suspects(store, store),
    "suggest": lambda store: pipeline.suggest(store, store, 3),
    "generated_texts": lambda store: pipeline.generated_texts(store, "test"),
    "query": lambda store: pipeline.query(store, "SELECT 1"),
    "export": lambda store: pipeline.export(store, "x.parquet", [(0, 0)], ["test"], "parquet"),
    "heads_frame": pipeline.heads_frame,
    "sweep": lambda store: pipeline.sweep({"a": store}),
    "slim": lambda store: pipeline.slim(store, [(0, 0)], "out"),
    "merge": lambda store: pipeline.merge([store], "out"),
    "write_bundle": lambda store: pipeline.write_bundle(store, "c", "out"),
}


def test_each_function_that_takes_stores_is_tried() -> None:
    taking = {
        name
        for name in pipeline.__all__
        if isfunction(function := getattr(pipeline, name))
        and any(
            "FeatureStore" in str(p.annotation) for p in signature(function).parameters.values()
        )
    }
    assert taking == TAKE_A_STORE.keys()


@pytest.mark.parametrize("given", ["features", None], ids=str)
@pytest.mark.parametrize("call", TAKE_A_STORE.values(), ids=TAKE_A_STORE)
def test_a_path_is_no_open_store(call, given) -> None:
    with pytest.raises(ParameterError, match=r"expected an open store; pass open_store\(PATH\)"):
        call(given)


def test_a_path_is_no_selection() -> None:
    with pytest.raises(ParameterError, match=r"expected what select\(\) or load_selection\(PATH\)"):
        pipeline.save_selection("features/results/vote", "out")


def test_a_path_is_no_evaluation() -> None:
    with pytest.raises(ParameterError, match=r"expected what evaluate\(\) returns"):
        pipeline.save_evaluation("features/results/vote", "out")


def test_stores_have_names_and_shots_a_kind() -> None:
    with pytest.raises(ParameterError, match="expected an open store"):
        pipeline.sweep(["features"])
    with pytest.raises(ParameterError, match="shots is 20, expected Shots"):
        pipeline.split("general", "all.jsonl", train="a.jsonl", test="b.jsonl", shots=20)


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(SelectionError, match="seed is -1, expected at least 0"):
        make_draws([], ["all"], draws=1, seed=-1)
