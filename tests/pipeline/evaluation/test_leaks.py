"""Test examples that training has seen: counted, named, and left out where that is wanted."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs import evaluate, select
from savs.datasets import MediaFolder, find_benchmark
from savs.datasets.splits.leaks import REPEATED, SHARED
from savs.pipeline.errors import LeakError
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source
from stores import make_store

pytestmark = pytest.mark.thorough


def seen(digest, prompt, name="m.png", group=None):
    """Return the columns of a row with one medium."""
    return {
        "media": json.dumps([name]),
        "media_sha256": json.dumps([digest]),
        "prompt": prompt,
        "group": group,
    }


TRAIN = [seen("A", "one", "a.png"), seen("B", "two"), seen("C", "three", "c.png"), seen("D", "4")]
TEST = [
    seen("A", "one", "a.png", "g0"),  # repeated: medium and prompt
    seen("E", "one", group="g0"),
    seen("F", "one", "a.png", "g1"),  # the name alone is no leak
    seen("G", "two", group="g1"),  # nor is the prompt
    seen("H", "?", group="g2"),
    seen("B", "other", group="g2"),  # shared: the medium with another prompt
    seen("C", "three", "x.png"),  # repeated under another name
    seen("I", "three"),
    seen("A", "one", group="g3"),  # repeated again
]
LEAKS = {0: REPEATED, 5: SHARED, 6: REPEATED, 8: REPEATED}
KEPT = [2, 3, 7]
LABELS = list("ababababa")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    train, test = (rng.normal(size=(4, n, 5)).astype(np.float32) for n in (4, len(TEST)))
    return train, list("abab"), test, LABELS


@pytest.fixture
def store(tmp_path, arrays):
    return make_store(tmp_path / "store", *arrays, train_rows=TRAIN, test_rows=TEST)


def test_leaks_are_counted_and_named_and_still_scored(savs, store):
    savs("select", store.path, "--heads", "2")
    done = savs("evaluate", store.path, "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert written["leaks"] == {
        "repeated": ["test:0", "test:6", "test:8"],
        "shared medium": ["test:5"],
    }
    # training examples 0 and 2 are there; g0 has a row that is not; g3 is one row, and wholly in
    assert [note for note in written["notes"] if "leak" in note] == [
        "leak: 2 of 4 training examples are also in the test split, as 3 test"
        " examples in 2 groups, 1 completely (test:0, test:6, test:8)",
        "leak: 4 test examples share a medium with a training example (test:0, test:5, test:6 ...)",
    ]
    assert (written["planned"], written["scored"], written["left_out"]) == (9, 9, 0)
    predictions = pl.read_parquet(written["predictions_file"])
    assert predictions["leak"].to_list() == [LEAKS.get(row) for row in range(len(TEST))]
    assert written["metrics"][0]["units"] == 9


def test_drop_leaks_leaves_out_whole_groups_and_changes_no_prediction(savs, store):
    everything = evaluate(store, select(store, heads=2))
    savs("select", store.path, "--heads", "2")
    done = savs("evaluate", store.path, "--drop-leaks")
    assert "note: 6 test examples were left out (--drop-leaks)" in done.stderr
    place = store.path / "results" / "vote"
    written = json.loads((place / "metrics.json").read_text())
    assert (written["planned"], written["scored"], written["left_out"]) == (9, 3, 6)
    assert written["leaks"] == {"repeated": [], "shared medium": []}
    assert any(note.startswith("leak: 2 of 4") for note in written["notes"])
    kept, whole = pl.read_parquet(place / "predictions.parquet"), everything.predictions
    assert kept["id"].to_list() == [f"test:{row}" for row in KEPT]
    assert kept["prediction"].to_list() == whole["prediction"].gather(KEPT).to_list()
    assert kept["leak"].null_count() == 3
    right = sum(kept["prediction"][n] == LABELS[row] for n, row in enumerate(KEPT))
    assert written["metrics"][0]["value"] == pytest.approx(right / 3)


CLEAN = {"train_rows": TRAIN, "test_rows": [seen(f"{n}", "one", "a.png") for n in range(9)]}


@pytest.mark.parametrize("rows", [CLEAN, {}], ids=["other media", "no media"])
def test_without_known_leaks_nothing_is_dropped(tmp_path, arrays, rows):
    store = make_store(tmp_path / "s", *arrays, **rows)
    plain, dropped = (evaluate(store, select(store, heads=2), drop_leaks=d) for d in (False, True))
    assert plain.predictions.equals(dropped.predictions)
    assert plain.predictions["leak"].null_count() == len(TEST)
    for found in (plain, dropped):
        notes = [note for note in found.notes if note.startswith("leak")]
        unknown = ["leaks are unknown for 9 of 9 test examples" in note for note in notes]
        assert unknown == ([] if rows else [True])


def test_where_all_is_leaked_nothing_can_be_dropped(savs, tmp_path, arrays):
    train, labels, *_ = arrays
    rows = {"train_rows": TRAIN, "test_rows": TRAIN}
    store = make_store(tmp_path / "same", train, labels, train, labels, **rows)
    with pytest.raises(LeakError, match="all 4 test examples share an image with training"):
        evaluate(store, select(store, heads=2), drop_leaks=True)
    savs("select", store.path, "--heads", "2")
    done = savs("evaluate", store.path, "--drop-leaks")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: all 4 test examples share an image")
    assert not (store.path / "results/vote/metrics.json").exists()


@pytest.fixture
def source(inputs):
    """Return what makes a source of two folders from pictures' names and bytes."""

    def make(train, test):
        files = {}
        for split, pictures in (("train", train), ("test", test)):
            (inputs.root / split).mkdir()
            for name, content in pictures.items():
                if content is not None:
                    (inputs.root / split / name).write_bytes(content)
            labelled = zip(pictures, "ababa", strict=False)
            rows = [{"image": name, "question": "?", "label": label} for name, label in labelled]
            files[split] = inputs.rows(f"{split}/rows.jsonl", rows)
        return Source(find_benchmark("general"), InputOptions(**files))

    return make


def test_media_are_compared_by_content_not_by_name_or_size(source):
    made = source(
        {"1.png": b"picture one", "2.png": b"picture two", "gone.png": None},
        {
            "copy.png": b"picture one",
            "1.png": b"picture six",  # the name and the size of a training picture
            "3.png": b"picture three",
            "gone.png": None,  # both are missing, so neither is known to be the other
            "2.png": b"picture two",
        },
    )
    leaks = made.leaks(made.examples())
    assert leaks.kinds.to_list() == [REPEATED, None, None, None, REPEATED]
    assert (leaks.trained, leaks.train) == (2, 3)


def test_test_pictures_of_a_size_that_training_has_not_are_never_read(source, monkeypatch):
    made = source(
        {"1.png": b"picture one", "2.png": b"picture two"},
        {"3.png": b"picture three", "4.png": b"picture six", "5.png": b"5"},
    )
    examples, names, read = made.examples(), [], MediaFolder.read
    monkeypatch.setattr(
        MediaFolder, "read", lambda self, name: names.append(name) or read(self, name)
    )
    assert not made.leaks(examples)
    assert names == ["1.png", "2.png", "4.png"]


def test_a_picture_in_a_parquet_file_is_compared_with_files(source, inputs):
    made = source({"1.png": b"picture one", "2.png": b"picture two"}, {"3.png": b"picture three"})
    packed = [{"bytes": content, "path": "1.png"} for content in (b"picture two", b"picture six")]
    path = inputs.root / "packed.parquet"
    pl.DataFrame({"image": packed, "question": "!", "label": ["a", "b"]}).write_parquet(path)
    made = replace(made, options=replace(made.options, test=path))
    assert made.leaks(made.examples()).kinds.to_list() == [SHARED, None]


def test_extract_tells_what_evaluate_will_find(savs, inputs, tmp_path):
    pytest.importorskip("torch")
    train, test = inputs.few_shots()
    shutil.copy(inputs.root / "images/train1.png", inputs.root / "images/copy.png")
    rows = [json.loads(line) for line in Path(test).read_text().splitlines()]
    rows.append({"image": "images/copy.png", "question": "What is it??", "label": "b"})
    rows.append({"image": "images/copy.png", "question": "Something else?", "label": "b"})
    inputs.rows("test.jsonl", rows)
    done = savs(
        *("extract", "general", "--train", train, "--test", test),
        *("--model", "demo", "--out", tmp_path / "store"),
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("leak: ")]
    assert lines == [
        "leak: 1 of 6 training examples is also in the test split, as 1 test example (test:5)",
        "leak: 2 test examples share a medium with a training example (test:5, test:6)",
    ]
    found = savs("evaluate", tmp_path / "store", "--json")
    written = json.loads(found.stdout)
    assert written["leaks"] == {"repeated": ["test:5"], "shared medium": ["test:6"]}
    assert [note for note in written["notes"] if note.startswith("leak: ")] == lines
