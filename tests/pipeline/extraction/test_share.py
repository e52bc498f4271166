"""What a process tells the others of its share."""

from savs.pipeline.extraction.share import Share
from savs.stores import open_writer
from stores import identity, planned


def test_a_process_waits_only_where_it_found_no_shard(tmp_path, monkeypatch) -> None:
    with open_writer(tmp_path, identity(), {"train": planned("train", 2)}) as writer:
        told: list[str] = []
        monkeypatch.setattr(writer.claims.signs, "note", lambda state, **facts: told.append(state))
        share = Share(writer, writer.open_shards(writer.missing()))
        share.tell(0)  # a window whose rows the model has not run yet
        share.tell(2)
        share.tell(0, waits=True)
        assert told == ["extracting", "extracting", "waiting"]
