"""What a source changes in a store is written once, however often it is tried."""

from dataclasses import replace

import pytest

from savs.stores import StoreMismatchError
from savs.stores.format.manifest import LateLabel, PlacedRow, read_manifest
from savs.stores.format.plan import StorePlan, make_plan
from savs.stores.format.revision import UNREVISED, Revision
from stores import planned


def test_labels_and_rows_are_revised_once_and_labels_that_come_after_stay(tmp_path, toy) -> None:
    toy.write(tmp_path / "store")
    before = read_manifest(tmp_path / "store")
    moved, gone, renamed = before.plan.splits["train"].ids[:3]
    revision = Revision(
        before=before,
        plan=before.plan,
        rows={"train": {moved: PlacedRow("new", "train", "here")}},
        dropped_labels={("train", gone)},
        renamed_labels={"old": "here"},
    )
    late = {gone: LateLabel("there", "train"), renamed: LateLabel("old", "test")}
    now = replace(before, labels={"train": late})
    labels = {"train": {renamed: LateLabel("here", "test")}}
    assert (revision.rows_of(now), revision.labels_of(now)) == (revision.rows, labels)
    only = replace(now, labels={"train": {gone: LateLabel("there", "train")}})
    assert revision.labels_of(only) == {}
    done = replace(now, rows=revision.rows)  # labels that came since are not revised again
    assert (revision.rows_of(done), revision.labels_of(done)) == (done.rows, done.labels)
    assert (UNREVISED.rows_of(done), UNREVISED.labels_of(now)) == (done.rows, now.labels)
    other = replace(now, rows={"train": {moved: PlacedRow("another", "train", "here")}})
    for ask in (revision.rows_of, revision.labels_of, revision.plan_of):
        with pytest.raises(StoreMismatchError, match="another process changed it meanwhile"):
            ask(other)
    for train in ({}, {"train": make_plan({"train": planned("train", 3)}, 2).splits["train"]}):
        splits = {"test": before.plan.splits["test"], **train}
        other = replace(before, plan=StorePlan(2, splits), shards=())
        with pytest.raises(StoreMismatchError, match="another process changed it meanwhile"):
            replace(revision, rows={}).rows_of(other)
