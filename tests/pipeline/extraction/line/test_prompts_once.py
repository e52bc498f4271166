"""Equal prompts run once, in all shards, both splits and resumed runs."""

import json
import shutil

import numpy as np
import pytest
from reuse_runs import after_the_proof, same

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("reuse", ["auto", pytest.param("off", marks=pytest.mark.thorough)])
def test_a_prompt_that_recurs_in_another_shard_or_split_runs_once(
    run, inputs, rows, passes, reuse, workers
):
    train = rows("train", range(2))
    lines = train.read_text()
    again = inputs.rows("test.jsonl", [])
    copy = inputs.root / "copy.png"
    shutil.copy(inputs.root / "train0.png", copy)
    again.write_text(
        rows("other", range(3), 70).read_text() + lines + lines.replace("train0", "copy")
    )
    reporting, _ = after_the_proof(passes)
    given = {"train": train, "test": again, "dtype": "float32", "shard_rows": 3, "batch_size": 4}
    given |= {"reuse": reuse, "answers": "labels", "thumbnails": True}
    store = run(**given, workers=workers, reporting=reporting).store
    assert sum(passes) == 8 + 12
    train_table, test_table = store.examples("train"), store.examples("test")
    places = {
        (*sha, prompt): row
        for row, (sha, prompt) in enumerate(train_table["media_sha256", "prompt"].iter_rows())
    }
    same_rows = [
        (places[*sha, prompt], row)
        for row, (sha, prompt) in enumerate(test_table["media_sha256", "prompt"].iter_rows())
        if (*sha, prompt) in places
    ]
    assert len(same_rows) == 8 + 8
    ours, theirs = map(list, zip(*same_rows, strict=True))
    for read in (store.features, lambda split: store.output(split, "answers")[None]):
        np.testing.assert_array_equal(read("train")[:, ours], read("test")[:, theirs])
    assert train_table["thumbnail"][ours].equals(test_table["thumbnail"][theirs])


def test_a_resumed_run_takes_prompts_from_the_shards_that_are_there(run, rows, passes):
    train = rows("train", range(3))
    given = {"train": train, "test": train, "dtype": "float32", "shard_rows": 4}
    whole = run("whole", **given).store
    run("resumed", **given)
    for spec in whole.present("test"):
        (whole.path.parent / "resumed" / spec.name).unlink()
    reporting, said = after_the_proof(passes)
    same(whole, run("resumed", **given, reporting=reporting).store, 0, 0)
    assert passes == []
    assert any("12 examples to do" in line for line in said)


@pytest.mark.thorough
def test_a_prompt_that_cannot_be_run_is_refused_in_every_shard(run, inputs, rows):
    train = rows("train", range(2))
    (inputs.root / "bad.png").write_bytes((inputs.root / "train0.png").read_bytes()[:60])
    bad = json.dumps({"image": "bad.png", "question": "What?", "label": "a"}) + "\n"
    train.write_text(bad + train.read_text())
    test = inputs.rows("test.jsonl", [])
    test.write_text(rows("other", range(1), 9).read_text() + bad)
    store = run(train=train, test=test, shard_rows=2).store
    assert [store.skipped(split)["id"].to_list() for split in ("train", "test")] == [
        ["train:0"],
        ["test:4"],
    ]
    assert len(set(store.skipped()["reason"])) == 1


@pytest.mark.thorough
def test_thumbnails_that_are_asked_for_later_are_made(run, rows):
    train = rows("train", range(2))
    first = run(train=train, test=train, shard_rows=4).store
    for spec in first.present("test"):
        (first.path / spec.name).unlink()
    store = run(train=train, test=train, shard_rows=4, thumbnails=True).store
    assert store.examples("test")["thumbnail"].null_count() == 0


def test_shards_that_are_made_again_take_nothing_from_themselves(run, inputs, rows, passes):
    train = rows("train", range(2))
    test = inputs.rows(
        "test.jsonl",
        [
            {"image": name, "question": "What?", "label": "a"}
            for name in ("late.png", inputs.image("there.png", 3), inputs.image("again.png", 4))
        ],
    )
    given = {"train": train, "test": test, "dtype": "float32"}
    first = run(**given)
    assert first.store.skipped("test")["id"].to_list() == ["test:0"]
    before = first.store.features("test")
    inputs.image("late.png", 5)
    reporting, _ = after_the_proof(passes)
    store = run(**given, retry_skipped=True, reporting=reporting).store
    assert sum(passes) == 3
    np.testing.assert_allclose(store.features("test")[:, 1:], before, 1e-4, 1e-5)
