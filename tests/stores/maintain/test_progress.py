import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from claimants import elsewhere, ended, show_sign

from savs.stores import open_store, open_writer
from savs.stores.maintain.progress import store_progress


def tell(folder: Path, process, **facts) -> Path:
    path = show_sign(folder, process)
    path.write_text(json.dumps(process.to_json() | facts))
    return path


def look(folder: Path):
    return store_progress(folder, open_store(folder).manifest)


def test_a_store_that_nobody_writes_to_counts_its_shards(tmp_path, toy) -> None:
    toy.write(tmp_path, only=2)
    found = look(tmp_path)
    assert (found.rows, found.planned, found.writers, found.seconds_left) == (4, 8, (), None)


def test_rows_and_rates_of_all_writers_add_up(tmp_path, toy) -> None:
    toy.write(tmp_path, only=1)  # 2 of 8 rows
    first, second = elsewhere(7), elsewhere(8)
    tell(tmp_path, first, state="extracting", rank=0, device="cuda:0", rows=3, written=2, seconds=2)
    tell(
        tmp_path, second, state="extracting", rank=1, device="cuda:1", rows=1, written=0, seconds=2
    )
    tell(tmp_path, ended(), state="extracting", rank=2, rows=1, written=0, seconds=0.1)
    found = look(tmp_path)
    assert (found.rows, found.planned) == (2 + 1 + 1, 8)
    assert found.per_second == 3 / 2 + 1 / 2
    assert found.seconds_left == 4 / 2
    by_rank = {writer.rank: writer for writer in found.writers}
    assert by_rank[0].process == f"process 7 on {first.host}"
    assert (by_rank[0].device, by_rank[0].state, by_rank[0].rows) == ("cuda:0", "extracting", 3)
    assert by_rank[2].state == "gone"
    assert found.to_json()["seconds_left"] == 2.0


def test_one_that_is_silent_for_too_long_is_gone(tmp_path, toy) -> None:
    toy.write(tmp_path, only=1)
    sign = tell(tmp_path, elsewhere(), state="extracting", rows=1, written=0, seconds=1)
    os.utime(sign, (old := sign.stat().st_mtime - 100, old))
    (writer,) = look(tmp_path).writers
    assert writer.state == "gone"
    assert writer.last_sign_s >= 100
    assert look(tmp_path).rows == 2


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_clock_an_hour_off_buries_nobody(tmp_path, toy, monkeypatch, ahead_s) -> None:
    """The disk's clock says when a sign was shown, and what time it is."""
    toy.write(tmp_path, only=1)
    living = tell(tmp_path, elsewhere(7), state="extracting", rank=0)
    silent = tell(tmp_path, elsewhere(8), state="extracting", rank=1)
    now = living.stat().st_mtime
    os.utime(silent, (now - 100, now - 100))
    monkeypatch.setattr("time.time", lambda: now + ahead_s)
    before = sorted(tmp_path.rglob("*"))
    states = {writer.rank: writer.state for writer in look(tmp_path).writers}
    assert states == {0: "extracting", 1: "gone"}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("odd", [None, "many", -1, True, [], 1e300], ids=repr)
def test_a_sign_may_say_anything(tmp_path, toy, odd) -> None:
    toy.write(tmp_path, only=1)
    tell(tmp_path, elsewhere(), state=odd, rank=odd, device=odd, rows=odd, written=odd, seconds=odd)
    (writer,) = look(tmp_path).writers
    assert (writer.rows, writer.per_second) == (0, 0.0)
    assert json.loads(json.dumps(look(tmp_path).to_json()))["rows"] == 2


def test_a_writer_shows_what_it_does_at_once(tmp_path, toy) -> None:
    with open_writer(tmp_path, toy.identity(), toy.rows(), shard_rows=2) as writer:
        writer.claims.signs.note("loading", rank=3)
        while not (found := look(tmp_path).writers) or found[0].state != "loading":
            time.sleep(0.01)
        assert found[0].rank == 3
        assert replace(found[0], last_sign_s=0.0).rows == 0
        writer.claims.signs.note("checking", device="cuda:1")
        while (found := look(tmp_path).writers)[0].state != "checking":
            time.sleep(0.01)
        assert (found[0].rank, found[0].device) == (3, "cuda:1")
