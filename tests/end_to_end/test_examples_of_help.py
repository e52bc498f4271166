"""The examples that end the help of each command, run as they are written."""

import contextlib
import io
import os
import shlex
import shutil
from importlib import import_module
from keyword import iskeyword
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from input_folder import Inputs

import savs as package
from savs.pipeline.cli.commands import COMMANDS

pytestmark = pytest.mark.thorough

PER_CLASS = 26
TWO_RESULTS = ("compare", "report")
"""Commands whose examples name a second result; others take a store with one selection."""


def examples(name: str) -> tuple[str, ...]:
    module = f"{name}_" if iskeyword(name) else name
    return import_module(f"savs.pipeline.cli.commands.{module}").COMMAND.examples


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Return a folder with all that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    photos, new = Inputs(folder / "photos"), Inputs(folder / "new")
    rows = [
        {
            "image": photos.image(f"{kind}/{number:03}.png", 2 * number + (kind == "dog")),
            "question": "Which animal is this?",
            "label": kind,
        }
        for number in range(PER_CLASS)
        for kind in ("cat", "dog")
    ]
    for number in range(3):
        new.image(f"{number}.png", 100 + number)
    Inputs(folder).rows("train.jsonl", rows[:40])
    Inputs(folder).rows("test.jsonl", rows[40:])
    write_features(folder)
    with contextlib.chdir(folder):
        package.extract(
            "image-folder",
            test="photos",
            shots=20,
            question="Which animal is this?",
            model="demo",
            out="pets",
        )
        selection = package.calibrate("pets", package.select("pets")).selection
        package.save_selection(selection, "pets/results/vote")
        package.save_evaluation(package.evaluate("pets", selection), "pets/results/vote")
        package.classify("pets", ["new"], out="new.csv", risk=0.05)
        (tested, *_) = package.open_store("pets").ids("test")
        Path("labelled.csv").write_text(f"id,label\n{tested},cat\n")
        Path("new-labels.csv").write_text("id,label\nnew/0.png,cat\n")
        table = pl.DataFrame(rows).select("label", image="photos/" + pl.col("image"))
        table.write_csv("photos.csv")
    return folder


def write_features(folder: Path) -> None:
    """Write features of another program, and two stores to merge."""
    cube = np.random.default_rng(0).standard_normal((24, 2, 3, 8)).astype(np.float32)
    np.save(folder / "features.npy", cube)
    labels = pl.DataFrame(
        {
            "id": [f"row {number}" for number in range(24)],
            "split": ["train", "test"] * 12,
            "label": ["a", "a", "b", "b"] * 6,
        }
    )
    labels.write_csv(folder / "labels.csv")
    head = pl.Series("L0.H0", cube[:, 0, 0].tolist())
    labels.with_columns(head).write_parquet(folder / "features.parquet")
    for name, part in (("first", slice(0, 12)), ("second", slice(12, 24))):
        np.save(folder / f"{name}.npy", cube[part])
        labels[part].write_csv(folder / f"{name}.csv")
        package.import_features(
            folder / f"{name}.npy", folder / f"{name}.csv", out=folder / name, model="own"
        )


RUN_ELSEWHERE = {
    "demo": "test_demo.py",
    "app": "test_app_in_a_browser.py, since it does not end",
    "doctor": "test_doctor.py",
}


EXAMPLES_OF = [
    pytest.param(name, marks=pytest.mark.costly if name == "models" else ())  # loads many models
    for name in COMMANDS
    if name not in RUN_ELSEWHERE
]


def link_image(source: str, copy: str) -> None:
    """Link an image, which no command changes; copy another file."""
    (os.link if source.endswith(".png") else shutil.copy2)(source, copy)


@pytest.mark.parametrize("name", EXAMPLES_OF)
def test_the_examples_of_a_command_run(savs, prepared, tmp_path, monkeypatch, name):
    start = shutil.copytree(prepared, tmp_path / "start", copy_function=link_image)
    if name in TWO_RESULTS:
        monkeypatch.chdir(start)
        for command in ("select", "evaluate"):
            assert savs(command, "pets", "--readout", "lda").returncode == 0
    for number, example in enumerate(examples(name)):
        folder = shutil.copytree(start, tmp_path / str(number), copy_function=link_image)
        monkeypatch.chdir(folder)
        if "results/sweep" in example:
            grid = ("--heads", 1, "--shots", "1,2", "--draws", 2)
            assert savs("sweep", "pets", *grid).returncode == 0
        before, _, after = example.replace("\\\n", " ").rpartition("| ")
        if before:  # what `ls` prints
            assert before.strip() == "ls new/*.png"
            names = "".join(f"{path}\n" for path in sorted(Path("new").glob("*.png")))
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
        program, command, *words = shlex.split(after)
        assert (program, command) == ("savs", name)
        done = savs(command, *words)
        assert done.returncode == 0, f"{example}\n{done.stderr}"
        assert done.stdout + done.stderr


def test_every_command_has_examples():
    for name in COMMANDS:
        assert all(f"savs {name}" in example for example in examples(name)), name
        assert examples(name)
