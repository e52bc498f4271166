import json
import shutil
import threading

import h5py
import numpy as np
import pytest

from savs.datasets import RowError, SourceError
from savs.pipeline.errors import MissingExtraError
from savs.pipeline.extraction import requirements
from savs.pipeline.extraction.batches import prepare
from savs.pipeline.extraction.batches.prepare import Refused
from savs.pipeline.running.progress import Reporting
from savs.stores import (
    FeatureValueError,
    StoreMismatchError,
    StoreWriteError,
    open_store,
)


def test_batch_size_and_shards_do_not_change_features(run):
    one = run("one", batch_size=1, dtype="float32").store
    many = run("many", batch_size=4, shard_rows=4, dtype="float32").store
    for split in ("train", "test"):
        np.testing.assert_allclose(one.features(split), many.features(split), rtol=1e-4, atol=1e-5)
        assert one.examples(split).equals(many.examples(split))


def test_the_columns_of_a_store(run, inputs):
    examples = run().store.examples()
    row = examples.row(1, named=True)
    assert row["id"] == "train:1"
    assert (row["split"], row["index"], row["label"]) == ("train", 1, "b")
    assert row["prompt"] == "What is it??"
    assert row["media"] == ["images/train1.png"]
    assert len(row["media_sha256"][0]) == 64
    assert examples["split"].to_list() == ["train"] * 6 + ["test"] * 5


@pytest.mark.thorough
def test_resuming_gives_the_bits_of_an_uninterrupted_run(run, tmp_path):
    whole = run("whole", shard_rows=2)
    run("resumed", shard_rows=2)
    for name in ("train-00001.h5", "test-00002.h5"):
        (tmp_path / "resumed" / name).unlink()
    kept = (tmp_path / "resumed" / "train-00000.h5").stat().st_mtime_ns
    again = run("resumed", shard_rows=2)
    assert again.rows == 3  # two rows and the last one
    assert (tmp_path / "resumed" / "train-00000.h5").stat().st_mtime_ns == kept
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            whole.store.features(split, raw=True), again.store.features(split, raw=True)
        )


@pytest.mark.thorough
def test_raising_the_limit_extends_the_store(run):
    short = run(limit=3, shard_rows=2)
    assert short.store.facts["planned"] == {"train": 3, "test": 3}
    longer = run(limit=5, shard_rows=2)
    assert longer.rows == 4
    assert longer.store.facts["planned"] == {"train": 5, "test": 5}
    assert longer.store.facts["sealed"]
    whole = run("whole", limit=5, shard_rows=8).store
    np.testing.assert_allclose(
        longer.store.features("test"), whole.features("test"), rtol=2e-2, atol=2e-2
    )
    with pytest.raises(StoreMismatchError, match="smaller --limit"):
        run(limit=3, shard_rows=2)


def test_equal_rows_of_a_shard_run_once(run, inputs, monkeypatch):
    rows = [{"image": "images/test0.png", "question": "Same?", "label": "ab"[i]} for i in (0, 1, 0)]
    shutil.copy(inputs.root / "images/test0.png", inputs.root / "images/copy.png")
    rows.append({"image": "images/copy.png", "question": "Same?", "label": "a"})
    rows.append({"image": "images/copy.png", "question": "Other?", "label": "a"})
    sizes = []
    from savs.pipeline.extraction.model.loaded_model import LoadedModel

    read = LoadedModel.read
    monkeypatch.setattr(
        LoadedModel,
        "read",
        lambda self, x, outputs: sizes.append(len(x["input_ids"])) or read(self, x, outputs),
    )
    store = run(test=inputs.rows("twins.jsonl", rows), batch_size=1).store
    assert len(sizes) == 6 + 2
    features = store.features("test")
    for twin in (1, 2, 3):
        np.testing.assert_array_equal(features[:, 0], features[:, twin])
    assert (features[:, 0] != features[:, 4]).any()


def test_bad_images_are_skipped_with_a_reason(run, inputs):
    (inputs.root / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    rows = [
        {"image": name, "question": "?", "label": "a"}
        for name in ("images/broken.png", "images/absent.png", "images/test0.png")
    ]
    inputs.image("images/sliver.png", size=(2, 900))
    rows.append({"image": "images/sliver.png", "question": "?", "label": "a"})
    done = run(test=inputs.rows("bad.jsonl", rows))
    assert [(split, name) for split, name, _ in done.skipped] == [
        ("test", "bad:0"),
        ("test", "bad:1"),
        ("test", "bad:3"),
    ]
    reasons = [reason for *_, reason in done.skipped]
    assert "broken.png is not an image of a known format" in reasons[0]
    assert "absent.png is not in the media root" in reasons[1]
    assert "the processor refuses it" in reasons[2]
    assert done.store.examples("test")["id"].to_list() == ["bad:2"]
    assert done.store.features("test").shape == (12, 1, 12)


def test_another_model_is_refused_and_nothing_is_lost(run, tiny_model):
    before = run().store.features("test", raw=True)
    with pytest.raises(
        StoreMismatchError, match=r"model\.class: 'Qwen2VL.* in the store, 'Qwen2_5"
    ):
        run(model=str(tiny_model("qwen2_5_vl")))
    np.testing.assert_array_equal(run().store.features("test", raw=True), before)


def test_changed_labels_are_refused(run, inputs):
    run()
    rows = [{"image": f"images/test{i}.png", "question": "?", "label": "b"} for i in range(5)]
    with pytest.raises(StoreMismatchError, match="its 5 test examples are not the first"):
        run(test=inputs.rows("test.jsonl", rows))


@pytest.mark.thorough
def test_ranks_share_one_store(run):
    alone = run("alone", shard_rows=2).store
    first = run("shared", shard_rows=2, rank=0, ranks=2)
    assert not first.store.facts["sealed"]
    second = run("shared", shard_rows=2, rank=1, ranks=2)
    assert second.store.facts["sealed"]
    assert first.rows + second.rows == 11
    for split in ("train", "test"):
        np.testing.assert_array_equal(
            second.store.features(split, raw=True), alone.features(split, raw=True)
        )


def test_not_finite_features_stop_the_run_and_name_the_example(run, monkeypatch):
    from savs.pipeline.extraction.model.loaded_model import LoadedModel

    read = LoadedModel.read

    def poisoned(self, inputs, outputs):
        found = read(self, inputs, outputs)
        found.heads[1][0, -1, 0] = np.nan
        return found

    monkeypatch.setattr(LoadedModel, "read", poisoned)
    with pytest.raises(FeatureValueError, match=r"layer 1 of example 'train:.' holds NaN"):
        run(dtype="float32", batch_size=1)


def test_batches_that_do_not_fit_are_halved(run, monkeypatch):
    import torch

    from savs.pipeline.extraction.model.loaded_model import LoadedModel

    whole = run("whole", dtype="float32", batch_size=4).store
    read = LoadedModel.read

    def small_memory(self, inputs, *outputs):
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("no room")
        return read(self, inputs, *outputs)

    monkeypatch.setattr(LoadedModel, "read", small_memory)
    said = []
    reporting = Reporting(say=said.append)
    halved = run("halved", dtype="float32", batch_size=4, reporting=reporting).store
    assert [line.split(" did not fit")[0] for line in said if "halves" in line] == [
        "batches of 4",
        "batches of 2",
    ]
    recorded = []
    for name in ("train-00000.h5", "test-00000.h5"):
        with h5py.File(halved.path / name) as file:
            recorded.append(json.loads(file.attrs["run"]))
    assert [(run["batch_size"], run["halved_batches"]) for run in recorded] == [(4, 2), (2, 2)]
    np.testing.assert_allclose(
        whole.features("test"), halved.features("test"), rtol=1e-4, atol=1e-5
    )


def test_no_room_on_the_disk_is_said_before_anything_is_computed(run, monkeypatch, tmp_path):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreWriteError, match="give --out a larger disk"):
        run()
    assert not list((tmp_path / "store").glob("*.h5"))


def test_one_class_only(run, inputs):
    same = [{"question": "?", "label": "a"}] * 3
    with pytest.raises(RowError, match="one class only, 'a'"):
        run(train=inputs.rows("same.jsonl", same))
    for split in ("train", "test"):
        with pytest.raises(SourceError, match=r"none\.jsonl holds no rows; give a file with"):
            run(**{split: inputs.rows("none.jsonl", [])})


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split(run, inputs, split):
    with pytest.raises(SourceError, match=r"empty\.jsonl holds no rows"):
        run(**{split: inputs.rows("empty.jsonl", [])})


def test_thumbnails(run):
    thumbnail = run(thumbnails=True).store.examples("test")["thumbnail"][0]
    assert thumbnail[:2] == b"\xff\xd8"  # a JPEG


def test_progress_is_told_of_every_row(run):
    told = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def __enter__(self):
            return told.append

        def __exit__(self, *error):
            return None

    messages = []
    done = run(reporting=Reporting(messages.append, Bar), batch_size=2)
    assert sum(told) == done.rows == 11
    assert any("11 examples to do" in message for message in messages)


def test_inputs_are_prepared_in_one_other_thread_that_ends(monkeypatch):
    seen, at_once, second = [], [], threading.Event()

    def slowly(_model, _examples, batch, _media):
        seen.append(threading.current_thread())
        at_once.append(batch[0])
        if batch == (1,):
            second.set()
        second.wait(0.1)  # a second thread, if there were one, would begin meanwhile
        assert at_once == [batch[0]]
        at_once.remove(batch[0])
        return [Refused(batch[0], "")]

    monkeypatch.setattr(prepare, "prepare", slowly)
    found = list(prepare.prepared_ahead(None, [], [(0,), (1,), (2,)], None))  # type: ignore
    assert [done.place for done in found] == [0, 1, 2]
    assert len(seen) == 3
    (thread,) = set(seen)
    assert thread is not threading.main_thread()
    assert not thread.is_alive()


def test_without_torch_the_install_command_is_told(run, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'savs\[extract\]'"):
        run()


def test_a_store_opens_without_its_inputs(run, inputs, tmp_path):
    run()
    shutil.rmtree(inputs.root)
    assert open_store(tmp_path / "store").features("train").shape == (12, 6, 12)


def test_a_batch_size_below_one_is_refused(run):
    with pytest.raises(ValueError, match="the batch size is 0"):
        run(batch_size=0)


def test_extra_columns_of_any_type_are_kept_as_json(run, inputs):
    import datetime

    import polars as pl

    path = inputs.root / "dates.parquet"
    pl.DataFrame(
        {"question": ["?", "!"], "label": ["a", "b"], "when": [datetime.date(2026, 1, 2)] * 2}
    ).write_parquet(path)
    assert run(train=path).store.examples("train")["extra"][0] == '{"when":"2026-01-02"}'
