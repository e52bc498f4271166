"""Commands that meet `savs extract --retry-skipped`, which rewrites shards, in the same store.

Whatever the moment, features stay with their examples, or the command refuses.
"""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from events import before_open
from safetensors import safe_open
from safetensors.numpy import load_file

from savs import evaluate, extract, load_selection, open_store, save_selection, select
from savs.stores import ShardContent, ShardSpec, open_writer
from savs.stores.maintain.verify import verify
from stores import columns, identity, planned

pytestmark = pytest.mark.costly

LABELS = "ab"
TOKENS = {"a": [1, 9], "b": [2, 9]}
HEADS = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
IDENTITY = replace(identity(), outputs={"answers": TOKENS})
PLAN = {"train": planned("train", 6), "test": planned("test", 4)}
ROLES = ("STORE", "COPY", "OUT")
"""What a command names: the store, another with the same shards, what it writes."""
SKIPPED = 0
"""The first row of each split: without it, all others of its shard lie one place further up."""
REFUSALS = (
    "changed while it was read",
    "holds a selection of other training examples than the store's",
)


def features(places: list[int]) -> np.ndarray:
    """Return `(n, 4)`: which label an example has, and which example it is."""
    rows = [[4 * (p % 2 == 0), 4 * (p % 2 == 1), p / 16, 0] for p in places]
    return np.array(rows, np.float32).reshape(-1, 4)


def content(spec: ShardSpec, skip: tuple[int, ...]) -> ShardContent:
    places = range(spec.start, spec.stop)
    kept, gone = ([p for p in places if (p in skip) == out] for out in (False, True))
    rows = [
        [{"index": p, "id": f"{spec.split}:{p}", "label": LABELS[p % 2]} for p in part]
        for part in (kept, gone)
    ]
    return ShardContent(
        layers={grid.layer: np.stack([features(kept)] * len(grid.heads)) for grid in IDENTITY.grid},
        examples=columns(spec.split, rows[0]),
        skipped=columns(spec.split, rows[1]) | {"reason": ["no image"] * len(gone)},
        run={"made": f"without {skip}"},
        outputs={"answers": features(kept)[:, :2] - 9},
    )


def write(folder: Path, *skip: int, again: bool = False) -> None:
    with open_writer(folder, IDENTITY, PLAN, shard_rows=2) as writer:
        for spec in writer.reopen_skipped() if again else writer.missing():
            writer.write(spec, content(spec, skip))
        assert writer.seal()


def check_table(frame: pl.DataFrame) -> None:
    """Check that each head of each row is that of the row's example."""
    assert frame.height
    for name in (name for name in frame.columns if name.startswith("L")):
        np.testing.assert_array_equal(
            np.stack(frame[name].to_numpy()),
            features([int(row.split(":")[1]) for row in frame["id"]]),
        )


def check_predictions(out: Path) -> None:
    frame = pl.read_parquet(out / "predictions.parquet").filter(pl.col("prediction").is_not_null())
    assert frame.height >= 3
    assert frame["prediction"].equals(frame["label"], null_equal=False)


def check_arrays(path: Path) -> None:
    found = np.load(path) if path.suffix == ".npz" else load_file(path)
    if path.suffix == ".npz":
        ids = found["id"].tolist()
    else:
        with safe_open(path, "numpy") as file:
            ids = json.loads(file.metadata()["id"])
    expected = features([int(name.split(":")[1]) for name in ids])
    np.testing.assert_array_equal(found["L2.H1"], expected)


def check_store(path: Path) -> None:
    check_table(open_store(path).scan().collect())


def check_selection(out: Path) -> None:
    """Check that the centroids are means of the right training examples, in any of two states."""
    for task in load_selection(out).tasks:
        centroids = task.fitted.directions
        assert task.classes == ("a", "b")
        assert (centroids[:, 0, 0] > 0.99).all()
        assert (centroids[:, 1, 1] > 0.99).all()


def check_sweep(out: Path) -> None:
    """Check that all but the skipped example, of four, are right."""
    frame = pl.read_parquet(out / "summary.parquet")
    assert set(frame.filter(pl.col("metric") == "accuracy")["mean"]) in ({0.75}, {1.0})


def check_query(out: Path) -> None:
    """Check the heads of rows that are put together from two readings of the store."""
    rows = json.loads(out.read_text())
    assert len(rows) >= 8
    assert all(features([int(r["id"].split(":")[1])])[0].tolist() == r["L0.H1"] for r in rows)
    assert all(r["L0.H1"] == r["L2.H0"] for r in rows)


def check_votes(out: Path) -> None:
    rows = json.loads(out.read_text())
    assert len(rows) >= 6
    assert all(row["vote"] == row["label"] for row in rows)


JOIN = (
    'SELECT a.id, a."L0.H1", b."L2.H0" FROM examples a JOIN examples b ON a.id = b.id ORDER BY a.id'
)
COMMANDS: dict[str, tuple[list[str], Callable[[Path], None]]] = {
    "evaluate": (["evaluate", "STORE", "--out", "OUT"], check_predictions),
    "evaluate after a default selection": (
        ["evaluate", "STORE", "--out", "OUT", "--readout", "lda"],
        check_predictions,
    ),
    "zero-shot": (
        ["evaluate", "STORE", "--out", "OUT", "--readout", "zero-shot"],
        check_predictions,
    ),
    "cross-validation": (["evaluate", "STORE", "--out", "OUT", "--folds", "5"], check_predictions),
    "select": (["select", "STORE", "--out", "OUT", "--heads", "2"], check_selection),
    "sweep": (
        ["sweep", "STORE", "--out", "OUT", "--shots", "1", "--heads", "1,3", "--draws", "2"],
        check_sweep,
    ),
    "query": (["query", "STORE", JOIN, "--json"], check_query),
    "query votes": (["query", "STORE", "SELECT * FROM votes", "--json"], check_votes),
    "export store": (
        ["export", "STORE", "--to", "store", "--out", "OUT", "--heads", "L0.H1,L2.H0"],
        check_store,
    ),
    "merge": (["merge", "STORE", "COPY", "--out", "OUT"], check_store),
}
for form, check in (
    ("parquet", lambda path: check_table(pl.read_parquet(path))),
    ("npz", check_arrays),
    ("safetensors", check_arrays),
):
    COMMANDS[f"export {form}"] = (
        ["export", "STORE", "--out", f"OUT.{form}", "--to", form, "--heads", "L0.H0,L2.H1"],
        check,
    )


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> Path:
    """Return a folder with a store, as it is made with an image that cannot be read."""
    folder = tmp_path_factory.mktemp("states")
    write(folder / "store", SKIPPED)
    stored = open_store(folder / "store")
    save_selection(select(stored, heads=2), folder / "store/results/vote")
    return folder


@pytest.fixture
def run(savs, states, tmp_path):
    """Return a function that runs a command on a fresh store that is rewritten at one opening.

    It returns what the command left, and whether the opening came.
    """

    def call(command: list[str], moment: int):
        folder = tmp_path / str(moment)
        shutil.copytree(states / "store", folder / "store")
        shutil.copytree(states / "store", folder / "copy")
        words = [f"{folder}/{word.lower()}" if word.startswith(ROLES) else word for word in command]
        came = []

        def rewrite() -> None:
            came.append(True)
            write(folder / "store", again=True)

        with before_open(folder / "store", "*.h5", moment, rewrite):
            done = savs(*words)
        assert "Traceback" not in done.stderr
        if command[0] == "query":
            (folder / "out").write_text(done.stdout)
        return done, folder, bool(came)

    return call


@pytest.mark.parametrize(("command", "check"), COMMANDS.values(), ids=COMMANDS.keys())
def test_features_stay_with_their_examples_at_every_moment(run, command, check) -> None:
    for moment in range(200):
        done, folder, came = run(command, moment)
        if done.returncode == 0:
            out = next(path for path in folder.iterdir() if path.name.startswith("out"))
            check(out)
        else:
            assert any(text in done.stderr for text in REFUSALS), done.stderr
        if not came:  # the command opens no further file: it ran to its end undisturbed
            break
    assert not came
    assert done.returncode == 0
    assert moment >= 4


@pytest.mark.parametrize("options", [(), ("--repair",)], ids=["verify", "repair"])
def test_a_fresh_shard_is_not_taken_for_a_damaged_one(run, options) -> None:
    for moment in range(200):
        done, folder, came = run(["verify", "STORE", *options], moment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not list(folder.glob("store/*.damaged"))
        assert verify(folder / "store").problems == ()
        if not came:
            break
    assert not came
    assert moment >= 4


def test_a_store_that_is_being_written_is_not_repaired(savs, states, tmp_path) -> None:
    shutil.copytree(states / "store", tmp_path / "store")
    shard = tmp_path / "store/train-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    with open_writer(tmp_path / "store", IDENTITY, PLAN, shard_rows=2):
        done = savs("verify", tmp_path / "store", "--repair")
    assert done.returncode == 1
    assert "store is being written by process" in done.stderr
    assert "wait for it, or stop it" in done.stderr
    assert shard.exists()
    assert savs("verify", tmp_path / "store", "--repair").returncode == 0
    assert not shard.exists()


def test_a_real_extraction_that_rewrites_shards_stops_an_evaluation(savs, inputs, tmp_path) -> None:
    train, test = inputs.few_shots(train=4, test=4)
    image, store = inputs.root / "images/train1.png", tmp_path / "store"
    good = image.read_bytes()
    image.write_bytes(good[: len(good) // 2])
    files = {"train": train, "test": test, "model": "demo", "out": store, "shard_rows": 2}
    extract("general", **files)
    image.write_bytes(good)

    def mend() -> None:
        assert extract("general", **files, retry_skipped=True).skipped == []

    with before_open(store, "*.h5", 2, mend):  # after the rows of two shards, before their heads
        done = savs("evaluate", store)
    assert done.returncode == 1
    assert "train-00000.h5 changed while it was read" in done.stderr
    assert "run this command again" in done.stderr
    assert not (store / "results/vote/metrics.json").exists()
    done = savs("evaluate", store)
    assert done.returncode == 0
    found = pl.read_parquet(store / "results/vote/predictions.parquet")
    whole = extract("general", **files | {"out": tmp_path / "whole"}).store
    assert found["prediction"].equals(evaluate(whole).predictions["prediction"])


def test_two_extractions_that_retry_at_once_make_one_store(savs, inputs, tmp_path) -> None:
    train, test = inputs.few_shots(train=4, test=4)
    images, store = [inputs.root / f"images/train{n}.png" for n in (0, 3)], tmp_path / "store"
    good = [image.read_bytes() for image in images]
    files = {"train": train, "test": test, "model": "demo", "out": store, "shard_rows": 2}
    for image in images:
        image.write_bytes(b"")
    extract("general", **files)
    for image, data in zip(images, good, strict=True):
        image.write_bytes(data)

    def retry() -> None:
        extract("general", **files, retry_skipped=True)

    other = threading.Thread(target=retry)
    with before_open(store, "store.json.*.partial", 0, other.start):  # a shard is to be unlisted
        retry()
    other.join()
    assert savs("verify", store).returncode == 0
    assert open_store(store).manifest.sealed
    assert open_store(store).skipped().height == 0
