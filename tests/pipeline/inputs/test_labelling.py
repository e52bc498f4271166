"""Labels that come later: who gets one, by which name, and what is refused."""

import numpy as np
import polars as pl
import pytest
from label_stores import MANY

from savs import evaluate, label, load_selection, save_selection, select, train
from savs.datasets import RowError
from savs.foundation.errors import ParameterError
from savs.pipeline.cli.commands.label import COMMAND
from savs.pipeline.errors import LabelError, SelectionError
from savs.pipeline.evaluation.assessment import partial_notes
from savs.pipeline.inputs.labelling import Labeller
from savs.pipeline.selection.compatibility import is_of_store, older_note
from savs.stores import LayerGrid, open_store
from stores import identity, write_store

GRID = (LayerGrid(0, (0, 1), 4),)
CENTRES = {"cat": 1.0, "dog": -1.0}


def make(folder, *, options=None, outputs=None, skipped=None, **splits):
    """Write a store of split -> rows; features lie near the centre of the row's `is`."""
    rng = np.random.default_rng(0)
    features = {
        split: {
            0: np.stack(
                [
                    np.outer([CENTRES[row["is"]] for row in rows], [1, 1, 0, 0])
                    + rng.normal(size=(len(rows), 4)) * 0.1
                    for _ in range(2)
                ]
            ).astype(np.float32)
            if rows
            else np.zeros((2, 0, 4), np.float32)
        }
        for split, rows in splits.items()
    }
    what = identity(grid=GRID, options=options)
    if outputs:
        object.__setattr__(what, "outputs", outputs)
    cells = {
        s: [{k: v for k, v in r.items() if k != "is"} for r in rows] for s, rows in splits.items()
    }
    values = {
        s: {name: np.zeros((len(rows), 1), np.float32) for name in outputs or {}}
        for s, rows in splits.items()
    }
    return write_store(folder, what, features, cells, outputs=values, skipped=skipped, shard_rows=2)


def row(name, kind, *, labelled=True, **more):
    return {"id": name, "is": kind, "label": kind if labelled else None, "prompt": "?", **more}


def train_rows(count=6):
    return [row(f"t{i}", ("cat", "dog")[i % 2]) for i in range(count)]


@pytest.fixture
def store(tmp_path):
    """Return a store with labelled examples of both splits, and some without a label."""
    return make(
        tmp_path / "s",
        train=train_rows(),
        test=[row("e0", "cat"), row("e1", "dog")],
        unlabelled=[
            row("u0", "cat", labelled=False, media='["a.png"]'),
            row("u1", "dog", labelled=False, media='["b.png"]'),
            row("u2", "dog", labelled=False, media='["b.png"]'),
        ],
    )


def labels_of(store, split):
    return dict(store.examples(split).select("id", "label").iter_rows())


def stored(folder, rows, late, options=None):
    """Write rows with their features; those that are `late` wait for a label, then get it."""
    splits = {"train": [r for r in rows if r["id"] not in late]}
    if late:  # in another order than in a file
        splits["unlabelled"] = [{**r, "label": None} for r in rows[::-1] if r["id"] in late]
    features = {
        split: {0: np.stack([r["x"] for r in of_split], axis=1).astype(np.float32)}
        for split, of_split in splits.items()
    }
    cells = {
        split: [{k: v for k, v in r.items() if k != "x"} for r in of_split]
        for split, of_split in splits.items()
    }
    store = write_store(folder, identity(grid=GRID, options=options), features, cells)
    return label(store, {r["id"]: r["label"] for r in rows if r["id"] in late}).store


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "one label") for name in ("row:{}", "cats/{}.png", "{:x}")] + [("{:x}", "many labels")],
)
def test_a_store_that_is_labelled_later_equals_one_that_is_labelled_at_once(tmp_path, name, kind):
    rng = np.random.default_rng(3)
    says = rng.permutation(np.repeat([0, 1, 2], 9))
    x = rng.normal(size=(27, 2, 4)) + 1.2 * np.eye(4)[says][:, None]
    texts = [f'["{c}"]' for c in "abc"] if kind == "many labels" else list("abc")
    rows = [
        {"id": name.format(i), "label": texts[says[i]], "prompt": "?", "x": x[i]} for i in range(27)
    ]
    options = MANY if kind == "many labels" else None
    late = {rows[i]["id"] for i in (*range(6), 11, 25)}
    at_once, later = (stored(tmp_path / str(len(of)), rows, of, options) for of in ((), late))
    assert later.ids("train") != at_once.ids("train")
    for scoring in ("resubstitution", "kfold"):
        found = [select(store, readout="lda", scoring=scoring) for store in (at_once, later)]
        kept = [[(t.subtask, t.heads, t.strengths) for t in one.tasks] for one in found]
        assert kept[0] == kept[1]
    left_out = [train(store).expected for store in (at_once, later)]
    values = [[metric.value for metric in one.metrics] for one in left_out]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    tables = [one.predictions.sort("id") for one in left_out]
    said = "prediction" if kind == "one label" else "predicted"
    assert tables[0][said].to_list() == tables[1][said].to_list()


def test_an_example_without_a_label_or_of_the_test_split_becomes_one_of_training(store) -> None:
    done = label(store, {"u0": "cat", "e1": "dog", "t0": "dog", "t1": "dog"})
    assert done.changes.rows() == [
        ("u0", "train", "cat", "unlabelled", None, None),
        ("e1", "train", "dog", "test", "dog", None),
        ("t0", "train", "dog", "train", "cat", None),
    ]
    assert done.unchanged == 1
    assert labels_of(done.store, "train") == labels_of(store, "train") | {
        "t0": "dog",
        "u0": "cat",
        "e1": "dog",
    }
    assert labels_of(done.store, "test") == {"e0": "cat"}
    assert labels_of(open_store(store.path), "unlabelled") == {"u1": None, "u2": None}


def test_labels_are_taken_back_and_examples_go_where_they_were(store) -> None:
    label(store, {"u0": "cat", "e1": "dog", "t0": "dog"})
    done = label(store, dict.fromkeys(("u0", "e1", "t0", "u1")))
    assert done.changes["split"].to_list() == ["unlabelled", "test", "train"]
    assert done.unchanged == 1
    assert done.store.manifest.labels == {}


def test_a_split_may_be_chosen(store) -> None:
    done = label(store, {"u0": "cat", "t1": "dog"}, split="test")
    assert labels_of(done.store, "test") == {"e0": "cat", "e1": "dog", "t1": "dog", "u0": "cat"}
    with pytest.raises(ParameterError, match="`split` is 'new', expected train or test"):
        label(store, {"u0": "cat"}, split="new")


@pytest.mark.parametrize(
    ("labels", "split", "stage"),
    [
        ({"e0": "dog", "u0": "cat"}, "test", "evaluate"),
        ({"u0": "cat"}, None, "train"),
        ({"e0": "dog", "t1": "dog"}, "test", "train"),  # which t1 has left
    ],
)
def test_the_next_command_is_about_what_changed(store, labels, split, stage) -> None:
    done = label(store, labels, split=split)
    said = COMMAND.show(done, {"store": "pets", "labels": labels}).messages
    assert said[-1] == f"next: savs {stage} pets"


def test_labels_of_others_may_be_left_alone(store) -> None:
    label(store, {"u0": "cat"})
    done = label(store, {"u0": "dog", "u1": "dog"}, replace=False)
    assert (done.taken, done.changes["id"].to_list()) == (("u0",), ["u1"])
    assert label(store, {"u0": None}, replace=False).changes.height == 1  # one's own undo


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"ux": "cat"}, "has no example 'ux'; new images are added by savs extract --append"),
        (
            {"u0": "Cat"},
            r"u0: 'Cat' is no class \(did you mean 'cat'\?\); the classes are cat, dog",
        ),
        ({"u0": "fox", "u2": "ox"}, r"u0: 'fox' is no class; .* cat, dog \(nor are 'ox'\)"),
        ({"u0": 3}, "the label of 'u0' is 3, expected text, or None"),
        ({"u0": ""}, "the label of 'u0' is '', expected text"),
        ({"u0": "  "}, "the label of 'u0' is '  ', expected text"),
    ],
)
def test_a_label_that_cannot_be_is_refused_and_none_is_written(store, labels, message) -> None:
    with pytest.raises(LabelError, match=message):
        label(store, {"u1": "dog", **labels})
    assert open_store(store.path).manifest.labels == {}


def test_a_new_class_is_added_if_that_is_asked_for(store) -> None:
    labeller = Labeller(store)
    labeller.give({"u0": "fox"}, new_classes=True)
    done = labeller.give({"u1": "fox"})  # by now it is one of the classes
    assert done.store.examples("train")["label"].to_list()[-2:] == ["fox", "fox"]


def test_a_label_that_came_late_is_a_class_and_the_one_before_is_none(tmp_path) -> None:
    rows = [row("t0", "cat"), {**row("t1", "cat"), "label": "fox"}]
    store = make(tmp_path / "s", train=rows, unlabelled=[row("u0", "cat", labelled=False)])
    label(store, {"t1": "wolf"}, new_classes=True)
    with pytest.raises(LabelError, match="'fox' is no class; the classes are cat, wolf:"):
        label(store.path, {"u0": "fox"})
    assert label(store.path, {"u0": "wolf"}).changes.height == 1


def test_a_number_that_no_example_has_is_a_label(tmp_path) -> None:
    rows = [{**row(f"t{n}", "cat"), "label": str(n)} for n in range(3)]
    options = {"labels": {"form": "regression"}}
    store = make(tmp_path / "s", options=options, train=rows)
    assert label(store, {"t0": 7.5}).changes["label"].to_list() == ["7.5"]


@pytest.mark.parametrize("options", [{"split": "test"}, {"new_classes": True}], ids=str)
def test_options_of_labels_have_no_meaning_where_they_are_taken_back(store, options) -> None:
    with pytest.raises(ParameterError, match="has no meaning with `take_back`; omit it"):
        label(store, {"u0": "cat"}, take_back=True, **options)


def test_an_example_that_was_seen_in_another_split_is_left_alone(store) -> None:
    labeller = Labeller(store)
    done = labeller.give({"e0": "dog", "e1": "cat"}, seen={"e0": ("train", "cat")})
    assert (done.taken, done.changes["id"].to_list()) == (("e0",), ["e1"])


def test_an_id_in_two_splits_says_not_which(tmp_path) -> None:
    store = make(tmp_path / "s", train=train_rows(), test=[row("t0", "cat"), row("e", "dog")])
    with pytest.raises(LabelError, match="'t0' is in the splits test and train"):
        label(store, {"t0": "dog"})


def test_a_skipped_example_is_named_with_its_reason(tmp_path) -> None:
    rows = [row("u0", "cat", labelled=False), row("u1", "dog", labelled=False)]
    store = make(tmp_path / "s", skipped={"unlabelled": [1]}, train=train_rows(), unlabelled=rows)
    with pytest.raises(LabelError, match="'u1' has no features, it was skipped: no image"):
        label(store, {"u1": "dog"})


def test_a_file_names_examples_by_id_or_image_and_may_be_filled_in_half(store, tmp_path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,image,label,more\nu0,,cat,x\n,a.png,cat,y\nu1,b.png,,z\n")
    assert label(store, path).changes["id"].to_list() == ["u0"]
    path.write_text("image,label\nb.png,dog\n")
    with pytest.raises(LabelError, match=r"labels.csv line 2: 2 examples have the image 'b.png'"):
        label(store, path)
    path.write_text("image,label\nz.png,dog\n")
    with pytest.raises(LabelError, match="no example has the image 'z"):
        label(store, path)
    path.write_text("id,label\nu1,dog\nu1,cat\n")
    with pytest.raises(LabelError, match="line 3: 'u1' gets two labels, 'dog' and 'cat'; keep one"):
        label(store, path)
    path.write_text("id,class\nu1,dog\n")
    with pytest.raises(RowError, match="line 2: it has no field 'label', only id, class"):
        label(store, path)
    path.write_text("name,label\nu1,dog\n")
    with pytest.raises(RowError, match="it has no `id` and no `image`"):
        label(store, path)
    frame = pl.DataFrame({"id": ["u2"], "label": ["dog"]})
    assert label(store, frame).changes["id"].to_list() == ["u2"]


def test_columns_may_have_the_names_of_the_stores_own_files(tmp_path) -> None:
    options = {"columns": {"id": "uid", "label": "class"}}
    rows = [row("u0", "cat", labelled=False)]
    store = make(tmp_path / "s", options=options, train=train_rows(), unlabelled=rows)
    frame = pl.DataFrame({"uid": ["u0"], "class": ["cat"]})
    assert label(store, frame).changes["id"].to_list() == ["u0"]


def test_an_image_under_several_prompts_gets_its_label_under_each(tmp_path) -> None:
    asked = ["A?", "B?"]
    rows = {
        "train": [row(f"t{i}#{n + 1}", ("cat", "dog")[i % 2], subtask=q)
                  for i in range(4) for n, q in enumerate(asked)],
        "unlabelled": [row(f"u#{n + 1}", "cat", labelled=False, subtask=q, media='["u.png"]')
                       for n, q in enumerate(asked)],
    }  # fmt: skip
    store = make(tmp_path / "s", options={"questions": asked}, **rows)
    image = pl.DataFrame({"image": ["u.png"], "label": ["cat"]})
    assert label(store, image).changes["id"].to_list() == ["u#1", "u#2"]
    for taken in ({"u": "any"}, image):
        assert label(store, taken, take_back=True).changes["id"].to_list() == ["u#1", "u#2"]
        assert label(store, {"u": "cat"}).changes["id"].to_list() == ["u#1", "u#2"]
    # the table of suspects names one prompt: an image has one label and is in one split
    assert label(store, {"t0#2": "dog"}).changes["id"].to_list() == ["t0#1", "t0#2"]
    with pytest.raises(LabelError, match="'t1#1' gets two labels, 'cat' and 'dog'"):
        label(store, {"t1#1": "cat", "t1#2": "dog"})
    with pytest.raises(LabelError, match="has no example 't1#3'"):
        label(store, {"t1#3": "cat"})


def test_what_is_not_extracted_yet_says_so(store) -> None:
    (store.path / "unlabelled-00001.h5").unlink()
    assert label(store.path, {"u0": "cat"}).changes["id"].to_list() == ["u0"]
    with pytest.raises(LabelError, match="'u2' is not extracted yet; run the same `savs extract`"):
        label(store.path, {"u2": "cat"})


def test_a_partial_store_counts_what_is_missing_by_the_split_where_it_is_now(store) -> None:
    label(store, {"u0": "cat"})
    (store.path / "unlabelled-00000.h5").unlink()
    partial = open_store(store.path, partial=True)
    assert partial.features("train").shape[1] == partial.examples("train").height == 6
    assert partial_notes(partial) == [
        "partial: 1 of 7 train examples are not extracted yet (unlabelled-00000.h5)",
        "partial: 1 of 2 unlabelled examples are not extracted yet (unlabelled-00000.h5)",
    ]


def test_images_that_classify_read_become_test_examples_and_are_measured_alone(tmp_path) -> None:
    kinds = ["cat", "dog", "cat", "dog", "cat"]
    rows = [row(f"n{i}", kind, labelled=False) for i, kind in enumerate(kinds)]
    selection = select(make(tmp_path / "made", train=train_rows()), heads=1)
    store = make(tmp_path / "new", train=[], test=rows)
    assert evaluate(store, selection).metrics == ()
    done = label(store, {"n0": "cat", "n1": "dog", "n2": "dog"})
    assert done.changes["split"].to_list() == ["test"] * 3
    result = evaluate(done.store, selection)
    assert result.predictions["id"].to_list() == ["n0", "n1", "n2"]
    assert result.metrics[0].value == pytest.approx(2 / 3)  # the label of n2 is wrong
    assert "3 of 5 test examples have a label; the others are left out" in result.notes
    label(store, {"n3": "cat"}, split="train")
    corrected = label(store, {"n3": "dog", "n4": "cat"})  # also by one who opened it before
    assert corrected.changes.select("id", "split", "label").rows() == [
        ("n3", "train", "dog"),
        ("n4", "test", "cat"),
    ]


def test_a_selection_from_before_is_older_and_not_of_another_store(store, tmp_path) -> None:
    selection = select(store, heads=1)
    save_selection(selection, tmp_path / "saved")
    now = label(store, {"u0": "cat"}).store
    older = load_selection(tmp_path / "saved")
    assert older_note(older, now.manifest) == [
        "the selection is older than its store: labels or files changed since; make it again to use"
        " them, with `savs train` or `savs select`"
    ]
    assert is_of_store(older, now)
    with pytest.raises(SelectionError, match="not made from all training examples"):
        evaluate(now, older, on="folds")
    newer = select(now, heads=1)
    assert older_note(newer, now.manifest) == []
    assert newer.only_task().examples == 7
    back = label(now, {"u0": None}).store
    assert older_note(older, back.manifest) == []
    assert is_of_store(newer, back)


def test_labels_of_the_test_split_leave_selections_as_they_are(store) -> None:
    selection = select(store, heads=1)
    now = label(store, {"u0": "cat"}, split="test").store
    assert older_note(selection, now.manifest) == []
    assert select(now, heads=1).train == selection.train


def test_a_row_of_a_file_names_an_example_by_its_image_and_box(tmp_path) -> None:
    boxes = ["[0,0,9,9]", "[9,0,20,9]"]
    rows = [
        row(f"u{n}", "cat", labelled=False, media=f'["a.png#box={box}"]')
        for n, box in enumerate(boxes)
    ]
    store = make(tmp_path / "s", train=train_rows(), unlabelled=rows)
    frame = pl.DataFrame({"image": ["a.png"], "box": [[9, 0, 20, 9]], "label": ["dog"]})
    assert label(store, frame).changes["id"].to_list() == ["u1"]
    with pytest.raises(LabelError, match=r"no example has the image 'a.png'; name examples by"):
        label(store, frame.drop("box"))
