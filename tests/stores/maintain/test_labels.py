"""Labels that came later: a store reads as one that was extracted with them, bit for bit."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.stores import StoreCorruptError, StoreMismatchError, StoreNotFoundError, open_store
from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import LateLabel, PlacedRow, read_manifest
from savs.stores.maintain.copy import merge, slim
from savs.stores.maintain.labels import give_labels
from savs.stores.maintain.verify import verify
from stores import GRID, identity, planned, write_store

SPLITS = ("train", "test", "unlabelled")
ROWS = 7
CLASSES = "abc"


def features_of(rows, grid):
    """Return `(heads, rows, d)` features that tell the numbers of rows."""
    numbers = np.array([number for *_, number in rows], np.float32)
    heads = np.arange(len(grid.heads), dtype=np.float32) / 8 + grid.layer
    values = numbers[None, :, None] + heads[:, None, None]
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], grid.head_dim)))


def make(folder, rows_of, *, shard_rows=3, skipped=None, run=None):
    """Write a store of split -> rows `(id, label, number)`."""
    features = {
        split: {grid.layer: features_of(rows, grid) for grid in GRID}
        for split, rows in rows_of.items()
    }
    cells = {
        split: [{"id": name, "label": label} for name, label, _ in rows]
        for split, rows in rows_of.items()
    }
    outputs = {
        split: {"scores": np.array([[n] for *_, n in rows], np.float32).reshape(len(rows), 1)}
        for split, rows in rows_of.items()
    }
    what = identity()
    object.__setattr__(what, "outputs", {"scores": {}})
    return write_store(
        *(folder, what, features, cells),
        outputs=outputs,
        shard_rows=shard_rows,
        skipped=skipped,
        run=run,
    )


def extracted():
    """Return the rows of the store before any label comes."""
    return {
        split: [
            (f"{split}-{i}", None if split == "unlabelled" else CLASSES[i % 3], 100 * s + i)
            for i in range(ROWS)
        ]
        for s, split in enumerate(SPLITS)
    }


def relabelled(rows_of, changes):
    """Return the rows by the definition: those that stayed, then those that came, in plan order."""
    now = {split: [] for split in SPLITS}
    for is_stay in (True, False):
        for split, rows in rows_of.items():
            for name, label, number in rows:
                change = changes.get(split, {}).get(name)
                goes, text = (change.split, change.label) if change else (split, label)
                if (goes == split) == is_stay:
                    now[goes].append((name, text, number))
    return {split: rows for split, rows in now.items() if rows}


moves = st.dictionaries(
    st.sampled_from([(s, f"{s}-{i}") for s, i in product(SPLITS, range(ROWS))]),
    st.builds(LateLabel, st.sampled_from("abcd"), st.sampled_from(("train", "test"))),
)


def by_split(pairs):
    changes: dict = {}
    for (split, name), label in pairs.items():
        changes.setdefault(split, {})[name] = label
    return changes


@pytest.mark.thorough
@settings(max_examples=10, deadline=None)
@given(moves)
def test_a_labelled_store_reads_as_if_extracted_with_the_labels(tmp_path_factory, pairs) -> None:
    folder, changes = tmp_path_factory.mktemp("labels"), by_split(pairs)
    store = give_labels(make(folder, extracted()), lambda _: changes)
    expected = relabelled(extracted(), changes)
    assert store.splits == [split for split in SPLITS if split in expected]
    for split, rows in expected.items():
        wanted = [(name, split, label) for name, label, _ in rows]
        assert store.ids(split) == tuple(name for name, *_ in rows)
        assert store.rows(split) == len(rows)
        assert store.examples(split)["id", "split", "label"].rows() == wanted
        values = np.concatenate([features_of(rows, grid) for grid in GRID])
        np.testing.assert_array_equal(store.features(split), values)
        scores = store.output(split, "scores")
        np.testing.assert_array_equal(scores[:, 0], [number for *_, number in rows])
        for several in (0, 1000):
            blocks = list(store.blocks(split, [(2, 1)], rows=several))
            read = {
                row: float(vector[0])
                for block in blocks
                for row, vector in zip(
                    block.examples["id", "split", "label"].rows(), block.features[0], strict=True
                )
            }
            assert read == {
                w: number + 1 / 8 + 2 for w, (*_, number) in zip(wanted, rows, strict=True)
            }
    scanned = store.scan().select("id", "split", "label", "L2.H1").collect()
    assert {(*row, vector[0]) for *row, vector in scanned.iter_rows()} == {
        (name, split, label, number + 1 / 8 + 2)
        for split, rows in expected.items()
        for name, label, number in rows
    }
    assert not verify(folder).problems
    as_before = {s: [(n, label) for n, label, _ in rows] for s, rows in extracted().items()}
    bare = store.as_extracted()
    assert {s: bare.examples(s)["id", "label"].rows() for s in bare.splits} == as_before


def test_taking_all_back_leaves_the_store_as_it_was(tmp_path) -> None:
    store = make(tmp_path / "s", extracted())
    before = (tmp_path / "s" / MANIFEST).read_bytes()
    label = {"unlabelled": {"unlabelled-1": LateLabel("a", "train")}}
    give_labels(store, lambda _: label)
    assert (tmp_path / "s" / MANIFEST).read_bytes() != before
    give_labels(store, lambda _: {"unlabelled": {"unlabelled-1": None}})
    assert (tmp_path / "s" / MANIFEST).read_bytes() == before


def test_skipped_examples_stay_in_their_split(tmp_path) -> None:
    store = make(tmp_path / "s", extracted(), skipped={"unlabelled": [2]})
    label = {"unlabelled": {"unlabelled-1": LateLabel("a", "train")}}
    store = give_labels(store, lambda _: label)
    assert store.skipped("unlabelled")["id"].to_list() == ["unlabelled-2"]
    assert store.skipped("train").is_empty()
    assert store.examples("train")["id"].to_list()[-1] == "unlabelled-1"


def test_the_time_of_a_shard_is_that_of_its_rows(tmp_path) -> None:
    store = make(tmp_path / "s", extracted(), run={"seconds": 6.0})
    labels = {f"unlabelled-{number}": LateLabel("a", "train") for number in (1, 2)}
    assert [store.seconds(split) for split in SPLITS] == [18, 18, 18]  # 3, 3 and 1 of 7 rows
    store = give_labels(store, lambda _: {"unlabelled": labels})
    # two of the three rows of the first shard without labels are training examples now
    assert [store.seconds(split) for split in SPLITS] == pytest.approx([18 + 4, 18, 18 - 4])


GIVE_SOME = f"""
import random, sys
from savs.stores import open_store
from savs.stores.format.manifest import LateLabel
from savs.stores.maintain.labels import give_labels
numbers = [*range(int(sys.argv[2]), {ROWS}, 2)]
for number in random.sample(numbers, len(numbers)):
    given = LateLabel("{CLASSES}"[number % 3], "train")
    change = {{"unlabelled": {{f"unlabelled-{{number}}": given}}}}
    give_labels(open_store(sys.argv[1]), lambda _: change)
"""


@pytest.mark.thorough
def test_two_processes_that_label_lose_no_label(tmp_path) -> None:
    make(tmp_path / "s", extracted())
    words = [sys.executable, "-c", GIVE_SOME, tmp_path / "s"]
    others = [subprocess.Popen([*words, start]) for start in ("0", "1")]
    assert [other.wait() for other in others] == [0, 0]
    labels = read_manifest(tmp_path / "s").labels["unlabelled"]
    assert {n: g.label for n, g in labels.items()} == {
        f"unlabelled-{n}": CLASSES[n % 3] for n in range(ROWS)
    }


@pytest.mark.thorough
def test_copies_keep_the_labels(tmp_path) -> None:
    changes = {"test": {"test-0": LateLabel("b", "train")}}
    store = give_labels(make(tmp_path / "s", extracted()), lambda _: changes)
    small = slim(store, [(0, 1)], tmp_path / "small")
    assert small.examples("train").equals(store.examples("train"))
    others = {"train": [("other", "a", 9)], "test": [("other-test", "c", 8)]}
    merged = merge([store, make(tmp_path / "other", others)], tmp_path / "merged")
    assert {*merged.examples("train")["id"]} == {*store.examples("train")["id"], "other"}
    assert merged.manifest.labels == store.manifest.labels


def test_stores_whose_labels_do_not_fit_each_other_are_not_merged(tmp_path) -> None:
    changes = {"test": {"test-0": LateLabel("b", "train")}}
    store = give_labels(make(tmp_path / "s", extracted()), lambda _: changes)
    other = make(tmp_path / "other", {"train": [("test-0", "a", 9)]})
    with pytest.raises(StoreMismatchError, match="cannot be merged, labels: train would have"):
        merge([store, other], tmp_path / "merged")
    again = make(tmp_path / "again", extracted())
    again = open_store(again.path, partial=True)
    again = give_labels(again, lambda _: {"test": {"test-0": LateLabel("b", "test")}})
    assert again.partial
    assert again.without_labels().partial
    with pytest.raises(StoreMismatchError, match=r"labelled 'b' \(test\), and 'b' \(train\)"):
        merge([store, again], tmp_path / "merged")
    pair = [
        one.with_rows({"test": {"test-0": PlacedRow("test-0", "test", label)}}, store.benchmark)
        for one, label in ((store, "a"), (again, "c"))
    ]
    with pytest.raises(StoreMismatchError, match="says another thing of the test example 'test-0'"):
        merge(pair, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_an_example_that_is_appended_under_the_id_replaces_the_label(tmp_path) -> None:
    from savs.stores.write.opening import reserve

    changes = {"test": {"test-0": LateLabel("b", "train"), "test-1": LateLabel("b", "train")}}
    store = give_labels(make(tmp_path / "s", extracted()), lambda _: changes)
    rows = {split: planned(split, ROWS) for split in SPLITS}
    rows = {
        s: [type(r)(f"{s}-{i}", r.digest, r.group) for i, r in enumerate(some)]
        for s, some in rows.items()
    }
    rows["train"].append(type(rows["train"][0])("test-0", "new", ""))
    with reserve(store.path) as place:
        writer = place.begin(store.manifest.identity, rows, None)
    assert writer.manifest.labels == {"test": {"test-1": LateLabel("b", "train")}}
    assert writer.manifest.ids("train")[-2:] == ("test-0", "test-1")


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        ({"test": {"nobody": LateLabel("a", "train")}}, "no row of test is called 'nobody'"),
        ({"other": {"test-0": LateLabel("a", "train")}}, "no row of other is called 'test-0'"),
        ({"test": {"twin": LateLabel("a", "train")}}, "train would have 'twin' twice"),
    ],
)
def test_labels_that_do_not_fit_the_plan_are_refused(tmp_path, labels, what) -> None:
    rows = extracted()
    rows["train"][0] = ("twin", "a", 1)
    rows["test"][0] = ("twin", "a", 2)
    if "test-0" in str(labels):
        rows["test"][1] = ("test-0", "a", 2)
    store = make(tmp_path / "s", rows)
    with pytest.raises(StoreMismatchError, match=what):
        give_labels(store, lambda _: labels)
    assert not read_manifest(tmp_path / "s").labels


def test_a_changed_label_is_found(tmp_path) -> None:
    changes = {"test": {"test-0": LateLabel("b", "train")}}
    store = give_labels(make(tmp_path / "s", extracted()), lambda _: changes)
    path = store.path / MANIFEST
    path.write_text(path.read_text().replace('"label": "b"', '"label": "c"'))
    (problem,) = verify(store.path).problems
    assert problem.kind == "manifest"
    path.write_text(path.read_text().replace('"split": "train"\n', '"split": "lost"\n'))
    with pytest.raises(StoreCorruptError, match="is damaged"):
        open_store(store.path)


def test_a_store_that_is_gone_takes_no_label(tmp_path) -> None:
    store = make(tmp_path / "s", extracted())
    for file in store.path.iterdir():
        if file.is_file():
            file.unlink()
    with pytest.raises(StoreNotFoundError, match="holds no store any more"):
        give_labels(store, lambda _: {})
