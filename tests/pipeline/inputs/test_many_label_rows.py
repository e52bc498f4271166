"""Many labels from a file to a store, and labels that come later."""

import csv

import numpy as np
import pytest

import savs
from savs.datasets.errors import RowError
from savs.pipeline.errors import LabelError

LABELS = ("cat", "dog", "bird")


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    there = rng.random((40, 3)) < 0.4
    there[:3] = np.eye(3)
    values = (there @ rng.normal(size=(3, 2 * 5))).reshape(40, 2, 5) + rng.normal(size=(40, 2, 5))
    np.save(tmp_path / "f.npy", values.astype(np.float32))
    return tmp_path, there


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_two_forms_make_the_same_store(files):
    folder, there = files
    splits = ["train"] * 30 + ["test"] * 10
    texts = ["|".join(np.array(LABELS)[row]) or "|" for row in there]
    one = write(folder / "one.csv", ["split", "label"], zip(splits, texts, strict=True))
    cells = [[split, *row.astype(int)] for split, row in zip(splits, there, strict=True)]
    many = write(folder / "many.csv", ["split", *LABELS], cells)
    first = savs.import_features(folder / "f.npy", one, out=folder / "1", label_separator="|")
    second = savs.import_features(folder / "f.npy", many, out=folder / "2", label_columns=LABELS)
    for split in ("train", "test"):
        columns = first.store.examples(split)["label"], second.store.examples(split)["label"]
        assert columns[0].to_list() == columns[1].to_list()
    assert savs.select(first.store).tasks[0].heads == savs.select(second.store).tasks[0].heads
    with pytest.raises(RowError, match=r"field 'label' is 'cat.*expected a list"):
        savs.import_features(folder / "f.npy", one, out=folder / "3", task="many-labels")


def test_labels_that_come_later_have_the_form_of_the_store(files):
    folder, there = files
    texts = ["|".join(np.array(LABELS)[row]) or "|" for row in there]
    rows = [["train", text] for text in texts]
    labels = write(folder / "l.csv", ["split", "label"], rows)
    store = savs.import_features(
        folder / "f.npy", labels, out=folder / "s", label_separator="|"
    ).store
    given = savs.label(store, {"l:3": ["cat", "bird"], "l:4": "dog", "l:5": {"cat": None}})
    now = dict(given.store.examples("train").select("id", "label").iter_rows())
    assert (now["l:3"], now["l:4"]) == ('["bird","cat"]', '["dog"]')
    assert now["l:5"] == '{"cat":null}'
    table = write(folder / "later.csv", ["id", "label"], [["l:6", "dog|cat"]])
    assert savs.label(store, table).changes["label"].to_list() == ['["cat","dog"]']
    with pytest.raises(LabelError, match="'mouse' is no class"):
        savs.label(store, {"l:3": ["mouse", "cat"]})
    with pytest.raises(RowError, match="'cat' twice"):
        savs.label(store, {"l:3": ["cat", "cat"]})
    savs.label(store, {"l:3": ["mouse", "cat"]}, new_classes=True)
    tasks = savs.select(folder / "s").tasks
    assert {task.subtask for task in tasks} == {*LABELS, "mouse"}
    assert {task.subtask: task.examples for task in tasks}["cat"] == 39


def test_a_store_of_columns_takes_labels_in_columns_and_as_lists(files):
    folder, there = files
    cells = [["train", *row.astype(int)] for row in there]
    labels = write(folder / "l.csv", ["split", *LABELS], cells)
    store = savs.import_features(folder / "f.npy", labels, out=folder / "s", label_columns=LABELS)
    as_columns = write(folder / "a.csv", ["id", *LABELS], [["l:1", 1, 1, ""], ["l:2", 0, 0, 0]])
    changes = savs.label(store.store, as_columns).changes
    assert changes["label"].to_list() == ['{"bird":null,"cat":true,"dog":true}', "[]"]
    as_lists = write(folder / "b.csv", ["id", "label"], [["l:3", '["cat","dog","bird"]']])
    changes = savs.label(store.store, as_lists).changes
    assert changes["label"].to_list() == ['["bird","cat","dog"]']


@pytest.mark.thorough
def test_train_chooses_a_readout_and_measures_the_choice(files):
    folder, there = files
    texts = ["|".join(np.array(LABELS)[row]) or "|" for row in there]
    rows = [["train" if i < 32 else "test", text] for i, text in enumerate(texts)]
    labels = write(folder / "l.csv", ["split", "label"], rows)
    done = savs.import_features(folder / "f.npy", labels, out=folder / "s", label_separator="|")
    trained = savs.train(done.store)
    assert set(trained.accuracies) == {"vote", "posterior", "lda"}
    assert max(trained.accuracies, key=trained.accuracies.get) == trained.selection.readout
    assert trained.left_out.metrics[0].name == "mAP"
    assert trained.left_out.examples == 32
    assert trained.tested.examples == 8
    assert savs.load_selection(trained.folder).labels == "many"
