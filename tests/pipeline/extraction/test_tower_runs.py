"""Whole runs whose vision tower runs in runs: the features of the loop, recorded and continued."""

import numpy as np
import pytest
from settled_ways import ways_tried_each_time as ways_tried_each_time

from savs.foundation.errors import ParameterError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.tower_attention import RUNS
from savs.pipeline.running.progress import Reporting

pytestmark = pytest.mark.thorough


def every_feature(store):
    return np.concatenate([store.features(split) for split in ("train", "test")], axis=1)


def settings(store):
    batching = store.manifest.batching
    tower = batching["tower"]
    return batching["tower_attention"], tower["name"], tower["seen"]


def test_runs_keep_every_feature_and_a_store_goes_on_as_it_was_begun(run, tmp_path):
    options = {"family": "qwen2_5_vl", "dtype": "float32", "shard_rows": 2}
    loop = run("loop", **options).store
    assert settings(loop) == ("auto", "loop", "on a CPU it saves no time")
    said = []
    options["reporting"] = Reporting(said.append, detail=said.append)
    runs = run("runs", **options, tower_attention="runs").store
    assert settings(runs) == ("runs", "runs", "features keep every bit")
    assert (
        "in the vision tower images or windows of one size attend in one call: features keep every"
        " bit" in said
    )
    np.testing.assert_array_equal(every_feature(loop), every_feature(runs), strict=True)
    assert loop.manifest.batching["host_inputs"]["name"] == "computed"
    assert runs.manifest.batching["host_inputs"]["name"] == "given"

    kept = every_feature(runs)
    for store in ("loop", "runs"):
        (tmp_path / store / "test-00000.h5").unlink()
    calls = RUNS.calls
    assert run("loop", **options).rows
    assert RUNS.calls == calls
    again = run("runs", **options)  # without the option
    assert RUNS.calls > calls
    assert 0 < again.rows < kept.shape[1]
    np.testing.assert_array_equal(every_feature(again.store), kept, strict=True)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # GLM-4V's
@pytest.mark.parametrize(("family", "workers"), [("qwen3_vl", 0), ("qwen2_5_vl", 2), ("glm4v", 0)])
def test_workers_compute_what_the_model_would(run, monkeypatch, family, workers):
    given = []
    launch = LoadedModel.launch
    monkeypatch.setattr(
        LoadedModel,
        "launch",
        lambda self, inputs, *rest: given.append(set(inputs)) or launch(self, inputs, *rest),
    )
    options = {"family": family, "dtype": "float32", "reuse": "off"}
    plain = run("plain", **options).store
    assert given
    assert not any("position_ids" in names for names in given)
    given.clear()
    computed = run("computed", **options, tower_attention="runs", workers=workers).store
    assert {"position_ids", "image_position_ids", "image_cu_seqlens"} <= given[-1]
    np.testing.assert_array_equal(every_feature(plain), every_feature(computed), strict=True)


def test_answers_are_those_of_positions_that_the_model_computes(run):
    options = {"dtype": "float32", "answers": "labels,generate", "reuse": "off"}
    plain = run("plain", **options).store
    computed = run("computed", **options, tower_attention="runs").store
    assert computed.manifest.batching["host_inputs"]["name"] == "given"
    for name in ("answers", "generated"):
        for split in ("train", "test"):
            np.testing.assert_array_equal(
                plain.output(split, name), computed.output(split, name), strict=True
            )


def test_a_pixtral_in_runs_agrees_within_rounding(run):
    options = {"family": "pixtral", "dtype": "float32"}
    runs = run("runs", **options).store
    assert settings(runs)[1] == "runs"
    loop = run("loop", **options, tower_attention="loop").store
    assert settings(loop)[1] == "loop"
    np.testing.assert_allclose(every_feature(runs), every_feature(loop), rtol=1e-4, atol=1e-5)


def test_a_tower_without_runs_stops_before_a_row_where_they_are_asked_for(run):
    with pytest.raises(ModelError, match=r"llava cannot: CLIPAttention does not say .*set it to"):
        run(family="llava", tower_attention="runs")


def test_another_word_is_refused(run):
    with pytest.raises(
        ParameterError, match="`tower_attention` is 'fast', expected one of auto, runs, loop"
    ):
        run(tower_attention="fast")


def test_the_variable_sets_it_and_one_that_is_unknown_is_an_error(savs):
    options = ("extract", "shapes", "--model", "demo", "--out", "store")
    wrong = savs(*options, env={"SAVS_EXTRACT_DTYPE": "fast"})
    assert wrong.returncode == 2
    assert "no dtype is called 'fast'" in wrong.stderr
    unknown = savs(*options, env={"SAVS_EXTRACT_DTYP": "float32"})
    assert unknown.returncode == 2
    assert "did you mean SAVS_EXTRACT_DTYPE?" in unknown.stderr
