"""A store as a sink: finished shards are read again, and progress is given to other processes."""

import numpy as np
import pytest
from claimants import ended, leave_claim

from savs.datasets import Example, MediaFolder
from savs.pipeline.extraction.line.sinks import MemorySink, StoredShards, StoreSink, in_shards
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.sites import HEADS
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.running.launchers import Rank
from savs.stores import ShardContent, StoreMismatchError, open_writer, reserve
from stores import GRID, columns, identity, planned


def content(places: list[int], skipped: list[int], run: str) -> ShardContent:
    """Return the rows of a shard; the features of each are its place."""
    rows = [
        [{"index": p, "id": f"train:{p}", "label": "a"} for p in part] for part in (places, skipped)
    ]
    values = np.repeat(np.array(places, np.float32)[None, :, None], 3, axis=0)
    return ShardContent(
        {grid.layer: np.repeat(values[: len(grid.heads)], 4, axis=2) for grid in GRID},
        columns("train", rows[0]),
        columns("train", rows[1]) | {"reason": ["no image"] * len(skipped)},
        {"run": run},
    )


def first(files: StoredShards, spec) -> float:
    return float(files.read(spec, [0]).read.heads[0][0, 0, 0])


def test_a_shard_that_was_lost_to_another_process_is_read_as_it_was_made_here(tmp_path) -> None:
    rows = {"train": planned("train", 2)}
    with (
        open_writer(tmp_path, identity(), rows) as writer,
        open_writer(tmp_path, identity(), rows) as other,
    ):
        files = StoredShards(writer)
        spec = next(writer.open_shards(writer.missing()).claimed())
        leave_claim(tmp_path, spec.name, ended(), generation=1)
        assert StoredShards(other).write(spec, content([1], [0], "the other's"))
        assert not files.write(spec, content([0, 1], [], "ours"))
        assert first(files, spec) == 0.0


def test_a_shard_that_was_lost_and_made_again_is_read_as_it_is_on_the_disk(tmp_path) -> None:
    with open_writer(tmp_path, identity(), {"train": planned("train", 2)}) as writer:
        files = StoredShards(writer)
        spec = next(writer.open_shards(writer.missing()).claimed())
        leave_claim(tmp_path, spec.name, ended(), generation=1)
        assert not files.write(spec, content([0, 1], [], "lost"))
        assert next(writer.open_shards(writer.missing()).claimed()) == spec
        assert files.write(spec, content([1], [0], "made again"))
        assert first(files, spec) == 1.0


def test_a_shard_that_was_written_again_meanwhile_is_not_read(tmp_path) -> None:
    rows = {"train": planned("train", 2)}
    with open_writer(tmp_path, identity(), rows) as writer:
        (spec,) = writer.missing()
        files = StoredShards(writer)
        assert files.write(spec, content([1], [0], "with a skip"))
        assert first(files, spec) == 1.0
        with open_writer(tmp_path, identity(), rows) as other:
            other.reopen_skipped()
            assert other.write(spec, content([0, 1], [], "mended"))
        with pytest.raises(StoreMismatchError, match=r"written again by another process"):
            first(files, spec)


def test_a_process_waits_only_where_it_found_no_shard(tmp_path, monkeypatch) -> None:
    examples = {"train": [Example(f"train:{n}", "train", n, "a", "?", ()) for n in range(3)]}
    lines: list[str] = []
    with reserve(tmp_path / "store") as place:
        sink = StoreSink(
            HEADS,
            {HEADS: place},
            examples,
            lambda _: MediaFolder(tmp_path),
            RunOptions(shard_rows=2),
            say=lines.append,
            rank=Rank(0, 3),
        )
        told: list[tuple[str, int]] = []
        monkeypatch.setattr(
            place.claims.signs, "note", lambda state, **facts: told.append((state, facts["rows"]))
        )
        assert sink.begin({HEADS: identity()}, NO_ANSWERS) == 3
        shards = next(sink.passes(lambda rows: None))
        for shard in shards:  # claimed one by one
            assert shard.examples == examples["train"][:2]
            assert sink.tell(0) == 0  # a window whose rows the model has not run yet
            assert sink.tell(1) == sink.tell(1) == 1
            sink._shards.others_rows = 4
            assert sink.tell(1) == 1 + 4  # rows of others count once
            assert sink.tell(1) == 1
            break
        sink.tell(0, waits=True)
    assert told == [*(("extracting", rows) for rows in range(5)), ("waiting", 4)]
    assert lines[0].startswith("3 examples to do: ")
    assert lines[1].startswith("3 ranks share 2 shards: some will have nothing to do")


def test_shards_in_memory_have_the_order_of_their_rows_whichever_was_whole_first(tmp_path) -> None:
    examples = [Example(f"test:{n}", "test", n, "a", "?", ()) for n in range(5)]
    sink = MemorySink(in_shards(examples, lambda _: MediaFolder(tmp_path), 2))
    assert sink.rows_left({}) == sink.begin({HEADS: identity()}, NO_ANSWERS) == 5
    ((first, second, third),) = sink.passes(lambda rows: None)
    assert [shard.examples for shard in (first, second, third)] == [
        examples[:2],
        examples[2:4],
        examples[4:],
    ]
    for shard, places in ((third, [4]), (first, [0, 1]), (second, [2, 3])):
        sink.write(shard.spec, {HEADS: content(places, [], "ours")})
        assert sink.tell(len(places)) == len(places)
    assert [one.examples["id"][0] for one in sink.in_order()] == ["train:0", "train:2", "train:4"]
    assert sink.rows == 5
    assert sink.read(second.spec, [1]).read.heads[0][0, 0, 0] == 3.0
