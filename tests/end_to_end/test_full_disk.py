"""A full disk ends every command in one line and leaves nothing half-made.

No file may grow beyond a limit here, so each write fails as on a full disk, those of libraries too.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from savs import SavsError, evaluate, save_evaluation, save_selection, select, suggest
from stores import make_store

pytestmark = pytest.mark.thorough

COMMANDS = {
    "export parquet": (
        *("export", "s", "--heads", "all", "--to", "parquet"),
        *("--out", "new/x.parquet"),
    ),
    "export npz": ("export", "s", "--heads", "all", "--to", "npz", "--out", "new/x.npz"),
    "export safetensors": (
        *("export", "s", "--heads", "all", "--to", "safetensors"),
        *("--out", "new/x.safetensors"),
    ),
    "export classifier": ("export", "s", "--to", "classifier", "--out", "new/bundle"),
    "export store": ("export", "s", "--to", "store", "--out", "new/slim"),
    "merge": ("merge", "s", "s", "--out", "new/merged"),
    "select": ("select", "s", "--out", "new/selection"),
    "evaluate": ("evaluate", "s", "--out", "new/result"),
    "evaluate --folds": ("evaluate", "s", "--folds", "5", "--out", "new/cv"),
    "sweep": ("sweep", "s", "--draws", "1", "--heads", "1", "--shots", "1", "--out", "new/sweep"),
    "suggest": ("suggest", "s", "--out", "new/next.csv"),
    "extract --page": (
        *("extract", "general", "--train", "rows.jsonl", "--test", "rows.jsonl"),
        *("--model", "demo", "--out", "new/store", "--dry-run", "--page", "new/page.html"),
    ),
    "demo": ("demo", "--out", "new/demo"),
    "demo again": ("demo", "--out", "mine"),
}
CASES = [
    (name, size)
    for name in COMMANDS
    for size in (400, 2_000, 8_000, 20_000)
    if not name.startswith("demo") or size == 400  # its first larger file comes late
]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a store that was evaluated, rows, and the folder `new`."""
    tmp_path = tmp_path_factory.mktemp("full")
    train, test = np.random.default_rng(0).standard_normal((2, 40, 32, 16), np.float32)
    labels = ["a", "b"] * 16
    store = make_store(tmp_path / "s", train, labels, test, labels, shard_rows=16)
    chosen = select(store, heads=20)
    save_selection(chosen, tmp_path / "s/results/vote")
    save_evaluation(evaluate(store, chosen), tmp_path / "s/results/vote")
    rows = pl.DataFrame(
        {"question": [f"Which is it, {n}?" for n in range(200)], "label": ["a", "b"] * 100}
    )
    rows.write_ndjson(tmp_path / "rows.jsonl")
    (tmp_path / "new").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept\n")
    return tmp_path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """Return a copy of it, in the folder where commands run."""
    return shutil.copytree(original, tmp_path, dirs_exist_ok=True)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("command", "size"), CASES)
def test_a_full_disk_is_one_line_and_leaves_nothing(savs, folder, command, size) -> None:
    before = files(folder)
    with largest_file(size):
        done = savs(*COMMANDS[command])
    if done.returncode == 0:
        assert size > 400
        return
    assert done.returncode == 1, done.stderr
    *said, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert "cannot be written: File too large" in last or "the disk is full" in last
    assert all(line.startswith(("using ", "skipped ", "note: ")) for line in said), done.stderr
    after = files(folder)
    if command == "demo again":  # what it drew stays in a folder that was there
        after = {path: data for path, data in after.items() if path in before}
    assert after == before
    assert list((folder / "new").iterdir()) == []


@pytest.mark.parametrize("size", [300, 400])
def test_a_file_that_was_to_be_replaced_stays_as_it_was(folder, size) -> None:
    old = folder / "new/next.csv"
    old.write_bytes(b"old rows")
    with largest_file(size), pytest.raises(SavsError):
        suggest(folder / "s", out=old, force=True)
    assert files(folder / "new") == {old: b"old rows"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    "command",
    [
        ("show", "s", "--json"),
        ("query", "s", "SELECT * FROM examples", "--format", "csv"),
        ("select", "--help"),
        ("--version",),
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_one_line(folder, command) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "savs", *command],
            cwd=folder,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: the output cannot be written: No space left on device; make room\n"
    )
