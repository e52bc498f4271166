"""Public functions take an open store, its folder as a text, and as a path."""

from collections.abc import Callable
from inspect import isfunction, signature
from typing import Any

import numpy as np
import pytest

import savs
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ExportError, SelectionError
from savs.pipeline.evaluation.sweep.draws import make_draws
from stores import make_store

TAKE_A_STORE: dict[str, Callable[[Any], Any]] = {
    "select": lambda store: savs.select(store).heads,
    "evaluate": lambda store: savs.evaluate(store, savs.select(store)).metrics,
    "calibrate": lambda store: savs.calibrate(store, savs.select(store)).selection.tasks[0].heads,
    "suggest": lambda store: savs.suggest(store, savs.select(store), 3).table.to_dicts(),
    "label": lambda store: savs.label(store, {"test:0": "b"}).store.ids("train"),
    "query": lambda store: savs.query(store, "SELECT id FROM examples").to_dicts(),
    "export": lambda store: savs.export(
        store, to="parquet", out="x.parquet", heads=[(0, 0)], split="test"
    ),
    "sweep": lambda store: savs.sweep(store, shots=[2], draws=2).summary.to_dicts(),
    "merge": lambda store: savs.merge([store], "out").heads,
    "write_space": lambda store: _refusal(store),
    "write_bundle": lambda store: savs.write_bundle(store, "results/vote", "bundle").files,
}


def _refusal(store: Any) -> str:
    """Return why a store of no question is no Space."""
    with pytest.raises(ExportError) as refused:
        savs.write_space(store, "results/vote", "space")
    return str(refused.value)


def test_each_function_that_takes_stores_is_tried() -> None:
    taking = {
        name
        for name in savs.__all__
        if isfunction(function := getattr(savs, name))
        and any("Store" in str(p.annotation) for p in signature(function).parameters.values())
    }
    assert taking == TAKE_A_STORE.keys()


@pytest.mark.thorough
@pytest.mark.usefixtures("queries_here")
@pytest.mark.parametrize("call", TAKE_A_STORE.values(), ids=TAKE_A_STORE)
def test_a_folder_is_a_store(call, tmp_path, monkeypatch) -> None:
    features = np.random.default_rng(0).normal(size=(4, 8, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abababab"), features, list("abababab"))
    expected = None
    for number, store in enumerate(
        (savs.open_store(tmp_path / "s"), tmp_path / "s", f"{tmp_path}/s")
    ):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        savs.save_selection(savs.select(tmp_path / "s"), "results/vote")
        found = call(store)
        expected = found if expected is None else expected
        assert found == expected


@pytest.mark.parametrize("call", TAKE_A_STORE.values(), ids=TAKE_A_STORE)
def test_what_is_no_store_is_refused(call) -> None:
    with pytest.raises(ParameterError, match="`store` is 3, expected a feature store"):
        call(3)


def test_a_path_is_no_selection() -> None:
    with pytest.raises(ParameterError, match=r"expected what select\(\) or load_selection\(PATH\)"):
        savs.save_selection("features/results/vote", "out")


def test_a_path_is_no_evaluation() -> None:
    with pytest.raises(ParameterError, match=r"expected what evaluate\(\) returns"):
        savs.save_evaluation("features/results/vote", "out")


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(SelectionError, match="`seed` is -1, expected at least 0"):
        make_draws([], ["all"], draws=1, seed=-1)
