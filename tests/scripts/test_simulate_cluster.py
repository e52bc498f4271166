"""The simulated cluster: what it counts, and that its ranks end."""

import json
import subprocess
import sys

import pytest
from doc_pages import ROOT
from simulate_cluster import Cluster


@pytest.mark.thorough
def test_a_rank_that_is_killed_costs_no_shard_and_none_is_published_twice(tmp_path) -> None:
    words = ["--ranks", "4", "--shards", "3", "--speed-up", "60", "--deaths-per-hour", "10"]
    script = [sys.executable, ROOT / "scripts/simulate_cluster.py", "--work", tmp_path / "work"]
    done = subprocess.run([*script, *words], check=True, capture_output=True)
    found = json.loads(done.stdout)
    assert (found["deaths"], found["shards"], found["published_twice"]) == (1, 12, 0)
    assert found["computed_twice"] >= 0
    assert len(list((tmp_path / "work/cluster").glob("*.h5"))) == 12
    ended = {path.stem for path in (tmp_path / "work/cluster-ranks").glob("*.end")}
    assert len(ended) == 4 - found["deaths"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"0": "a x\nb x\n", "1": "b \n"}, (0, 3)),  # the other one was told that it is too late
        ({"0": "a x\nb x\n", "1": "b y\n"}, (1, 3)),
        ({"0": "a x\nb x\n", "1": "b x\n"}, (1, 3)),
        ({"0": "a x\n", "1": "b y\n"}, (1, 2)),
    ],
    ids=["right", "two say so", "one twice", "another's content"],
)
def test_what_ranks_tell_is_compared_with_the_files(tmp_path, told, expected) -> None:
    cluster = Cluster(tmp_path / "c", [], ranks=2, shard_s=0.0, deaths={})
    for folder in ("c", "c-ranks"):
        (tmp_path / folder).mkdir()
    for shard in "ab":
        (tmp_path / "c" / shard).write_text("x")
    for rank, lines in told.items():
        (tmp_path / "c-ranks" / rank).write_text(lines)
    assert cluster.counts() == expected
