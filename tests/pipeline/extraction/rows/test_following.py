"""A store that follows its sources, without a model: runs that stop early, and what they leave."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pytest

from savs import label
from savs.datasets import RowError, SourceError
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.extraction.line.assembly import NOT_FINITE
from savs.pipeline.extraction.rows.appending import WantedExamples, add_examples
from savs.pipeline.extraction.rows.following import follow_examples
from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.stores import (
    FeatureStore,
    ShardContent,
    StoreIncompleteError,
    StoreMismatchError,
    open_store,
    reserve,
)
from savs.stores.read.store import store_of
from stores import GRID, identity

ALL = 99


class Runs:
    """Runs of a toy model into one store, from files of any bytes."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "store"

    def put(self, *names: str, data: str | None = None) -> None:
        """Write files whose bytes are their names, or others."""
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(data or name)

    def table(self, name: str, rows: list[dict[str, Any]]) -> str:
        (self.root / name).write_text("\n".join(map(json.dumps, rows)))
        return str(self.root / name)

    def source(self, train: str | None, question: Any = "?", **options: Any) -> Source:
        inputs = InputOptions(train=train, question=question, **options)
        name = "image-folder" if train and Path(train).is_dir() else "general"
        return Source(choose_benchmark(name, question=question, labels=inputs.labels), inputs)

    def run(
        self,
        train: str | None = "photos",
        shards: int = ALL,
        *,
        follows: bool = True,
        allow_removed: bool = False,
        skipped: Mapping[str, str] = {},
        recorded: Mapping[str, Any] = {},
        **options: Any,
    ) -> WantedExamples:
        """Follow a source, or add to it, and write some of the shards; two rows make a shard."""
        source = self.source(train and str(self.root / train), **options)
        with reserve(self.out) as place:
            store = None if place.manifest is None else store_of(place.path, place.manifest)
            wanted = (
                follow_examples(store, source, allow_removed=allow_removed)
                if follows
                else add_examples(store, source)
                if store
                else WantedExamples(found := source.examples(), found, frozenset(), [], frozenset())
            )
            rows = {split: planned_rows(some) for split, some in wanted.examples.items()}
            what = identity(options=source.benchmark.options)
            what = replace(what, processor={**what.processor, **recorded})
            writer = place.begin(what, rows, 2, wanted.revision)
            for spec in writer.missing()[:shards]:
                todo = {row.id: row for row in wanted.todo[spec.split]}
                part = [todo[name] for name in writer.manifest.plan.planned_ids(spec)]
                kept = [row for row in part if row.id not in skipped]
                out = [row for row in part if row.id in skipped]
                digests = {
                    row.id: tuple(
                        sha256(source.media(spec.split).read(name)).hexdigest()
                        for name in row.media
                    )
                    for row in part
                }
                content = ShardContent(
                    {
                        grid.layer: np.zeros((len(grid.heads), len(kept), 4), np.float32)
                        for grid in GRID
                    },
                    example_columns(kept, [digests[row.id] for row in kept]),
                    example_columns(out, [digests[row.id] for row in out])
                    | {"reason": [skipped[row.id] for row in out]},
                    {},
                )
                writer.write(spec, content)
            if not writer.missing():
                writer.seal()
        return wanted

    @property
    def store(self) -> FeatureStore:
        return open_store(self.out)


def ids(wanted: WantedExamples, split: str = "train") -> list[str]:
    return [row.id for row in wanted.todo.get(split, [])]


def in_shards(store: FeatureStore, split: str = "train") -> Collection[str]:
    return sorted(store.examples(split)["id"].to_list())


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    runs = Runs(tmp_path)
    runs.put(*(f"photos/{'ab'[n % 2]}/{n}.png" for n in range(6)))
    return runs


PHOTOS = [f"{'ab'[n % 2]}/{n}.png" for n in (0, 2, 4, 1, 3, 5)]


@pytest.mark.parametrize("shards", [0, 1])
def test_a_run_that_stopped_goes_on_with_the_shards_that_it_planned(runs, shards) -> None:
    first = runs.run(shards=shards)
    assert ids(first) == PHOTOS
    again = runs.run()
    assert ids(again) == PHOTOS[2 * shards :]
    assert again.notes[0].endswith("photos: 6 new" if not shards else "photos: 4 new")
    assert runs.store.manifest.plan == open_store(runs.out).manifest.plan
    assert runs.store.manifest.plan.splits["train"].dropped == ()
    assert runs.store.manifest.rows == {}
    assert in_shards(runs.store) == sorted(PHOTOS)
    assert ids(runs.run()) == []


def test_of_shards_whose_files_changed_before_they_were_read_the_rest_is_planned_anew(runs) -> None:
    runs.run(shards=1)
    runs.put("photos/a/4.png", data="other bytes")
    (runs.root / "photos/b/5.png").unlink()
    runs.run(shards=0)
    runs.put("photos/b/6.png")
    (runs.root / "photos/b/3.png").unlink()
    again = runs.run()
    assert again.revision.plan is not None
    assert again.revision.plan.splits["train"].dropped == (1, 2, 3, 4)
    assert ids(again) == ["a/4.png@3", "b/1.png@3", "b/6.png"]
    assert not any("left out" in line for line in again.notes)
    left = ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/6.png"]
    assert in_shards(runs.store) == left
    assert [row.id for row in again.labelled or ()] == left
    assert ids(runs.run()) == []


def test_files_that_another_source_did_not_come_to_are_left_out_and_named(runs) -> None:
    runs.run(shards=1)
    runs.put(*(f"more/{name}" for name in PHOTOS[2:]))
    note = f"4 train examples of {runs.root / 'photos'} that were not read yet are left out"
    assert any(line.startswith(note) for line in runs.run("more").notes)
    assert in_shards(runs.store) == sorted(PHOTOS)
    sources = runs.store.manifest.plan.splits["train"].sources()
    assert sources["a/4.png@2"] == str(runs.root / "more")


def rows_of(*files: int) -> list[dict[str, str]]:
    return [{"image": f"photos/{'ab'[n % 2]}/{n}.png", "label": "ab"[n % 2]} for n in files]


@pytest.mark.parametrize("shards", [0, 1])
def test_examples_that_no_source_brought_must_be_there_until_they_are_read(runs, shards) -> None:
    runs.run(runs.table("rows.jsonl", rows_of(*range(6))), shards, follows=False)
    fewer = runs.table("fewer.jsonl", [*rows_of(0, 1), {"image": "photos/gone.png", "label": "a"}])
    with pytest.raises(StoreIncompleteError, match=f"shard train-0000{shards}.* and .*fewer"):
        runs.run(fewer)


def test_rows_of_an_image_lie_side_by_side_and_one_that_changed_is_planned_anew(runs) -> None:
    rows = [{**row, "question": n} for n in "AB" for row in rows_of(0, 1)]
    table = runs.table("rows.jsonl", rows)
    runs.run(table, shards=1, question=None)
    again = runs.run(table, shards=0, question=None)
    assert ids(again) == ["rows:1", "rows:3"]
    runs.table("rows.jsonl", [*rows[:3], rows[3] | {"label": "c"}])
    assert ids(runs.run(table, question=None)) == ["rows:1@2", "rows:3@2"]


def test_rows_under_another_id_than_planned_go_on_too(runs) -> None:
    table = runs.table("rows.jsonl", rows_of(0, 1, 2))
    runs.run(table)
    runs.table("rows.jsonl", rows_of(3, 1, 2, 4, 5))  # the id of the first is another row's
    stopped = runs.run(table, shards=0)
    assert ids(stopped) == ["rows:0@2", "rows:3", "rows:4"]
    assert ids(runs.run(table)) == ids(stopped)
    assert in_shards(runs.store) == [f"rows:{n}" for n in range(5)]
    media = dict(runs.store.examples("train").select("id", "media").iter_rows())
    assert media["rows:0"] == ["photos/b/3.png"]


def test_each_column_of_a_table_is_followed(runs) -> None:
    rows = [row | {"group": "g", "category": "c", "subtask": "s"} for row in rows_of(0, 1, 2, 3)]
    table = runs.table("rows.jsonl", rows)
    runs.run(table)
    runs.table(
        "rows.jsonl",
        [rows[0] | {"group": "h"}, rows[1] | {"category": "d"}, rows[2] | {"n": "1"}, rows[3]],
    )
    done = runs.run(table)
    assert (ids(done), done.notes[0]) == ([], f"{table}: 3 changed")
    now = runs.store.examples("train").select("group", "category", "extra").rows()
    assert now == [("h", "c", "{}"), ("g", "d", "{}"), ("g", "c", '{"n":"1"}'), ("g", "c", "{}")]
    runs.table("rows.jsonl", [row | {"subtask": f"s{n // 2}"} for n, row in enumerate(rows)])
    assert len(ids(runs.run(table))) == 4  # another subtask is another example


def test_a_row_that_is_skipped_for_its_features_is_not_tried_again(runs, inputs) -> None:
    for name in ("a/0.png", "b/1.png"):
        image = inputs.root / inputs.image(name, seed=ord(name[0]))
        image.rename(runs.root / "photos" / name)
    runs.run(skipped={"a/0.png": f"L0.H0 {NOT_FINITE}", "b/1.png": "cannot be decoded"})
    again = runs.run()
    assert ids(again) == ["b/1.png@2"]
    assert sorted(row.id for row in again.labelled or ()) == sorted(PHOTOS[1:])


def test_files_in_many_classes_are_a_doubt_that_a_strict_run_refuses(runs) -> None:
    runs.put("photos/a/x.png", "photos/b/x.png", "photos/c/x.png", data="twin")
    runs.put("photos/c/0.png", "photos/c/1.png")
    said = "a/x.png and b/x.png and c/x.png have the same bytes and different classes, so none is"
    with pytest.raises(RowError, match=said):
        runs.run(strict=True)
    assert any(line.startswith(said) for line in runs.run().warnings)


def test_the_last_row_with_a_number_may_go_and_the_last_of_a_class_may_not(runs) -> None:
    rows = [row | {"label": n} for n, row in enumerate(rows_of(0, 1, 2, 3))]
    for task, name in (("regression", "n"), (None, "c")):
        runs.out = runs.root / f"{name}-store"
        table = runs.table(f"{name}.jsonl", rows)
        runs.run(table, task=task)
        runs.table(f"{name}.jsonl", rows[:3])
        if task is None:
            with pytest.raises(SourceError, match="lacks all 1 examples of class '3'"):
                runs.run(table)
        else:
            assert runs.run(table, task=task).notes[0] == f"{table}: 1 removed"


def test_a_class_whose_name_another_one_has_now_is_not_renamed_in_late_labels(runs) -> None:
    runs.run()
    label(runs.out, {"b/1.png": "a", "b/3.png": "a"})
    (runs.root / "photos/a").rename(runs.root / "photos/c")
    runs.put("photos/a/new.png")
    assert runs.run().warnings == []
    labels = dict(runs.store.examples("train").select("id", "label").iter_rows())
    assert (labels["c/0.png"], labels["b/1.png"], labels["b/3.png"]) == ("c", "a", "a")
    (runs.root / "photos/unlabelled").mkdir()
    (runs.root / "photos/b/3.png").rename(runs.root / "photos/unlabelled/3.png")
    (line,) = runs.run().warnings
    assert line == ("1 correction dropped: b/3.png has moved to unlabelled, and was corrected to a")


def test_under_several_questions_what_became_of_an_image_is_said_once(runs) -> None:
    asked = ("One?", "Two?")
    runs.run(question=asked)
    with pytest.raises(StoreMismatchError, match=r"asks None, and now it is .One\?"):
        runs.run(question="One?")
    with pytest.raises(StoreMismatchError, match=r"asks \['One"):
        runs.run(question=("One?", "Else?"))
    label(runs.out, {"a/0.png": "b"})
    (runs.root / "photos/c").mkdir()
    (runs.root / "photos/a/0.png").rename(runs.root / "photos/c/0.png")
    done = runs.run(question=asked)
    assert done.notes[0].endswith("photos: 1 moved")
    assert done.warnings == ["1 correction dropped: a/0.png has moved to c, and was corrected to b"]


def test_a_label_that_came_later_stays_with_a_row_whose_shard_is_lost(runs) -> None:
    runs.run()
    label(runs.out, {"a/0.png": "b"})
    (runs.out / "train-00000.h5").unlink()
    again = runs.run(shards=0)
    assert ids(again) == PHOTOS[:2]
    assert {row.id: row.label for row in again.labelled or ()}["a/0.png"] == "b"


def test_shards_can_be_made_again_of_rows_that_lie_where_they_did(runs) -> None:
    runs.run(recorded={"video": "native", "video_frames": 8})
    (runs.root / "photos/a/0.png").rename(runs.root / "photos/b/0.png")
    (runs.root / "photos/unlabelled").mkdir()
    (runs.root / "photos/a/2.png").rename(runs.root / "photos/unlabelled/2.png")
    done = runs.run(recorded={"video": "native", "video_frames": 8})
    assert done.readable == {("train", name) for name in PHOTOS[2:]}
    assert VIDEOS in done.kinds


def test_an_id_that_the_source_has_for_another_row_now_is_not_appended(runs) -> None:
    table = runs.table("rows.jsonl", rows_of(0, 1, 2, 3, 4))
    runs.run(table)
    runs.table("rows.jsonl", rows_of(1, 2, 3, 4))
    runs.run(table)
    last = runs.table("last.jsonl", [row | {"id": "rows:4"} for row in rows_of(5)])
    with pytest.raises(StoreMismatchError, match="had the train example 'rows:4', which its"):
        runs.run(last, follows=False)
    wanted = runs.run(runs.table("more.jsonl", rows_of(5)), follows=False)
    assert ids(wanted) == ["more:0"]
    assert "append: 1 train example to read" in wanted.notes
    again = runs.run(runs.table("more.jsonl", rows_of(5, 0)), follows=False)
    assert "append: 1 train example to read; 1 more is in the store already" in again.notes


@pytest.mark.parametrize("follows", [True, False])
def test_a_doubt_about_a_test_image_is_said_once_for_all_questions(runs, follows) -> None:
    train = runs.table("train.jsonl", rows_of(0, 1))
    test = runs.table("test.jsonl", [*rows_of(2, 3), rows_of(2)[0] | {"label": "b"}])
    asked = ("One?", "Two?")
    runs.run(train, question=asked)
    notes = runs.run(train, follows=follows, test=test, question=asked).notes
    doubt = (
        "test: the same media and prompt have several labels, once: test:0 is 'a'; test:2 is 'b'"
    )
    assert [line for line in notes if line.startswith("test: ")] == [doubt]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "c"}, "label 'a' there, 'c' now"),
        ({"question": "Where?"}, r"about train example 'rows:0', and now it is 'Where\?'"),
        ({"category": "x"}, "category None there, 'x' now"),
        ({}, r"'rows:0' is in .* photos/a/0\.png with other bytes"),
    ],
    ids=str,
)
def test_the_id_of_another_example_is_not_appended(runs, change, said) -> None:
    rows = [row | {"question": "What?"} for row in rows_of(0, 1, 2)]
    table = runs.table("rows.jsonl", rows)
    runs.run(table, follows=False, question=None)
    before = (runs.out / "store.json").read_bytes()
    if not change:
        runs.put("photos/a/0.png", data="other")
    runs.table("rows.jsonl", [rows[0] | change, *rows[1:]])
    with pytest.raises(StoreMismatchError, match=said):
        runs.run(table, follows=False, question=None)
    assert (runs.out / "store.json").read_bytes() == before


@pytest.mark.parametrize("follows", [True, False])
def test_a_source_where_nothing_has_a_label_yet_goes_on(runs, follows) -> None:
    runs.run(None, unlabelled=runs.table("first.jsonl", rows_of(0, 1)))
    more = runs.table("more.jsonl", rows_of(2))
    assert ids(runs.run(None, follows=follows, unlabelled=more), "unlabelled") == ["more:0"]
    assert in_shards(runs.store, "unlabelled") == ["first:0", "first:1", "more:0"]


def test_one_of_the_test_examples_may_have_got_its_label_later(runs) -> None:
    train = runs.table("train.jsonl", rows_of(0, 1))
    test = runs.table("test.jsonl", [row | {"label": None} for row in rows_of(2, 3)])
    runs.run(train, test=test)
    label(runs.out, {"test:0": "a"}, split="test")
    done = runs.run(train, test=test)
    assert (done.todo, done.warnings) == ({}, [])
    assert runs.store.examples("test")["label"].to_list() == ["a", None]


def test_a_folder_that_was_emptied_on_purpose_leaves_nothing_to_train_on(runs) -> None:
    runs.run()
    for folder in (runs.root / "photos").iterdir():
        rmtree(folder)
    before = runs.store.manifest
    with pytest.raises(RowError, match="there are no training examples; pass at least one"):
        runs.run(allow_removed=True)
    assert runs.store.manifest == before
