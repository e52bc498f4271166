"""What needs no weights is refused, or done, before they are loaded."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
from rounding import check_same_features
from safetensors.torch import load_file, save_file
from settled_ways import ways_tried_each_time as ways_tried_each_time

from savs.datasets import MediaError
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction import model_run
from savs.pipeline.running.progress import Reporting
from savs.stores import StoreMismatchError, StoreWriteError, open_store

pytestmark = pytest.mark.thorough


def test_the_folder_is_looked_at_first(run, weightless, tmp_path):
    weightless()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreWriteError, match="is a file, not a folder"):
        run("file")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    with pytest.raises(StoreMismatchError, match=r"holds thesis\.tex but no store\.json"):
        run("foreign")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "claims").symlink_to(tmp_path / "inputs")
    with pytest.raises(StoreWriteError, match=r"claims is a link to .*inputs; move it away"):
        run("linked")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "foreign", "inputs", "linked"]


def test_missing_media_and_unknown_models_leave_no_folder(run, inputs, weightless, tmp_path):
    weightless()
    rows = [{"image": "gone.png", "question": "?", "label": label} for label in "ab"]
    with pytest.raises(MediaError, match=r"none of the 4 media exists"):
        run(train=inputs.rows("x.jsonl", rows), test=inputs.rows("y.jsonl", rows))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="empty"):
        run(model=str(tmp_path / "empty"))
    assert not (tmp_path / "store").exists()


def test_other_settings_are_refused(run, tiny_model, inputs, weightless):
    store = run().store
    before = store.features("test", raw=True)
    weightless()
    with pytest.raises(StoreMismatchError, match=r"processor\.max_pixels: None in the store, 9999"):
        run(max_pixels=9999)
    with pytest.raises(StoreMismatchError, match=r"dtype: '\w+' in the store, 'float16' now"):
        run(dtype="float16")
    with pytest.raises(StoreMismatchError, match=r"model\.name: 'qwen2_vl' in the store"):
        run(model=str(tiny_model("qwen2_5_vl")))
    rows = [{"image": f"images/test{i}.png", "question": "?", "label": "b"} for i in range(5)]
    with pytest.raises(StoreMismatchError, match="its 5 test examples are not the first"):
        run(test=inputs.rows("test.jsonl", rows))
    after = open_store(store.path).features("test", raw=True)
    np.testing.assert_array_equal(after, before)


def test_nothing_left_to_do_loads_nothing(run, weightless):
    run = partial(run, model="demo")
    first = run()
    weightless()
    said = []
    again = run(reporting=Reporting(said.append))
    assert (again.rows, again.skipped) == (0, [])
    assert again.store.facts["sealed"]
    assert "0 examples to do: the model is not loaded" in said
    assert run(retry_skipped=True).rows == 0
    assert first.store.path == again.store.path


def test_a_store_that_was_whole_but_not_sealed_is_sealed(run, weightless, monkeypatch):
    from savs.stores import FeatureWriter

    seal = FeatureWriter.seal
    monkeypatch.setattr(FeatureWriter, "seal", lambda self: False)
    run = partial(run, model="demo")
    assert not run().store.facts["sealed"]
    monkeypatch.setattr(FeatureWriter, "seal", seal)
    weightless()
    assert run().store.facts["sealed"]


def test_a_folder_with_other_weights_is_looked_into(run, tiny_model, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(tiny_model("qwen2_vl"), folder)
    run(model=str(folder))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: w * 1.5 for name, w in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(StoreMismatchError, match=r"model\.weights"):
        run(model=str(folder))


def batching(store):
    return json.loads((store.path / "store.json").read_text())["batching"]


def test_a_resumed_run_takes_over_how_batches_were_made(run, monkeypatch, tmp_path):
    whole = run("whole", shard_rows=4, batch_size=3, batch_tokens=150).store
    begun = run("begun", shard_rows=4, batch_size=3, batch_tokens=150).store
    assert batching(begun) == batching(whole)
    assert batching(whole)["batch_tokens"] == 150
    assert batching(whole)["batches"]["name"] == "together"
    for name in ("train-00001.h5", "test-00000.h5"):
        (begun.path / name).unlink()
    tried = []
    monkeypatch.setattr(model_run, "preflight", lambda *given: tried.append(1))
    resumed = run("begun", shard_rows=4).store
    assert tried == []
    check_same_features(resumed, whole)


def test_other_batches_can_be_asked_for(run):
    first = run(shard_rows=4, batch_size=3).store
    (first.path / "test-00000.h5").unlink()
    second = run(shard_rows=4, batch_size=2, batch_check="off").store
    found = batching(second)
    assert (found["batch_size"], found["batch_check"]) == (2, "off")
    assert found["batches"] == {"name": "uncompared", "seen": "nothing was compared"}
    records = open_store(second.path).manifest.runs
    assert [(r["batch_size"], r["batch_check"]) for r in records] == [(3, "strict"), (2, "off")]
    assert {"raw_pixels", "batch_tokens", "workers", "versions", "device"} <= set(records[0])


def test_a_store_of_the_space_that_was_told(run, inputs):
    said = []
    store = run(reporting=Reporting(said.append), thumbnails=True, answers="labels").store
    (line,) = [line for line in said if "examples to do" in line]
    told = float(line.split(": ")[1].split(" kB")[0]) * 1000
    used = sum(path.stat().st_size for path in store.path.glob("*.h5"))
    assert 0.3 * used < told < 3 * used  # of so few rows much is the file format
