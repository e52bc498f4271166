"""`extract --append`: a store that grows equals one that was made at once, whatever interrupts."""

import json

import numpy as np
import polars as pl
import pytest

from savs import evaluate, extract, merge, save_selection, select, verify
from savs.datasets import RowError
from savs.pipeline.extraction.line.sinks import StoredShards
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.compatibility import appended_since
from savs.stores import (
    StoreIncompleteError,
    StoreMismatchError,
    StoreNotFoundError,
    open_store,
    reserve,
)
from savs.stores.maintain.copy import slim
from savs.stores.maintain.repair import repair

pytestmark = pytest.mark.thorough

LIMIT = 1e-6
"""Batches of other sizes round differently."""


class Rows:
    """Files of a growing data set, and a store of it."""

    def __init__(self, inputs, store):
        self.inputs, self.store = inputs, store
        self.said: list[str] = []

    def file(self, name, numbers, **other):
        rows = [
            {
                "id": f"r{n}",
                "image": self.inputs.image(f"{n}.png", n),
                "question": "What is it?",
                "label": "ab"[n % 2],
            }
            | other
            for n in numbers
        ]
        return self.inputs.rows(name, rows)

    def extract(self, out=None, **options):
        self.said.clear()
        reporting = Reporting(self.said.append)
        given = {"model": "demo", "dtype": "float32", "shard_rows": 2} | options
        return extract("general", out=out or self.store, reporting=reporting, **given)

    def append(self, **options):
        return self.extract(append=True, **options)


@pytest.fixture
def grown(inputs, tmp_path):
    return Rows(inputs, tmp_path / "store")


@pytest.mark.parametrize("asked", [{"video": "frames"}, {"video_frames": 4}], ids=str)
def test_images_are_added_with_options_of_videos_that_neither_has(grown, asked):
    grown.extract(train=grown.file("first.jsonl", range(4)), **asked)
    added = grown.append(train=grown.file("more.jsonl", range(4, 7)), **asked)
    assert added.rows == 3
    assert asked.items() <= added.store.manifest.identity.processor.items()


def test_a_store_that_grew_equals_one_that_was_made_at_once(grown):
    first, more = grown.file("first.jsonl", range(4)), grown.file("more.jsonl", range(2, 7))
    test = grown.file("test.jsonl", range(10, 13))
    whole = grown.extract(
        out=grown.store.parent / "whole", train=grown.file("all.jsonl", range(7)), test=test
    ).store
    grown.extract(train=first)
    before = {path.name: path.read_bytes() for path in grown.store.glob("*.h5")}
    added = grown.append(train=more)
    assert added.rows == 3
    assert "append: 3 train examples to read; 2 more are in the store already" in (grown.said)
    done = grown.append(test=test).store
    assert {name: (grown.store / name).read_bytes() for name in before} == before
    for split in ("train", "test"):
        assert done.examples(split)["id"].equals(whole.examples(split)["id"])
        apart = np.abs(done.features(split) - whole.features(split)).max()
        assert apart <= LIMIT * np.abs(whole.features(split)).max()
    assert done.manifest.sealed
    assert not verify(grown.store).problems
    grown.append(train=more, test=test)
    assert "0 examples to do: the model is not loaded" in grown.said


def test_an_example_that_the_store_has_in_its_other_split_is_not_run_again(grown, monkeypatch):
    train, test = grown.file("train.jsonl", range(4)), grown.file("test.jsonl", range(10, 14))
    store = grown.extract(train=train, test=test).store
    from savs.pipeline.extraction.model.loaded_model import LoadedModel

    passes = []
    run = LoadedModel.run
    monkeypatch.setattr(LoadedModel, "run", lambda *a, **k: (passes.append(1), run(*a, **k))[1])
    labelled = grown.file("labelled.jsonl", [10, 11])
    done = grown.append(train=labelled).store
    assert not passes
    assert (done.features("train")[:, 4:] == store.features("test")[:, :2]).all()
    assert any(line.startswith("leak: 2 of 6 training examples") for line in grown.said)


def test_new_test_examples_that_repeat_stored_or_new_training_examples_are_named(grown):
    grown.extract(train=grown.file("train.jsonl", range(4)), test=grown.file("t.jsonl", [10, 11]))
    grown.append(test=grown.file("more.jsonl", [1, 12]))
    assert [line for line in grown.said if line.startswith("leak")] == [
        "leak: 1 of 4 training examples is also in the test split, as 1 test example (r1)"
    ]
    both = {"train": grown.file("a.jsonl", [5]), "test": grown.file("b.jsonl", [5, 13])}
    grown.append(**both)
    assert [line for line in grown.said if line.startswith("leak")] == [
        "leak: 2 of 5 training examples are also in the test split, as 2 test examples (r1, r5)"
    ]


def test_an_interrupted_append_loses_one_shard_and_goes_on(grown, monkeypatch):
    first, more = grown.file("first.jsonl", range(4)), grown.file("more.jsonl", range(4, 10))
    grown.extract(train=first)
    reader = open_store(grown.store)
    write, written = StoredShards.write, []

    def stop(self, spec, content):
        if written:
            raise KeyboardInterrupt
        written.append(spec.name)
        return write(self, spec, content)

    with monkeypatch.context() as patch:
        patch.setattr(StoredShards, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            grown.append(train=more)
    left = open_store(grown.store)
    assert [spec.name for spec in left.missing()] == ["train-00003.h5", "train-00004.h5"]
    assert reader.examples("train").height == 4  # opened before: all of the earlier store
    with pytest.raises(StoreIncompleteError, match=r"train-00003\.h5"):
        select(left)
    problems = verify(grown.store).problems
    assert [p.kind for p in problems if p.kind != "left-over"] == ["missing", "missing"]
    assert repair(grown.store).to_redo == ("train-00003.h5", "train-00004.h5")
    with pytest.raises(StoreIncompleteError, match="'r6' is not among those given"):
        grown.append(train=grown.file("others.jsonl", range(20, 24)))
    done = grown.append(train=more)
    assert done.rows == 4
    assert done.store.examples("train")["id"].to_list() == [f"r{n}" for n in range(10)]
    assert not verify(grown.store).problems


def test_processes_that_append_the_same_share_one_plan(grown):
    from savs.datasets import find_benchmark
    from savs.pipeline.extraction.rows.appending import add_examples
    from savs.pipeline.inputs.input_options import InputOptions
    from savs.pipeline.inputs.source import Source
    from savs.pipeline.inputs.stored_rows import planned_rows

    store = grown.extract(train=grown.file("first.jsonl", range(4))).store
    more = InputOptions(train=grown.file("more.jsonl", range(4, 9)))
    wanted = add_examples(store, Source(find_benchmark("general"), more)).examples
    rows = {split: planned_rows(found) for split, found in wanted.items()}
    identity = store.manifest.identity
    with reserve(grown.store) as one, reserve(grown.store) as other:
        writers = [place.begin(identity, rows, 2) for place in (one, other)]
    assert writers[0].manifest.plan == writers[1].manifest.plan
    assert [len(writer.missing()) for writer in writers] == [3, 3]


def test_what_cannot_be_appended_is_refused(grown):
    train = grown.file("train.jsonl", range(4))
    with pytest.raises(StoreNotFoundError, match="leave out `append`"):
        grown.append(train=train)
    assert not grown.store.exists()
    grown.extract(train=train, test=grown.file("test.jsonl", range(4, 6)))
    unlabelled = [json.loads(line) | {"label": None} for line in train.read_text().splitlines()]
    rows = grown.inputs.rows("new.jsonl", [row | {"id": row["id"] + "n"} for row in unlabelled])
    with pytest.raises(RowError):
        grown.append(test=rows)
    with pytest.raises(StoreMismatchError, match="`append` to add examples"):
        grown.extract(train=grown.file("more.jsonl", range(6, 9)))


def test_shards_with_skipped_examples_are_made_again_where_all_their_rows_are_given(grown):
    first = grown.file("first.jsonl", range(4))
    (grown.inputs.root / "1.png").write_bytes(b"no image")
    grown.extract(train=first)
    more = grown.file("more.jsonl", range(4, 6))
    grown.inputs.image("1.png", 1)
    assert grown.append(train=more, retry_skipped=True).rows == 2
    done = grown.append(train=first, retry_skipped=True)
    assert done.rows == 2
    assert not done.skipped
    found = done.store.examples("train")
    assert set(found["split"]) == {"train"}
    assert found.height == 6
    assert verify(done.store.path).problems == ()


def test_selections_made_before_say_that_they_are_older(grown):
    grown.extract(train=grown.file("train.jsonl", range(6)), test=grown.file("t.jsonl", [7, 8]))
    older = select(open_store(grown.store), heads=2)
    save_selection(older, grown.store / "results" / "vote")
    store = grown.append(train=grown.file("more.jsonl", range(10, 13))).store
    assert appended_since(older, store.manifest) == 3
    note = (
        "the selection is older than its store: 3 training examples were appended since; make it"
        " again to use them, with `savs train` or `savs select`"
    )
    assert evaluate(store, older).notes[0] == note
    assert store.results["vote"].older_notes == [note]
    assert store.results["vote"].is_older
    newer = select(store, heads=2)
    save_selection(newer, grown.store / "results" / "vote")
    assert not store.results["vote"].is_older
    assert note not in evaluate(store, newer).notes


def test_stores_that_grew_can_be_made_small_and_merged(grown):
    grown.extract(train=grown.file("train.jsonl", range(4)))
    grown.append(train=grown.file("more.jsonl", range(4, 7)))
    folder = grown.store.parent
    small = slim(open_store(grown.store), [(0, 0), (1, 2)], folder / "small")
    other = grown.extract(
        out=folder / "other",
        train=grown.file("others.jsonl", range(20, 24)),
        test=grown.file("test.jsonl", range(30, 32)),
    ).store
    both = merge([open_store(grown.store), other], folder / "both")
    assert small.examples("train").height == 7
    assert both.examples("train").height == 11
    assert both.examples("test").height == 2
    assert isinstance(both.examples(), pl.DataFrame)


def test_a_store_of_training_examples_alone(grown):
    store = grown.extract(train=grown.file("train.jsonl", range(6))).store
    assert list(store.manifest.plan.splits) == ["train"]
    with pytest.raises(
        StoreIncompleteError, match=r"no test split, only train; add one: .* --folds"
    ):
        evaluate(store, select(store, heads=2))
