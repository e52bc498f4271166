"""A store as a sink: finished shards are read again, and progress is given to other processes."""

import numpy as np
import pytest
from claimants import ended, leave_claim

from savs.datasets import Example, MediaFolder
from savs.pipeline.extraction.line.sinks import StoredShards, StoreSink
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.pipeline.extraction.model.sites import HEADS
from savs.pipeline.extraction.run_options import RunOptions
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
    examples = {"train": [Example(f"train:{n}", "train", n, "a", "?", ()) for n in range(2)]}
    with reserve(tmp_path / "store") as place:
        sink = StoreSink(
            HEADS, {HEADS: place}, examples, lambda _: MediaFolder(tmp_path), RunOptions()
        )
        told: list[str] = []
        monkeypatch.setattr(place.claims.signs, "note", lambda state, **facts: told.append(state))
        assert sink.begin({HEADS: identity()}, NO_ANSWERS) == 2
        shards = next(sink.passes(lambda rows: None))
        for shard in shards:  # claimed one by one
            assert shard.examples == examples["train"]
            assert sink.tell(0) == 0  # a window whose rows the model has not run yet
            assert sink.tell(2) == 2
            break
        sink.tell(0, waits=True)
    assert told == ["extracting", "extracting", "waiting"]
