"""Whatever a stranger puts into a store, results, rows or media: no command runs it."""

import io
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import hostile_files
import numpy as np
import polars as pl
import pytest
from jinja2 import Environment
from saved_selections import config_of, two_task_store

from savs.pipeline.running.result_files import CLASSIFIER, CONFIG
from savs.stores import open_store, open_writer
from savs.stores.format.layout import digest
from stores import identity, planned

pytestmark = pytest.mark.costly

COMMANDS = {
    "show": ["show", "store"],
    "verify": ["verify", "store"],
    "verify --repair": ["verify", "store", "--repair"],
    "evaluate": ["evaluate", "store"],
    "evaluate --selection": ["evaluate", "store", "--selection", "store/results/vote"],
    "select": ["select", "store", "--out", "out", "--heads", "store/results/vote"],
    "sweep": ["sweep", "store", "--draws", "1", "--shots", "1"],
    "query": ["query", "store", "SELECT * FROM examples"],
    "query predictions": ["query", "store", "SELECT * FROM predictions"],
    "query votes": ["query", "store", "SELECT * FROM votes"],
    "export": ["export", "store", "--to", "parquet", "--out", "out.parquet", "--heads", "all"],
    "export classifier": ["export", "store/results/vote", "--to", "classifier", "--out", "bundle"],
    "export store": ["export", "store/results/vote", "--to", "store", "--out", "slim"],
    "merge": ["merge", "store", "store", "--out", "merged"],
    "compare": ["compare", "store/results/vote", "store/results/knn"],
}
SELECTION = {
    **{
        name: COMMANDS[name]
        for name in ("evaluate", "evaluate --selection", "query votes", "export store")
    },
    "evaluate --folds": ["evaluate", "store", "--folds", "5"],
    "export": ["export", "store/results/vote", "--to", "parquet", "--out", "out.parquet"],
    "select --heads DIR": ["select", "store", "--heads", "store/results/vote"],
}
"""Commands that read the selection."""


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """Return a folder with a store that has results."""
    from savs import evaluate, save_evaluation, save_selection, select

    folder = tmp_path_factory.mktemp("good")
    store = two_task_store(folder / "store")
    for readout in ("vote", "knn"):
        selection = select(store, heads=2, readout=readout)
        save_selection(selection, folder / "store/results" / readout)
        save_evaluation(evaluate(store, selection), folder / "store/results" / readout)
    return folder / "store"


@pytest.fixture
def try_all(savs, tmp_path, good):
    """Return a function that runs all commands on a store that it is given how to change.

    Each ends in good order, with an error of one line or without, and nothing has run.
    """

    def run(change, *names: str) -> None:
        for name in names or COMMANDS:
            for left in ("store", "out", "slim", "merged", "bundle"):
                shutil.rmtree(tmp_path / left, ignore_errors=True)
            shutil.copytree(good, tmp_path / "store")
            change(tmp_path / "store")
            done = savs(*COMMANDS[name])
            assert done.returncode in (0, 1, 3), f"{name}: {done.stderr}"
            assert "Traceback" not in done.stderr
            assert not (tmp_path / "canary").exists(), name

    return run


def test_the_payloads_run_where_they_are_let(tmp_path) -> None:
    canary = tmp_path / "canary"
    careless = [
        lambda: pickle.loads(hostile_files.pickled(canary)),
        lambda: np.load(io.BytesIO(hostile_files.object_arrays(canary)), allow_pickle=True)["x"],
        lambda: exec(hostile_files.python(canary), {}),
        lambda: Environment().from_string(hostile_files.template(canary)).render(),
    ]
    for read in careless:
        read()
        canary.unlink()


FILES = [
    *("store.json", "train-00000.h5", "test-00000.h5"),
    *(f"results/vote/{name}" for name in ("config.json", "classifier.safetensors")),
    *(f"results/vote/{name}" for name in ("metrics.json", "predictions.parquet", "units.parquet")),
]


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_a_store_is_no_program(try_all, tmp_path, file) -> None:
    canary = tmp_path / "canary"
    contents = (
        hostile_files.pickled(canary),
        hostile_files.object_arrays(canary),
        hostile_files.zipped(canary),
        hostile_files.python(canary).encode(),
    )
    for content in contents:
        try_all(lambda store, content=content: (store / file).write_bytes(content))


@pytest.mark.parametrize("name", ["arrow.py_extension_type", "_POLARS_PYTHON_OBJECT"])
def test_tables_of_results_keep_to_plain_types(try_all, tmp_path, name) -> None:
    def change(store: Path) -> None:
        for file in ("predictions", "units"):
            path = store / f"results/vote/{file}.parquet"
            rows = pl.read_parquet(path)
            path.write_bytes(hostile_files.extended_table(tmp_path / "canary", name, rows))

    try_all(change, "query predictions", "compare")


def test_objects_and_links_in_hdf5_are_not_followed(try_all, tmp_path) -> None:
    payload = hostile_files.pickled(tmp_path / "canary")

    def change(store: Path) -> None:
        for path in store.glob("*.h5"):
            with h5py.File(path, "r+") as file:
                file.attrs["pickle"] = np.void(payload)
                file.attrs["__reduce__"] = f"os.system('touch {tmp_path}/canary')"
                objects = file.create_dataset("objects", (1,), h5py.vlen_dtype(np.uint8))
                objects[0] = np.frombuffer(payload, np.uint8)
                file.create_dataset("pointer", data=objects.ref, dtype=h5py.ref_dtype)
                file["outside"] = h5py.ExternalLink("/etc/passwd", "/")

    try_all(change)


def test_a_benchmark_that_is_a_file_is_not_run(savs, tmp_path) -> None:
    (tmp_path / "x.py").write_text(hostile_files.python(tmp_path / "canary"))
    for number, name in enumerate(("x.py", str(tmp_path / "x.py"))):
        store = tmp_path / f"store{number}"
        what = replace(identity(), benchmark={"name": name, "options": {"file": name}})
        with open_writer(store, what, {"test": planned("test", 1)}):
            pass
        assert open_store(store).manifest.identity.benchmark["name"] == name
        for command in (
            ["evaluate", store, "--allow", "partial"],
            ["show", store],
            ["sweep", store],
        ):
            assert "Traceback" not in savs(*command).stderr
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def plant(tmp_path, good):
    """Return a function that makes a saved selection name a readout or its file."""
    shutil.copytree(good, tmp_path / "store")
    (tmp_path / "x.py").write_text(hostile_files.python(tmp_path / "canary"))
    folder = tmp_path / "store/results/vote"
    for name in ("metrics.json", "predictions.parquet", "units.parquet"):
        (folder / name).unlink()

    def write(**fields) -> None:
        value = config_of(folder) | fields
        head = ("format", "savs", "run", "sha256")
        run = digest({name: item for name, item in value.items() if name not in head})
        content = (folder / CLASSIFIER).read_bytes().replace(value["run"].encode(), run.encode())
        (folder / CLASSIFIER).write_bytes(content)
        (folder / CONFIG).write_text(json.dumps(value | {"run": run}))

    return write


@pytest.mark.parametrize("command", SELECTION.values(), ids=SELECTION)
@pytest.mark.parametrize("name", ["x.py", "./x.py", "../x.py"])
def test_a_readout_that_is_a_path_is_refused(savs, plant, tmp_path, command, name) -> None:
    plant(readout=name)
    done = savs(*command)
    assert done.returncode == 1, done.stdout
    assert "config.json is not a selection of this release: Expected `str` matching" in done.stderr
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "slim").exists()


@pytest.mark.parametrize("command", SELECTION.values(), ids=SELECTION)
def test_a_users_readout_is_not_run_for_the_heads(savs, plant, tmp_path, command) -> None:
    plant(readout="mine", readout_file={"name": "x.py", "sha256": "0" * 64})
    done = savs(*command)
    if command[0] == "evaluate":
        assert done.returncode == 1
        assert "got 'mine' of x.py" in done.stderr
        assert "--readout FILE.py" in done.stderr
    else:  # the heads can be read without it
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()


def test_modules_in_the_working_folder_are_not_imported(good, tmp_path) -> None:
    store = tmp_path / "store"
    shutil.copytree(good, store)
    for name in ("sitecustomize", "json", "polars", "savs", "plugins", "conftest", "__init__"):
        (store / f"{name}.py").write_text(hostile_files.python(tmp_path / "canary"))
    command = Path(sys.executable).with_name("savs")
    done = subprocess.run(
        [command, "evaluate", "."], cwd=store, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "canary").exists()


def test_links_in_a_store_do_not_lead_writers_elsewhere(savs, good, tmp_path) -> None:
    mine, store = tmp_path / "mine", tmp_path / "store"
    shutil.copytree(good, store)
    shutil.move(store / "results/vote", mine)
    (mine / "profile").write_text("mine")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    (store / "results/vote").symlink_to(mine)
    (store / "claims").symlink_to(mine)
    for command in (["select", store, "--heads", "2"], ["evaluate", store]):
        done = savs(*command)
        assert done.returncode == 2
        assert f"is a link to {mine}" in " ".join(done.stderr.replace("│", " ").split())
    done = savs("verify", store, "--repair")
    assert done.returncode == 1
    assert f"claims is a link to {mine}; move it away" in done.stderr
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_media_are_pictures_or_refused(savs, inputs, tmp_path) -> None:
    (inputs.root / "secret").write_text("a secret")
    train, _ = inputs.few_shots()
    rows = [{"image": inputs.image("good.png"), "question": "?", "label": "a"}]
    for name, data in hostile_files.media(tmp_path / "canary").items():
        (inputs.root / name).write_bytes(data)
        rows.append({"image": name, "question": "?", "label": "b"})
    test = inputs.rows("test.jsonl", rows)
    files = ("--train", train, "--test", test)
    done = savs("extract", "general", *files, "--model", "demo", "--out", tmp_path / "store")
    assert done.returncode == 4, done.stderr
    assert f"{len(rows) - 1} examples were skipped" in done.stderr
    done = savs(
        *("extract", "general", *files, "--model", "demo", "--out", tmp_path / "dry"),
        *("--dry-run", "--page", tmp_path / "page.html"),
    )
    assert "Traceback" not in done.stderr
    assert "a secret" not in (tmp_path / "page.html").read_text()
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_rows_are_data(savs, tmp_path, suffix) -> None:
    canary, file = tmp_path / "canary", tmp_path / f"rows{suffix}"
    rows = pl.DataFrame({"image": ["x.png"], "question": ["?"], "label": ["a"]})
    tables = ["arrow.py_extension_type", "_POLARS_PYTHON_OBJECT"] if suffix == ".parquet" else []
    for content in (
        hostile_files.pickled(canary),
        hostile_files.zipped(canary),
        hostile_files.object_arrays(canary),
        hostile_files.python(canary).encode(),
        json.dumps({"__reduce__": ["os.system", f"touch {canary}"], "py/object": "os"}).encode(),
        *(hostile_files.extended_table(canary, name, rows) for name in tables),
    ):
        file.write_bytes(content)
        done = savs(
            *("extract", "general", "--test", file, "--shots", "1", "--model", "demo"),
            *("--out", tmp_path / "s", "--dry-run", "--page", tmp_path / "p.html"),
        )
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        assert not canary.exists()
