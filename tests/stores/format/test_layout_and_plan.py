import hashlib
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.stores import PlannedRow, StoreMismatchError
from savs.stores.format import plan
from savs.stores.format.layout import decode_json, digest
from savs.stores.format.plan import StorePlan, make_plan
from stores import planned


def cuts(plan) -> list[tuple[str, int, int]]:
    return [(shard.name, shard.start, shard.stop) for shard in plan.shards()]


def test_a_digest_is_that_of_compact_sorted_utf8_json() -> None:
    expected = hashlib.sha256('{"a":[1,null],"b":"é"}'.encode()).hexdigest()
    assert digest({"b": "é", "a": [1, None]}) == expected


@pytest.mark.parametrize("levels", [64, 65, 600, 100_000])
def test_json_that_is_nested_deep_is_refused_however_deep_it_is(levels) -> None:
    text = b"[" * levels + b"]" * levels
    if levels == 64:
        assert msgspec.json.encode(decode_json(text)) == text
        return
    with pytest.raises(ValueError, match="it is nested more than 64 levels deep"):
        decode_json(text)


def test_a_shards_digest_covers_ids_contents_and_place(monkeypatch) -> None:
    rows = [PlannedRow("x", "1"), PlannedRow("y", "2"), PlannedRow("z", "3")]
    segment = hashlib.sha256(b'[["x","1"],["y","2"],["z","3"]]').hexdigest()
    expected = hashlib.sha256(f'["{segment}",2,3]'.encode()).hexdigest()
    for slices in (plan.SLICE, 2, 1):  # of the text that is in memory at once
        monkeypatch.setattr(plan, "SLICE", slices)
        assert make_plan({"train": rows}, 2).shards()[1].digest == expected


def test_the_same_rows_give_the_same_plan_and_a_split_may_be_added() -> None:
    rows = {"train": planned("train", 5), "test": planned("test", 3)}
    plan = make_plan(rows, 2)
    assert make_plan(rows, 2) == plan
    assert make_plan(rows, 2, plan) == plan
    before = make_plan({"train": rows["train"]}, 2)
    assert make_plan(rows, 2, before) == plan
    assert plan.shards()[: len(before.shards())] == before.shards()
    with pytest.raises(StoreMismatchError, match="has a test split, which this run lacks"):
        make_plan({"train": rows["train"]}, 2, plan)
    with pytest.raises(StoreMismatchError, match="have 2 rows, not 3; leave out `shard_rows`"):
        make_plan(rows, 3, plan)


def test_a_limit_raised_twice_keeps_all_earlier_shards() -> None:
    plans = [make_plan({"train": planned("train", 3)}, 2)]
    for count in (5, 8):
        source = {"train": f"{count} rows"}
        plans.append(make_plan({"train": planned("train", count)}, 2, plans[-1], source))
    segments = plans[2].splits["train"].segments
    assert [segment.source for segment in segments] == [None, "5 rows", "8 rows"]
    # 3 rows, 2 more, 3 more: each addition begins a shard of its own
    bounds = [(0, 2), (2, 3), (3, 5), (5, 7), (7, 8)]
    assert [(start, stop) for _, start, stop in cuts(plans[2])] == bounds
    for before, after in pairwise(plans):
        assert after.shards()[: len(before.shards())] == before.shards()
    assert len({shard.digest for shard in plans[2].shards()}) == 5


ROWS = planned("train", 6)
OTHER = {
    "content": [*ROWS[:1], PlannedRow(ROWS[1].id, "other"), *ROWS[2:]],
    "content of the last": [*ROWS[:5], PlannedRow(ROWS[5].id, "other")],
    "id": [PlannedRow("other", ROWS[0].digest), *ROWS[1:]],
    "order": [ROWS[1], ROWS[0], *ROWS[2:]],
    "order across segments": [*ROWS[:3], ROWS[4], ROWS[3], *ROWS[5:]],
    "smaller limit": ROWS[:5],
    "limit of the first segment": ROWS[:4],
    "none": [],
}


@pytest.mark.parametrize("rows", OTHER.values(), ids=OTHER.keys())
def test_other_examples_are_refused(rows: list[PlannedRow]) -> None:
    earlier = make_plan({"train": ROWS}, 2, make_plan({"train": ROWS[:4]}, 2))
    with pytest.raises(
        StoreMismatchError, match=f"6 train examples are not .* {len(rows)} given now"
    ):
        make_plan({"train": rows}, 2, earlier)


@pytest.mark.thorough
@settings(deadline=None)
@given(
    limits=st.lists(st.integers(1, 30), min_size=1, max_size=4, unique=True).map(sorted),
    shard_rows=st.integers(1, 12),
)
def test_shards_tile_the_rows_once_whatever_the_limits(limits: list[int], shard_rows: int) -> None:
    plan = None
    for limit in limits:
        plan = make_plan({"train": planned("train", limit)}, shard_rows, plan)
    assert plan is not None
    shards = plan.shards()
    assert [row for s in shards for row in range(s.start, s.stop)] == list(range(limits[-1]))
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(1 <= shard.rows <= shard_rows for shard in shards)
    assert set(limits) <= {shard.stop for shard in shards}
    assert len({shard.digest for shard in shards}) == len(shards)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=StorePlan) == plan
