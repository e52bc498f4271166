"""A slim store evaluates to what the full one does, with the selection made on the full one."""

import numpy as np
import pytest
from polars.testing import assert_frame_equal

from savs.pipeline import evaluate, load_selection, save_selection, select
from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.heads.heads_table import heads_frame
from savs.stores import LayerGrid, ShardContent, open_store, open_writer
from savs.stores.maintain.copy import merge, slim
from stores import columns, identity, planned, to_stored

pytestmark = pytest.mark.thorough  # the stores of each test are written anew

GRID = (LayerGrid(0, (0, 1, 2), 4), LayerGrid(1, (0, 3), 6), LayerGrid(5, (2,), 8))
"""Heads of three widths: a slim store is often narrower than the full one."""
TASKS = [{"subtask": "s", "label": "ab"[i // 2 % 2]} if i % 2 else
         {"subtask": "t", "label": "pq"[i // 2 % 2]} for i in range(16)]  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a store of sixteen train and eleven test examples."""

    def write(name: str, *, dtype: str = "float32", tasks: bool = True, shard_rows: int = 8):
        counts = {"train": 16, "test": 11}
        plan = {split: planned(split, count) for split, count in counts.items()}
        rng = np.random.default_rng(8)
        with open_writer(
            tmp_path / name, identity(dtype, GRID), plan, shard_rows=shard_rows
        ) as writer:
            for spec in writer.missing():
                rows = [dict(row) for row in TASKS[spec.start : spec.stop]]
                for row in rows:
                    row["subtask"] = row["subtask"] if tasks else "t"
                layers = {
                    g.layer: to_stored(
                        rng.normal(size=(len(g.heads), spec.rows, g.head_dim)), dtype
                    )
                    for g in GRID
                }
                writer.write(
                    spec,
                    ShardContent(
                        layers=layers,
                        examples=columns(spec.split, rows, spec.start),
                        skipped=columns(spec.split, []) | {"reason": []},
                        run={},
                    ),
                )
            assert writer.seal()
        return open_store(tmp_path / name)

    return write


def chosen(selection) -> list[tuple[int, int]]:
    return [head for task in selection.tasks for head in task.heads]


@pytest.mark.parametrize("tasks", [False, True], ids=["one task", "two tasks"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_slim_store_evaluates_to_the_same(make, tmp_path, dtype, tasks) -> None:
    full = make("full", dtype=dtype, tasks=tasks)
    selection = select(full, heads=2)
    small = slim(full, chosen(selection), tmp_path / "slim")
    assert len(small.heads) < len(full.heads)
    saved = load_selection(save_selection(selection, tmp_path / "saved"))
    expected, found = evaluate(full, selection), evaluate(small, saved)
    assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    assert found.to_json() == expected.to_json()
    assert expected.predictions.height == 11


def test_a_head_votes_the_same_in_a_slim_store(make, tmp_path) -> None:
    full = make("full")
    small = slim(full, [(1, 3), (0, 2)], tmp_path / "slim")
    heads = [(1, 3), (0, 2)]
    assert_frame_equal(heads_frame(small, heads).collect(), heads_frame(full, heads).collect())


def test_heads_chosen_from_the_slim_store_itself_are_the_same(make, tmp_path) -> None:
    full = make("full", tasks=False)
    first = select(full, heads=2)
    small = slim(full, chosen(first), tmp_path / "slim")
    again = select(small, heads=2)
    assert again.tasks[0].heads == first.tasks[0].heads
    assert again.tasks[0].scores == first.tasks[0].scores
    assert_frame_equal(evaluate(small, again).predictions, evaluate(full, first).predictions)


def test_a_slim_store_without_a_chosen_head_is_refused(make, tmp_path) -> None:
    full = make("full")
    selection = select(full, heads=2)
    others = [head for head in full.heads if head != chosen(selection)[0]]
    with pytest.raises(SelectionError, match=r"head grid: '[23] layers, 5 heads' in the store, '3"):
        evaluate(slim(full, others, tmp_path / "slim"), selection)


def test_a_merged_store_evaluates_as_the_whole_one(make, tmp_path) -> None:
    whole = make("whole")
    halves = []
    for number in (0, 1):
        half = make(f"half{number}")
        for path in sorted(half.path.glob("*.h5"))[number::2]:
            path.unlink()
        halves.append(open_store(half.path, partial=True))
    merged = merge(halves, tmp_path / "merged")
    expected, found = (evaluate(store, select(store, heads=3)) for store in (whole, merged))
    assert_frame_equal(found.predictions, expected.predictions, check_exact=True)
    assert found.to_json() == expected.to_json()
