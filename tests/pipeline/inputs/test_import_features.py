"""`savs import`: features of a file and their labels as a store."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from random_stores import draw_problem, write_problem
from safetensors.numpy import save_file
from text_stores import SCALE, draw_text_store

from savs import evaluate, import_features, merge, select
from savs.datasets import RowError
from savs.datasets.splits.clusters import clusters_of
from savs.foundation.errors import SavsError
from savs.pipeline.errors import ImportFileError, SelectionError
from savs.pipeline.evaluation.export import export_features
from savs.pipeline.inputs import importing
from savs.stores import StoreMismatchError

N = 12
VALUES = np.random.default_rng(1).standard_normal((N, 3, 4)).astype(np.float32)
ROWS = [
    {"id": f"e{i}", "label": "ab"[i % 2], "split": "train" if i < 8 else "test", "note": i}
    for i in range(N)
]


@pytest.fixture
def files(tmp_path, inputs):
    np.save(tmp_path / "x.npy", VALUES)
    return tmp_path / "x.npy", inputs.rows("labels.jsonl", ROWS)


def test_rows_in_their_order_become_a_store(tmp_path, files):
    done = import_features(*files, out=tmp_path / "s", model="mine")
    assert done.notes[0] == "rows of features and labels were matched by their order"
    store = done.store
    assert store.facts["planned"] == {"train": 8, "test": 4}
    assert store.facts["sealed"]
    assert store.manifest.identity.model["name"] == "mine"
    np.testing.assert_array_equal(store.features("train"), VALUES[:8].swapaxes(0, 1))
    np.testing.assert_array_equal(store.features("test"), VALUES[8:].swapaxes(0, 1))
    test = store.examples("test")
    assert test["id"].to_list() == ["e8", "e9", "e10", "e11"]
    assert test["index"].to_list() == [0, 1, 2, 3]
    assert [json.loads(text) for text in test["extra"]] == [{"note": i} for i in range(8, 12)]


def test_a_number_and_a_truth_value_are_not_the_same_note(tmp_path, files, inputs):
    notes = [1, True, 1.0] * 4
    rows = [{"label": "ab"[n // 6], "split": "train", "note": notes[n]} for n in range(N)]
    store = import_features(files[0], inputs.rows("notes.jsonl", rows), out=tmp_path / "s").store
    found = [json.loads(text)["note"] for text in store.examples("train")["extra"]]
    assert list(map(repr, found)) == list(map(repr, notes))


def test_ids_match_rows_in_another_order(tmp_path, inputs):
    names = [f"e{i}" for i in range(N)]
    pl.DataFrame({"id": names, "v": VALUES[:, 0].tolist()}).write_parquet(tmp_path / "x.parquet")
    mixed = inputs.rows("mixed.jsonl", ROWS[::-1])
    store = import_features(tmp_path / "x.parquet", mixed, out=tmp_path / "s").store
    assert store.examples("test")["id"].to_list() == names[8:]
    assert store.examples("test")["label"].to_list() == ["a", "b", "a", "b"]
    np.testing.assert_array_equal(store.features("test")[0], VALUES[8:, 0])
    odd = inputs.rows("odd.jsonl", [*ROWS[:-1], {**ROWS[-1], "id": "other"}])
    with pytest.raises(ImportFileError, match=r"1 ids of .*odd.jsonl are not in .*'other'"):
        import_features(tmp_path / "x.parquet", odd, out=tmp_path / "t")
    nameless = inputs.rows("nameless.jsonl", [*ROWS[:-1], {**ROWS[-1], "id": None}])
    with pytest.raises(ImportFileError, match=r"1 ids of .* are not in .*'nameless:11'"):
        import_features(tmp_path / "x.parquet", nameless, out=tmp_path / "t")
    twice = inputs.rows("twice.jsonl", [*ROWS[:-1], ROWS[0]])
    with pytest.raises(ImportFileError, match="has the id 'e0' twice"):
        import_features(tmp_path / "x.parquet", twice, out=tmp_path / "t")


@pytest.mark.thorough
@pytest.mark.parametrize("tied_by", ["group", "media", "content"])
def test_near_copies_stay_in_one_fold_after_export_and_import(tmp_path, inputs, tied_by):
    """Twenty things, each four times, with labels by chance: nothing can be known of a new one."""
    rng = np.random.default_rng(5)
    things = np.repeat(np.arange(20), 4)
    labels = rng.permutation(np.arange(20) % 2)[things]
    x = rng.standard_normal((20, 3, 16))[things] + 1e-3 * rng.standard_normal((80, 3, 16))
    np.save(tmp_path / "x.npy", x)
    column = "group" if tied_by == "group" else "image"
    rows = []
    for number, (thing, label) in enumerate(zip(things, labels, strict=True)):
        tie = {"group": f"thing {thing}", "media": f"{thing}.png", "content": f"{number}.png"}
        rows.append({"label": "ab"[label], "split": "train", column: tie[tied_by]})
        if tied_by == "content":
            (tmp_path / tie[tied_by]).write_text(f"thing {thing}")
    labels = inputs.rows("l.jsonl", rows)
    made = import_features(tmp_path / "x.npy", labels, out=tmp_path / "s", media_root=tmp_path)
    heads = made.store.heads
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere/x.parquet"
    export_features(made.store, path, heads, ["train"], "parquet")
    again = import_features(path, out=tmp_path / "t")
    for store in (made.store, again.store):
        columns = ["label", "group", "media", "media_sha256", "extra"]
        assert_frame_equal(
            store.examples("train").select(columns), made.store.examples("train").select(columns)
        )
        assert clusters_of(store.examples("train")).n_unique() == 20
        found = evaluate(store, select(store, heads=3, readout="knn"), on="folds")
        assert found.metrics[0].value < 0.75  # 1.00 where copies of an example are in other folds


@pytest.mark.parametrize(
    ("digests", "message"),
    [
        (
            [["1" * 64], ["2" * 64]],
            "has another SHA-256 in field 'media_sha256' than in an earlier",
        ),
        ([["1" * 64, "2" * 64], []], r"expected one SHA-256 for each of its 1 media"),
        ([["x"], []], r"field 'media_sha256' holds \['x'\]"),
    ],
)
def test_digests_that_cannot_be_are_refused(tmp_path, digests, message):
    rows = {"label": ["a", "b"], "split": ["train"] * 2, "media": [["m"]] * 2}
    frame = pl.DataFrame({**rows, "media_sha256": digests, "v": [[1.0], [2.0]]})
    frame.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(RowError, match=message):
        import_features(tmp_path / "x.parquet", out=tmp_path / "s")


def test_a_medium_of_the_test_split_may_have_the_name_of_another_one(tmp_path):
    rows = {"label": ["a", "b"] * 2, "split": ["train"] * 2 + ["test"] * 2, "media": [["m"]] * 4}
    digests = [[digit * 64] for digit in "1122"]
    frame = pl.DataFrame({**rows, "media_sha256": digests, "v": [[1.0], [2.0], [3.0], [4.0]]})
    frame.write_parquet(tmp_path / "x.parquet")
    store = import_features(tmp_path / "x.parquet", out=tmp_path / "s").store
    for split, digit in (("train", "1"), ("test", "2")):
        assert store.examples(split)["media_sha256"].to_list() == [[digit * 64]] * 2


def test_rows_that_lie_far_apart_are_read_a_part_at_a_time(tmp_path, inputs, monkeypatch):
    values = np.random.default_rng(2).standard_normal((1000, 1, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    splits = ["test" if i % 99 else "train" for i in range(1000)]
    rows = inputs.rows(
        "l.jsonl", [{"label": "ab"[i % 2], "split": s} for i, s in enumerate(splits)]
    )
    read: list[int] = []
    open_file = importing.open_features

    def opened(path):
        found = open_file(path)
        part = found.heads.read
        heads = replace(found.heads, read=lambda a, b: read.append(b - a) or part(a, b))
        return replace(found, heads=heads)

    monkeypatch.setattr(importing, "open_features", opened)
    store = import_features(tmp_path / "x.npy", rows, out=tmp_path / "s").store
    np.testing.assert_array_equal(store.features("train")[0], values[::99, 0])
    is_test = np.array(splits) == "test"
    np.testing.assert_array_equal(store.features("test")[0], values[is_test, 0])
    assert max(read) <= store.manifest.plan.shard_rows


def test_a_damaged_table_is_refused_whatever_is_damaged(tmp_path):
    frame = pl.DataFrame(
        {**pl.DataFrame(ROWS).to_dict(as_series=False), "v": VALUES[:, 0].tolist()}
    )
    frame.write_parquet(tmp_path / "x.parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(60):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=3):
            data[place] ^= int(rng.integers(1, 256))
        (tmp_path / "x.parquet").write_bytes(data)
        try:
            import_features(tmp_path / "x.parquet", out=tmp_path / str(number))
        except SavsError:
            refused += 1
    assert refused


@pytest.mark.thorough
def test_what_export_wrote_is_imported_to_the_same_results(tmp_path):
    store = write_problem(tmp_path / "first", draw_problem(3, subtasks=("one", "two")))
    export_features(store, tmp_path / "x.parquet", store.heads, ["train", "test"], "parquet")
    again = import_features(
        tmp_path / "x.parquet", out=tmp_path / "again", columns={"question": "prompt"}
    ).store
    assert again.grid == store.grid
    found = [evaluate(s, select(s, heads=5, readout="lda")).predictions for s in (store, again)]
    for column in ("id", "prediction", "label", "subtask"):
        assert found[0][column].equals(found[1][column]), column


def test_parts_of_one_split_each_are_merged(tmp_path, files, inputs):
    x, _ = files
    stores = []
    for split, rows in (("train", slice(0, 8)), ("test", slice(8, N))):
        np.save(x.with_name(f"{split}.npy"), VALUES[rows])
        labels = inputs.rows(f"{split}.jsonl", [{"label": r["label"]} for r in ROWS[rows]])
        made = import_features(
            *(x.with_name(f"{split}.npy"), labels), out=tmp_path / split, split=split, model="m"
        )
        stores.append(made.store)
    merged = merge(stores, tmp_path / "both")
    np.testing.assert_array_equal(merged.features("test"), VALUES[8:].swapaxes(0, 1))


def test_media_are_known_by_content_or_by_name(tmp_path, files, inputs):
    names = [inputs.image(f"i{i % 10}.png", i % 10) for i in range(N)]
    rows = [row | {"image": name} for row, name in zip(ROWS, names, strict=True)]
    labels = inputs.rows("shown.jsonl", rows)
    done = import_features(files[0], labels, out=tmp_path / "s")
    assert any("2 test examples share a medium" in line or "2 of 8 training" in line
               for line in done.notes)  # fmt: skip
    assert all(done.store.examples("test")["media_sha256"].list.len() == 1)
    away = import_features(files[0], labels, out=tmp_path / "t", media_root=tmp_path / "nowhere")
    assert any("10 of 10 media are not in" in line for line in away.notes)
    assert away.store.examples("test")["media"].to_list() == [[name] for name in names[8:]]


def test_test_media_are_compared_by_their_own_content(tmp_path, files, inputs):
    train = [inputs.image(f"{i}.png", i) for i in range(8)]
    copies = [inputs.image(f"copy {i}.png", i) for i in range(2)]
    others = [inputs.image(f"{i}.png", i) for i in (8, 9)]
    rows = [r | {"image": n} for r, n in zip(ROWS, [*train, *copies, *others], strict=True)]
    done = import_features(files[0], inputs.rows("copies.jsonl", rows), out=tmp_path / "s")
    assert done.notes[-1] == (
        "leak: 2 of 8 training examples are also in the test split, as 2 test examples (e8, e9)"
    )
    for row in rows:  # test rows that differ in their ids alone keep these
        row.pop("note")
        row |= {"image": train[0], "label": "a"} if row["split"] == "test" else {}
    same = import_features(files[0], inputs.rows("same.jsonl", rows), out=tmp_path / "t")
    assert same.notes[-1].endswith("as 4 test examples (e8, e9, e10 ...)")


def test_media_in_the_rows_of_labels_are_read_from_there(tmp_path, files, inputs):
    (tmp_path / "tables").mkdir()
    rows = [{**row, "image": {"bytes": b"%d" % n}} for n, row in enumerate(ROWS)]
    pl.DataFrame(rows).write_parquet(tmp_path / "tables/l.parquet")
    done = import_features(files[0], tmp_path / "tables/l.parquet", out=tmp_path / "s")
    assert not any("media are not in" in note for note in done.notes)
    assert done.store.examples("test")["media_sha256"].to_list() == [
        [hashlib.sha256(b"%d" % n).hexdigest()] for n in range(8, N)
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_leaves_nothing(tmp_path, files, bad):
    values = VALUES.copy()
    values[9, 2, 1] = bad
    np.save(files[0], values)
    with pytest.raises(ImportFileError, match=r"L0.H2 of test example 'e9' is NaN or infinite"):
        import_features(*files, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


CHANGES = {
    "rows": (lambda rows: rows[:-1], ImportFileError, "has 11 rows, .* has features of 12"),
    "split": (
        lambda rows: [*rows[:-1], {**rows[-1], "split": "val"}],
        *(RowError, "labels.jsonl line 12: field 'split' is 'val'; expected train or test"),
    ),
    "ids": (
        lambda rows: [*rows[:-1], {**rows[-1], "id": "e8"}],
        *(RowError, "test example 'e8' occurs twice"),
    ),
    "label": (lambda rows: [{**row, "label": None} for row in rows], RowError, "has no label"),
    "class of training": (
        lambda rows: [{**row, "label": "a", "split": "train"} for row in rows],
        *(RowError, "one class only"),
    ),
    "class": (lambda rows: [{**row, "label": "a"} for row in rows], RowError, "one class only"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_bad_labels_are_refused(tmp_path, files, inputs, change):
    alter, error, message = CHANGES[change]
    inputs.rows("labels.jsonl", alter(ROWS))
    with pytest.raises(error, match=message):
        import_features(*files, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("readout", ["clip", "clip-names", "tip-adapter", "hec-t"])
def test_texts_of_classes_are_rows_of_a_split_of_their_own(tmp_path, inputs, readout):
    """A store with names and texts of a file, taken apart and imported again."""
    splits = ("train", "test", "classes")
    store = draw_text_store(tmp_path / "s", 0)
    x = np.concatenate([store.features(split)[0] for split in splits])
    np.save(tmp_path / "x.npy", x)
    rows = [
        {"label": row["label"], "split": split}
        | ({"question": f"text {number}"} if row["category"] == "file" else {})
        for split in splits
        for number, row in enumerate(store.examples(split).iter_rows(named=True))
    ]
    labels = inputs.rows("labels.jsonl", rows)
    made = import_features(tmp_path / "x.npy", labels, out=tmp_path / "t", logit_scale=SCALE)
    texts = made.store.examples("classes")
    assert texts["category"].to_list() == store.examples("classes")["category"].to_list()
    assert texts["prompt"].to_list()[:4] == ["class 0", "class 1", "class 2", "text 3"]
    ours, theirs = (evaluate(s, select(s, readout=readout)) for s in (made.store, store))
    assert ours.predictions["votes"].to_list() == theirs.predictions["votes"].to_list()
    assert ours.metrics == theirs.metrics


def texts(inputs, files, folder, rows):
    """Return a store whose last two rows are these texts of its classes."""
    marked = [{**row, "id": f"t{i}", "split": "classes"} for i, row in enumerate(rows)]
    labels = inputs.rows("labels.jsonl", [*ROWS[:-2], *marked])
    return import_features(files[0], labels, out=folder, model="mine").store


def test_a_text_that_is_given_may_be_the_name_of_its_class(tmp_path, inputs, files):
    given = [{"label": "a", "question": "a"}, {"label": "b", "question": "a photo of b"}]
    store = texts(inputs, files, tmp_path / "s", given)
    assert store.examples("classes")["category"].to_list() == ["file", "file"]
    assert select(store, heads=2, readout="hec-t").top_heads
    mixed = texts(inputs, files, tmp_path / "t", [{"label": "a"}, given[1]])
    with pytest.raises(SelectionError, match="no text of class 'a' of the kind file"):
        select(mixed, heads=2, readout="hec-t")


def test_stores_whose_texts_are_of_other_classes_are_not_merged(tmp_path, inputs, files):
    stores = []
    for labels in ("ab", "ba"):
        rows = [{"label": label, "question": f"text {i}"} for i, label in enumerate(labels)]
        stores.append(texts(inputs, files, tmp_path / labels, rows))
    with pytest.raises(StoreMismatchError, match="'t0' is another text, or of another class"):
        merge(stores, tmp_path / "m")


def test_texts_show_no_image_scales_are_numbers_and_labels_may_come_later(tmp_path, files, inputs):
    inputs.rows("labels.jsonl", [*ROWS[:-1], {"label": "a", "split": "classes", "image": "x.png"}])
    with pytest.raises(RowError, match="line 12: a text of a class has a label and no image"):
        import_features(*files, out=tmp_path / "s")
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ImportFileError, match="expected a number above 0"):
            import_features(*files, out=tmp_path / "s", logit_scale=scale)
    bare = import_features(files[0], out=tmp_path / "s")  # rows that wait for a label
    assert bare.store.splits == ["unlabelled"]
    assert bare.notes == ("no row has a label: savs classify CLASSIFIER STORE classifies them",)


def test_notes_say_all_that_is_doubtful(tmp_path, files, inputs):
    np.save(files[0], VALUES.astype(np.float64))
    rows = [{**row, "image": f"{row['id']}.png"} for row in ROWS]
    rows[3] |= {"image": "e1.png", "label": "a"}  # e1 is b
    rows[9]["label"] = "c"
    done = import_features(files[0], inputs.rows("l.jsonl", rows), out=tmp_path / "s")
    assert done.notes == (
        "rows of features and labels were matched by their order",
        "float64 is kept as float32",
        f"11 of 11 media are not in {inputs.root} (the first is e0.png): they are compared by name"
        " only",
        "the same media and prompt have several labels, once: e1 is 'b'; e3 is 'a'",
        "test label 'c' (1 example) is in no training example",
    )
    assert done.store.manifest.identity.dtype == "float32"


def test_media_outside_the_folder_of_labels_are_read_where_that_is_allowed(tmp_path, files, inputs):
    inputs.image("0.png")
    (inputs.root / "tables").mkdir()
    rows = [{**row, "image": "../0.png"} for row in ROWS]
    labels = inputs.rows("tables/l.jsonl", rows)
    for allowed in (False, True):
        done = import_features(files[0], labels, out=tmp_path / str(allowed), allow_outside=allowed)
        assert any("media are not in" in note for note in done.notes) == (not allowed)
        assert set(done.store.examples("test")["media_sha256"].list.len()) == {int(allowed)}


def test_own_columns_are_fields_under_the_names_of_export_unless_they_are_mapped(tmp_path):
    rows = {"label": ["a", "b"] * 6, "split": ["train"] * 8 + ["test"] * 4, "raw": [b"x"] * 12}
    own = {"media": [["m.png"]] * 12, "prompt": ["?"] * 12, "v": VALUES[:, 0].tolist()}
    pl.DataFrame(rows | own).write_parquet(tmp_path / "x.parquet")
    columns = {"image": "photo", "question": "ask"}
    named = {"photo": ["p.png"] * 12, "ask": ["!"] * 12}
    pl.DataFrame(rows | own | named).write_parquet(tmp_path / "y.parquet")
    plain = import_features(tmp_path / "x.parquet", out=tmp_path / "s").store.examples("test")
    mapped = import_features(tmp_path / "y.parquet", out=tmp_path / "t", columns=columns).store
    found = [plain.row(0, named=True), mapped.examples("test").row(0, named=True)]
    shown = [(row["media"], row["prompt"], json.loads(row["extra"])) for row in found]
    assert shown == [
        (["m.png"], "?", {}),
        (["p.png"], "!", {"media": ["m.png"], "prompt": "?"}),
    ]


def test_all_fields_of_general_are_kept(tmp_path, files, inputs):
    fields = {"group": "g", "subtask": "s", "category": "c", "question": "q?"}
    rows = [{**row, **fields} for row in ROWS[:-2]]
    rows += [{"label": label, "subtask": "s", "split": "classes"} for label in "ab"]
    store = import_features(files[0], inputs.rows("l.jsonl", rows), out=tmp_path / "s").store
    names = ["group", "subtask", "category", "prompt"]
    assert store.examples("test").select(names).unique().rows() == [("g", "s", "c", "q?")]
    assert store.examples("classes")["subtask"].to_list() == ["s", "s"]
    labelled = [{**row, "split": "unlabelled"} for row in ROWS]
    waiting = import_features(files[0], inputs.rows("l.jsonl", labelled), out=tmp_path / "t").store
    assert waiting.examples("unlabelled")["label"].to_list() == [None] * N


@pytest.mark.parametrize(
    ("labels", "options", "form"),
    [
        (["a|b", "b"], {"label_separator": "|"}, {"form": "separator", "separator": "|"}),
        (["a", "b"], {"positive": "a"}, {"form": "classes", "positive": "a"}),
        (["1", "2"], {"task": "ordinal"}, {"form": "ordinal"}),
    ],
)
def test_what_labels_are_is_a_part_of_the_store(tmp_path, files, inputs, labels, options, form):
    rows = [{**row, "label": labels[n % 2]} for n, row in enumerate(ROWS)]
    store = import_features(
        *(files[0], inputs.rows("l.jsonl", rows)), out=tmp_path / "s", **options
    )
    assert store.store.manifest.identity.benchmark["options"] == {"labels": form}


def test_a_split_of_another_name_is_refused(tmp_path, files):
    with pytest.raises(ImportFileError, match="`split` is 'val', expected train or test or"):
        import_features(*files, out=tmp_path / "s", split="val")


def test_a_folder_that_is_there_is_left_alone(tmp_path, files):
    import_features(*files, out=tmp_path / "s")
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir() if path.is_file()}
    np.save(files[0], 2 * VALUES)
    with pytest.raises(StoreMismatchError, match="exists and is not empty"):
        import_features(*files, out=tmp_path / "s")
    assert all((tmp_path / "s" / name).read_bytes() == data for name, data in before.items())


def test_the_command_says_what_it_made(savs, tmp_path, files):
    done = savs("import", files[0], "--labels", files[1], "--out", "s", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == {"train": 8, "test": 4}
    assert "8 train and 4 test examples, 3 heads, float32" in done.stderr
    selected = savs("select", "s", "--heads", "2")
    assert "decoder layers" not in selected.stderr  # there is no decoder


def test_a_classifier_of_imported_features_runs_no_model(tmp_path, files, inputs):
    pytest.importorskip("torch")
    from savs import classify, save_selection

    store = import_features(*files, out=tmp_path / "s", model="mine").store
    save_selection(select(store, heads=2), tmp_path / "c")
    inputs.image("new/1.png")
    with pytest.raises(SelectionError, match=r"imported features \(mine\)"):
        classify(tmp_path / "c", inputs.root / "new", out=tmp_path / "p.csv", model="demo")


@pytest.mark.parametrize("labels", ["with ids", "without ids"])
@pytest.mark.parametrize("tensors", [1, 2])
@pytest.mark.parametrize("count", [6, 13])
def test_a_file_with_fewer_or_more_ids_than_rows_is_one_line(
    savs, inputs, tmp_path, labels, tensors, count
) -> None:
    arrays = {f"L0.H{head}": np.ascontiguousarray(VALUES[:, head]) for head in range(tensors)}
    names = json.dumps([f"e{i}" for i in range(count)])
    save_file(arrays, tmp_path / "x.safetensors", metadata={"id": names})
    rows = [{"label": row["label"], "split": row["split"]} for row in ROWS]
    table = inputs.rows("l.jsonl", ROWS[:count] if labels == "with ids" else rows)
    ran = savs("import", "x.safetensors", "--labels", table, "--out", "s")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"error: x.safetensors has 12 rows of features and {count} ids; expected an id for each"
        " row, or none\n"
    )
    assert not (tmp_path / "s").exists()


def test_ids_of_a_single_tensor_match_rows_in_another_order(tmp_path, inputs) -> None:
    names = json.dumps([f"e{i}" for i in range(N)])
    save_file({"x": VALUES}, tmp_path / "x.safetensors", metadata={"id": names})
    mixed = inputs.rows("mixed.jsonl", ROWS[::-1])
    store = import_features(tmp_path / "x.safetensors", mixed, out=tmp_path / "s").store
    assert store.examples("test")["id"].to_list() == ["e8", "e9", "e10", "e11"]
    assert store.examples("test")["label"].to_list() == ["a", "b", "a", "b"]
    nameless = [{name: value for name, value in row.items() if name != "id"} for row in ROWS]
    table = inputs.rows("nameless.jsonl", nameless)  # rows in the order of the features
    store = import_features(tmp_path / "x.safetensors", table, out=tmp_path / "n").store
    assert store.examples("test")["id"].to_list() == ["e8", "e9", "e10", "e11"]
