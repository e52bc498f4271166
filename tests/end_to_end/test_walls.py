"""Breaches of the walls between the rooms, planted in a copy of the packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("pipeline", "stores", "datasets", "foundation")
BREACHES = {
    "torch in stage 2": (
        "pipeline/selection/selection.py",
        "import torch",
        "torch stays inside pipeline/extraction",
    ),
    "torch behind a function": (
        "pipeline/cli/output.py",
        "def late():\n    from transformers import AutoModel",
        "torch stays inside pipeline/extraction",
    ),
    "HDF5 in the pipeline": (
        "pipeline/evaluation/query.py",
        "import h5py",
        "HDF5 stays inside stores",
    ),
    "HDF5 in the data sets": (
        "datasets/rows/files.py",
        "from h5py import File",
        "HDF5 stays inside stores",
    ),
    "stores import data sets": (
        "stores/read/store.py",
        "from savs.datasets import Example",
        "stores and datasets know neither each other nor the pipeline",
    ),
    "data sets import stores": (
        "datasets/example.py",
        "import savs.stores.errors",
        "stores and datasets know neither each other nor the pipeline",
    ),
    "stores import the pipeline": (
        "stores/errors.py",
        "from savs.pipeline.errors import PipelineError",
        "nothing below imports the pipeline",
    ),
    "the foundation imports stores": (
        "foundation/arrays.py",
        "from savs.stores import Head",
        "the foundation imports nothing of ours",
    ),
    "a room of the data sets imports upwards": (
        "datasets/metrics/groups.py",
        "from savs.datasets.benchmarks.blink import BLINK",
        "rooms of the datasets import downwards",
    ),
    "a room of the stores imports upwards": (
        "stores/format/plan.py",
        "from savs.stores.read.store import open_store",
        "rooms of the stores import downwards",
    ),
    "the model imports what runs it": (
        "pipeline/extraction/model/load.py",
        "from savs.pipeline.extraction.batches.plan import make_batches",
        "rooms of the extraction import downwards",
    ),
    "stage 2 imports stage 1": (
        "pipeline/evaluation/evaluation.py",
        "from savs.pipeline.extraction.run_options import RunOptions",
        "rooms of the pipeline import downwards, and stage 2 never imports stage 1",
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Return a folder with a copy of the packages and the contracts."""
    folder = tmp_path_factory.mktemp("walls")
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            target = folder / "savs" / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def broken(folder: Path) -> dict[str, str]:
    """Return contract -> what is said of it, for the contracts that a copy breaks."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(.+) (KEPT|BROKEN)$", done.stdout, re.MULTILINE)
    assert len(found) >= 6, done.stdout + done.stderr
    names = [name for name, state in found if state == "BROKEN"]
    assert done.returncode == bool(names)
    _, *parts = re.split(r"^(.+)\n-+$", done.stdout.partition("Broken contracts")[2], flags=re.M)
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    assert sorted(said) == sorted(names)
    return said


@pytest.fixture(scope="module")
def said(copy) -> dict[str, str]:
    """Return contract -> what is said of it once all breaches are planted."""
    assert broken(copy) == {}
    for file, code, _ in BREACHES.values():
        with (copy / "savs" / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{code}\n")
    return broken(copy)


@pytest.mark.parametrize(("file", "code", "contract"), BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_is_found(said, file, code, contract):
    module = "savs." + file.removesuffix(".py").replace("/", ".")
    imported = re.findall(r"(?:import|from) ([\w.]+)", code)[0]
    assert re.search(rf"{re.escape(module)} -> {re.escape(imported)}\b", said[contract])


def test_a_breach_is_planted_for_every_contract():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    names = {contract["name"] for contract in linter["contracts"]}
    assert {contract for *_, contract in BREACHES.values()} == names
