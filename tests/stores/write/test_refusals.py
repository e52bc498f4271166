"""What a writer refuses, and what it leaves after when it does."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from savs.stores import (
    StoreError,
    StoreMismatchError,
    StoreWriteError,
    open_store,
    open_writer,
)
from savs.stores.write.writer import write_errors
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


@pytest.mark.thorough
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


@pytest.mark.parametrize("options", [{"heads": 3}, {"names": ("a", "b")}], ids=str)
def test_an_odd_option_does_not_stop_a_resume(tmp_path, toy, options) -> None:
    what = replace(identity(), benchmark={"name": "mine", "options": options})
    for _ in range(2):
        with open_writer(tmp_path, what, toy.rows()):
            pass


def test_outputs_that_differ_are_named_by_their_option(tmp_path) -> None:
    rows = {"train": planned("train", 2)}
    with open_writer(tmp_path, identity(), rows):
        pass
    wanted = replace(identity(), outputs={"answers": {"cat": 3, "dog": 9}})
    with pytest.raises(StoreMismatchError) as caught, open_writer(tmp_path, wanted, rows):
        pass
    lines = str(caught.value).splitlines()
    assert re.search(r"`answers` labels\): None in the store, 'cat, dog \(\w{8}\)' now", lines[1])


UNREADABLE = {
    "a column is short": lambda content, _: replace(
        content, examples=dict(content.examples) | {"label": ["a"]}
    ),
    "a column more": lambda content, _: replace(
        content, examples={**content.examples, "colour": ["red", "red"]}
    ),
    "another split": lambda content, _: replace(
        content, examples={**content.examples, "split": ["train", "test"]}
    ),
    "an output more": lambda content, _: replace(
        content, outputs={"scores": np.zeros((2, 1), np.float32)}
    ),
    "ids of another shard": lambda _, other: other,
    "a layer less": lambda content, _: replace(content, layers={0: content.layers[0]}),
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_the_reader_would_refuse_is_not_published(tmp_path, toy, change) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        first, second, *_ = writer.missing()
        with pytest.raises(StoreError):
            writer.write(first, change(toy.content(first), toy.content(second)))
        assert writer.missing()[0] == first


def test_what_a_server_says_of_a_refusal_is_passed_on() -> None:
    message = "s3:/b/x cannot be written: Access Denied; make it writable"
    with pytest.raises(StoreWriteError, match=message), write_errors(Path("s3://b/x")):
        raise PermissionError("Access Denied")  # s3fs, which gives no number
