"""What a writer refuses, and what it leaves behind when it does."""

import re
import subprocess
import sys
from dataclasses import replace

import h5py
import pytest

from savs.stores import (
    StoreError,
    StoreMismatchError,
    StoreWriteError,
    open_store,
    open_writer,
)
from stores import identity, planned

FULL = """
import sys, resource
from pathlib import Path
import numpy as np
from savs.stores import ShardContent, open_writer, StoreWriteError
from stores import GRID, columns, identity, planned
rows = {"train": planned("train", 400)}
with open_writer(Path(sys.argv[1]), identity(), rows, shard_rows=400) as w:
    (spec,) = w.missing()
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    try:
        layers = {g.layer: np.ones((len(g.heads), 400, 4), np.float32) for g in GRID}
        w.write(spec, ShardContent(layers,
            columns("train", [{}] * 400), columns("train", []) | {"reason": []}, {}))
    except StoreWriteError as error:
        print(error)
"""


def test_a_full_disk_ends_in_one_line_and_no_crash(tmp_path) -> None:
    import stores

    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": stores.__file__.rsplit("/", 1)[0]},
    )
    assert done.returncode == 0, (done.returncode, done.stderr[:300])
    assert "the disk is full" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store.json"]


def test_a_writer_of_an_older_plan_does_not_undo_an_extension(tmp_path, toy) -> None:
    def start(train):
        return open_writer(tmp_path, toy.identity(), toy.rows(train=train), shard_rows=1)

    with start(3) as late:
        with start(5) as longer:
            for spec in longer.missing():
                longer.write(spec, toy.content(spec))
        for spec in late.missing():
            late.write(spec, toy.content(spec))
        late.seal()
    assert open_store(tmp_path).facts["planned"]["train"] == 5


def test_shards_with_and_without_thumbnails_go_together(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        for number, spec in enumerate(writer.missing()):
            content = toy.content(spec)
            if number == 0:
                thumbs = {"thumbnail": [b"x"] * spec.rows}
                content = replace(content, examples={**content.examples, **thumbs})
            writer.write(spec, content)
    assert open_store(tmp_path).examples("train").height == 5


@pytest.mark.parametrize("rows", [0, -1])
def test_shard_rows_below_one_are_refused_and_leave_nothing(tmp_path, toy, rows) -> None:
    toy.shard_rows = rows
    with pytest.raises((StoreError, ValueError), match="shard_rows"):
        toy.write(tmp_path / "s")
    assert not (tmp_path / "s" / "store.json").exists()


def test_a_manifest_that_cannot_be_written_leaves_no_partial(tmp_path, toy, monkeypatch) -> None:
    import errno
    import os

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreWriteError):
        toy.write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_a_write_error(tmp_path, toy) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreWriteError):
        toy.write(tmp_path / "file")


def test_columns_that_the_reader_would_refuse_are_not_published(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        content = toy.content(spec)
        columns = dict(content.examples) | {"label": ["a"]}
        with pytest.raises(StoreError):
            writer.write(spec, replace(content, examples=columns))


def test_ids_other_than_planned_are_not_published(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        first, second, *_ = writer.missing()
        with pytest.raises(StoreError):
            writer.write(first, toy.content(second))


def test_a_missing_layer_is_refused_by_a_store_error(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.missing()[0]
        content = toy.content(spec)
        with pytest.raises(StoreError):
            writer.write(spec, replace(content, layers={0: content.layers[0]}))


def test_an_option_named_heads_does_not_stop_a_resume(tmp_path, toy) -> None:
    what = replace(identity(), benchmark={"name": "mine", "options": {"heads": 3}})
    for _ in range(2):
        with open_writer(tmp_path, what, toy.rows()):
            pass


def test_an_option_that_is_a_tuple_does_not_stop_a_resume(tmp_path, toy) -> None:
    what = replace(identity(), benchmark={"name": "mine", "options": {"names": ("a", "b")}})
    for _ in range(2):
        with open_writer(tmp_path, what, toy.rows()):
            pass


def test_a_finished_shard_written_again_is_a_store_error(tmp_path, toy) -> None:
    toy.write(tmp_path)
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        spec = writer.manifest.plan.shards()[0]
        with pytest.raises(StoreError):
            writer.write(spec, toy.content(spec))


def test_a_resealed_store_keeps_what_it_said_of_a_changed_shard(tmp_path, toy) -> None:
    toy.write(tmp_path)
    with h5py.File(tmp_path / "train-00000.h5", "r+") as file:
        file["layers/00000"][0, 0, 0] += 1
    before = open_store(tmp_path).manifest.shards
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        assert writer.seal()
    assert open_store(tmp_path).manifest.shards == before


def test_a_folder_of_something_else_is_no_place_for_a_store(tmp_path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with (
        pytest.raises(StoreMismatchError, match=r"holds holiday\.jpg but no store\.json"),
        open_writer(tmp_path, identity(), {"train": planned("train", 2)}),
    ):
        pass
    assert not (tmp_path / "store.json").exists()


def test_outputs_that_differ_are_named_by_their_option(tmp_path) -> None:
    rows = {"train": planned("train", 2)}
    with open_writer(tmp_path, identity(), rows):
        pass
    wanted = replace(identity(), outputs={"answers": {"cat": 3, "dog": 9}})
    with pytest.raises(StoreMismatchError) as caught, open_writer(tmp_path, wanted, rows):
        pass
    lines = str(caught.value).splitlines()
    assert re.search(r"--answers labels\): None in the store, 'cat, dog \(\w{8}\)' now", lines[1])
