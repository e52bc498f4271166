"""Pipes and devices in the place of files are refused at once; nothing waits for a writer."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_results import save_result

from savs import evaluate, save_evaluation, select
from stores import make_store

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(method="thread")]
"""A command that waits for a pipe waits for ever: the test process ends then, and says where."""

DRAW = ("extract", "general", "--shots", "1", "--model", "demo", "--out", "NEW", "--test")
COMPARE = ("compare", "r", "s/results/vote")
PIPES = {
    "store.json": (("show", "s"), "s/store.json", 3),
    "shard": (("evaluate", "s"), "s/test-00000.h5", 3),
    "shard, verified": (("verify", "s"), "s/test-00000.h5", 3),
    "shard, repaired": (("verify", "s", "--repair"), "s/test-00000.h5", 0),
    "config": (("evaluate", "s"), "s/results/vote/config.json", 1),
    "classifier": (("evaluate", "s"), "s/results/vote/classifier.safetensors", 1),
    "classifier, copied": (
        ("export", "s", "--to", "store", "--out", "NEW"),
        "s/results/vote/classifier.safetensors",
        1,
    ),
    "metrics": (COMPARE, "s/results/vote/metrics.json", 1),
    "units": (COMPARE, "s/results/vote/units.parquet", 1),
    "predictions": (COMPARE, "s/results/vote/predictions.parquet", 1),
    "predictions, queried": (
        ("query", "s", "SELECT * FROM predictions"),
        "s/results/vote/predictions.parquet",
        1,
    ),
    **{
        f"rows {suffix}": ((*DRAW, f"rows{suffix}"), f"rows{suffix}", 1)
        for suffix in (".parquet", ".jsonl", ".json", ".csv")
    },
    "labels": (("import", "features.npy", "--labels", "rows.csv", "--out", "NEW"), "rows.csv", 1),
}


@pytest.fixture
def run(savs, monkeypatch) -> Callable[..., Any]:
    """Run a command in a folder."""

    def go(folder: Path, *command: str) -> Any:
        monkeypatch.chdir(folder)
        return savs(*command)

    return go


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with a store and its results, other results, and rows."""
    place = tmp_path_factory.mktemp("pipes")
    values = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    store = make_store(place / "s", values, list("abab"), values, list("abab"))
    save_evaluation(evaluate(store, select(store, heads=2)), place / "s/results/vote")
    save_result(place / "r", [1, 0, 1, 1])
    rows = pl.DataFrame({"question": list("1234"), "label": list("abab")})
    rows.write_parquet(place / "rows.parquet")
    rows.write_ndjson(place / "rows.jsonl")
    rows.write_json(place / "rows.json")
    rows.write_csv(place / "rows.csv")
    np.save(place / "features.npy", values[0])
    return place


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize(("command", "name", "code"), PIPES.values(), ids=PIPES)
def test_a_pipe_or_device_is_refused(run, folder, make, command, name, code) -> None:
    path = folder / name
    content = path.read_bytes()
    make(path)
    try:
        done = run(folder, *(word.replace("NEW", make.__name__) for word in command))
    finally:
        for found in (path, path.with_name(f"{path.name}.damaged")):
            found.unlink(missing_ok=True)
        path.write_bytes(content)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert Path(name).name in done.stderr + done.stdout
    if code and command[0] != "verify":  # which compares sizes first
        assert "not a regular file" in done.stderr


def few_rows(inputs) -> None:
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "?", "label": "ab"[n % 2]}
        for n in range(6)
    ]
    inputs.rows("all.jsonl", rows)


@pytest.mark.parametrize("make", [pipe, device])
@pytest.mark.parametrize("number", [1, 2])
def test_media_that_are_pipes_or_devices_are_named(
    run, inputs, make: Callable[[Path], None], number: int
) -> None:
    """Two of one size are read and compared where training examples are drawn."""
    few_rows(inputs)
    for n in range(number):
        make(inputs.root / f"{n}.png")
    page = run(inputs.root, *DRAW, "all.jsonl", "--dry-run", "--page", "page.html")
    assert page.returncode == 0, page.stderr
    assert " have missing media" in page.stderr
    assert "not found: 0.png" in page.stderr


def test_an_extraction_skips_a_pipe(run, inputs, tmp_path) -> None:
    train, test = inputs.few_shots(train=4, test=2)
    pipe(inputs.root / "images/test1.png")
    done = run(
        inputs.root,
        *("extract", "general", "--train", str(train), "--test", str(test), "--model", "demo"),
        *("--out", str(tmp_path / "new")),
    )
    assert done.returncode == 4, done.stderr
    assert "skipped test test:1: images/test1.png cannot be read: it is not a reg" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        (*DRAW, "CIRCLE.jsonl"),
        ("compare", "CIRCLE", "r"),
        ("report", "CIRCLE", "r", "--out", "page.html"),
        ("explain", "CIRCLE"),
        ("evaluate", "CIRCLE"),
        ("suggest", "CIRCLE"),
    ],
    ids=" ".join,
)
def test_links_in_a_circle_are_one_line(run, folder, command) -> None:
    links = [folder / name for name in ("CIRCLE", "CIRCLE.jsonl")]
    for link in links:
        link.symlink_to(link.name)
    try:
        done = run(folder, *command)
    finally:
        for link in links:
            link.unlink()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "CIRCLE" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_give_no_traceback(folder, closed) -> None:
    call = "from savs.pipeline.cli.main import main; main()"
    command = f'"{sys.executable}" -c "{call}" show "{folder}/s" {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
