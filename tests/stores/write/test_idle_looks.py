"""How seldom a process looks that has nothing to do."""

from itertools import count
from types import SimpleNamespace

import pytest

from savs.stores import ShardSpec
from savs.stores.write import writer as open_shards
from savs.stores.write.writer import LONGEST, LOOK_EVERY_S, LOOKS, OpenShards


@pytest.mark.parametrize(
    ("took_s", "wait_s"),
    [(0.0, LOOK_EVERY_S), (0.5, LOOKS * 0.5), (600.0, LONGEST * LOOK_EVERY_S)],
)
def test_the_longer_a_look_takes_the_longer_is_the_wait(monkeypatch, took_s, wait_s):
    slept: list[float] = []
    times = count(0.0, took_s)
    clock = SimpleNamespace(monotonic=lambda: next(times), sleep=slept.append)
    monkeypatch.setattr(open_shards, "time", clock)
    shards = OpenShards([ShardSpec("train", 0, 0, 1, "")], None, bool, set, "store")
    looks = iter([None, ShardSpec("train", 0, 0, 1, "")])
    monkeypatch.setattr(shards, "_next", lambda: next(looks))
    assert shards.wait()
    assert 0.8 * wait_s <= slept[0] <= 1.2 * wait_s
