import json
import re
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from rounding import check_same_features
from settled_ways import ways_tried_each_time as ways_tried_each_time

from savs.datasets import Example, MediaFolder, RowError, SourceError
from savs.foundation.errors import ParameterError
from savs.foundation.imports import install_command
from savs.pipeline.errors import MissingExtraError
from savs.pipeline.extraction import run_extraction
from savs.pipeline.extraction.line.sinks import EnoughError, bytes_needed, in_shards
from savs.pipeline.extraction.model import model_options
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_extraction import earlier_skips, estimate
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.progress import Reporting
from savs.stores import (
    LayerGrid,
    StoreMismatchError,
    StoreWriteError,
)
from savs.stores.read import store as opening
from stores import identity, write_store


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
def test_resuming_gives_the_features_of_an_uninterrupted_run(run, tmp_path):
    whole = run("whole", shard_rows=2)
    run("resumed", shard_rows=2)
    for name in ("train-00001.h5", "test-00002.h5"):
        (tmp_path / "resumed" / name).unlink()
    kept = (tmp_path / "resumed" / "train-00000.h5").stat().st_mtime_ns
    again = run("resumed", shard_rows=2)
    assert again.rows == 3  # two rows and the last one
    assert (tmp_path / "resumed" / "train-00000.h5").stat().st_mtime_ns == kept
    check_same_features(again.store, whole.store)


@pytest.mark.thorough
def test_a_run_with_nothing_to_do_reads_store_json_once_more_for_its_result(run, monkeypatch):
    """What `reserve` read is the store that the run looks at."""
    run()
    read = []
    read_manifest = opening.read_manifest
    monkeypatch.setattr(
        opening, "read_manifest", lambda folder: read.append(folder) or read_manifest(folder)
    )
    assert run().rows == 0
    assert len(read) == 1


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
    with pytest.raises(StoreMismatchError, match="smaller `limit`"):
        run(limit=3, shard_rows=2)


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


def test_earlier_skips_are_those_of_splits_that_are_complete(tmp_path):
    features = {split: {0: np.ones((2, 4, 3), np.float32)} for split in ("train", "test")}
    rows = {split: [{"label": label} for label in "abab"] for split in features}
    what, skipped = identity(grid=(LayerGrid(0, (0, 1), 3),)), {"train": [1], "test": [0]}
    store = write_store(tmp_path / "s", what, features, rows, skipped=skipped, shard_rows=2)
    assert earlier_skips(store.path) == {("train", "train:1"), ("test", "test:0")}
    (store.path / "test-00001.h5").unlink()
    assert earlier_skips(store.path) == {("train", "train:1")}
    assert earlier_skips(tmp_path / "absent") == frozenset()


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_with_nan_are_skipped_and_say_which_head(run, monkeypatch, dtype):
    from savs.pipeline.extraction.model.reading import Launched

    result, passes = Launched.result, []

    def poisoned(self):
        found = result(self)
        passes.append(found.heads[1].shape[1])
        if len(passes) in (2, 9):  # with batches of one: one of train, one of test
            nan = np.nan if dtype == "float32" else 0x7FC0
            found.heads[1][2, -1, 0] = nan
        return found

    monkeypatch.setattr(Launched, "result", poisoned)
    done = run(dtype=dtype, batch_size=1, shard_rows=4)
    assert set(passes) == {1}
    assert [split for split, *_ in done.skipped] == ["train", "test"]
    reason = done.skipped[0][2]
    assert reason.startswith(f"L1.H2 is NaN or infinite in {dtype}; run the model in")
    assert done.store.facts["sealed"]
    assert done.store.features("train").shape == (12, 5, 12)
    monkeypatch.setattr(Launched, "result", result)
    (done.store.path / "test-00001.h5").unlink()  # one row, not skipped
    again = run(dtype=dtype, batch_size=1, shard_rows=4, retry_skipped=True)
    assert (again.rows, again.skipped) == (9, [])


@pytest.mark.thorough
def test_batches_that_do_not_fit_run_in_pieces_without_being_prepared_again(run, monkeypatch):

    from savs.pipeline.extraction.line import jobs
    from savs.pipeline.extraction.model.loaded_model import LoadedModel

    whole = run("whole", dtype="float32", batch_size=4).store
    launch, decode, decoded = LoadedModel.launch, jobs.decode_medium, []

    def small_memory(self, inputs, *rest):
        if len(inputs["input_ids"]) > 1:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        return launch(self, inputs, *rest)

    monkeypatch.setattr(LoadedModel, "launch", small_memory)
    monkeypatch.setattr(
        jobs, "decode_medium", lambda *given: decoded.append(given[1]) or decode(*given)
    )
    said = []
    reporting = Reporting(say=said.append)
    pieces = run("pieces", dtype="float32", batch_size=4, reporting=reporting).store
    assert len(decoded) == 11
    (cut,) = [line for line in said if "did not fit" in line]
    assert cut.startswith("2 batches did not fit the memory and ran in pieces")  # of 4, then of 2
    assert "a smaller `batch_size`" in cut  # which a shell has, unlike batch_tokens
    with h5py.File(pieces.path / "test-00000.h5") as file:
        recorded = json.loads(file.attrs["run"])
    assert (recorded["batch_size"], recorded["cut"]) == (4, True)
    np.testing.assert_allclose(
        whole.features("test"), pieces.features("test"), rtol=1e-4, atol=1e-5
    )


def test_no_room_on_the_disk_is_said_before_anything_is_computed(run, monkeypatch, tmp_path):
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StoreWriteError, match="give `out` a larger disk"):
        run()
    assert not list((tmp_path / "store").glob("*.h5"))


def test_one_class_only(run, inputs):
    same = [{"question": "?", "label": "a"}] * 3
    with pytest.raises(RowError, match="one class only, 'a'"):
        run(train=inputs.rows("same.jsonl", same))
    for split in ("train", "test"):
        with pytest.raises(SourceError, match=r"none\.jsonl holds no rows; give a file with"):
            run(**{split: inputs.rows("none.jsonl", [])})


@pytest.mark.thorough
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


def test_without_torch_the_install_command_is_told(run, monkeypatch):
    monkeypatch.setattr(model_options, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("extract"))):
        run()


@pytest.mark.thorough
def test_extra_columns_of_any_type_are_kept_as_json(run, inputs):
    import datetime

    import polars as pl

    path = inputs.root / "dates.parquet"
    pl.DataFrame(
        {"question": ["?", "!"], "label": ["a", "b"], "when": [datetime.date(2026, 1, 2)] * 2}
    ).write_parquet(path)
    assert run(train=path).store.examples("train")["extra"][0] == '{"when":"2026-01-02"}'


def test_a_probe_begins_in_the_middle_and_counts_after_its_first_rows(monkeypatch, tmp_path):
    now = iter((0.0, 10.0, 12.0, 14.0, 18.0))  # begun, started, and after 2, 4 and 3 rows
    monkeypatch.setattr(run_extraction, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    examples = [Example(f"test:{n}", "test", n, "a", "?", ()) for n in range(5)]
    shards = in_shards(examples, lambda _: MediaFolder(tmp_path), 1)
    probe = run_extraction._Probe(shards, examples, thumbnails=False)
    assert probe.begin({"heads": identity()}, NO_ANSWERS) == 5
    assert probe.bytes == {"heads": bytes_needed(identity(), examples)}
    (todo,) = probe.passes(lambda rows: None)
    assert [shard.spec.number for shard in todo] == [2, 3, 4, 0, 1]
    assert probe.rate is None
    assert (probe.tell(0), probe.tell(2), probe.rate) == (0, 2, 2 / 2)
    assert (probe.tell(4), probe.rate) == (4, 4 / 2)
    with pytest.raises(EnoughError):
        probe.tell(3)
    assert probe.rate == 7 / 6


def test_a_batch_size_below_one_is_refused(run):
    with pytest.raises(ValueError, match="`batch_size` is 0, expected"):
        run(batch_size=0)


def test_a_dry_run_refuses_what_the_run_refuses(tmp_path):
    inputs = InputOptions(train=tmp_path / "train.jsonl", task="many-labels")
    benchmark = choose_benchmark("general", labels=inputs.labels)
    for name in ("answers", "classes"):
        run = RunOptions(**{name: "labels"})
        with pytest.raises(ParameterError, match=f"`{name}` compares an image with classes"):
            estimate(benchmark, inputs, ModelOptions(model="demo"), run, tmp_path)
