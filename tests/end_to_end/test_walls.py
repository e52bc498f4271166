"""Breaches of the walls between the rooms, planted in a copy of the packages."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
ROOMS = ("pipeline", "stores", "datasets", "foundation")
BREACHES = {
    "torch stays inside stage 1": {
        "pipeline/selection/selection.py": "import torch",
        "pipeline/cli/output.py": "def late():\n    from transformers import AutoModel",
    },
    "HDF5 stays inside stores": {
        "pipeline/evaluation/query.py": "import h5py",
        "datasets/rows/files.py": "from h5py import File",
    },
    "stores and datasets know neither each other nor the pipeline": {
        "stores/read/store.py": "from savs.datasets import Example",
        "datasets/example.py": "import savs.stores.errors",
    },
    "nothing below imports the pipeline": {
        "stores/errors.py": "from savs.pipeline.errors import PipelineError",
    },
    "the foundation imports nothing of ours": {
        "foundation/arrays.py": "from savs.stores import Head",
    },
    "rooms of the datasets import downwards": {
        "datasets/metrics/groups.py": "from savs.datasets.benchmarks.blink import BLINK",
    },
    "rooms of the stores import downwards": {
        "stores/format/plan.py": "from savs.stores.read.store import open_store",
    },
    "rooms of the extraction import downwards": {
        "pipeline/extraction/model/load.py": "import savs.pipeline.extraction.line.jobs",
    },
    "rooms of the pipeline import downwards": {
        "pipeline/extraction/recorded_options.py": "import savs.pipeline.evaluation.evaluation",
        "pipeline/encoders/image.py": "import savs.pipeline.extraction.run_options",
    },
    "stage 2 imports no room of stage 1": {
        "pipeline/evaluation/evaluation.py": "import savs.pipeline.prompts.media",
    },
}
"""Contract -> module -> the code that breaks it there."""
PLANTED = [(file, code, rule) for rule, files in BREACHES.items() for file, code in files.items()]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """Return a folder with a copy of the packages and the contracts."""
    folder = tmp_path_factory.mktemp("walls")
    (folder / "savs").mkdir()
    shutil.copy(ROOT / "public/__init__.py", folder / "savs")
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
    for file, code, _ in PLANTED:
        with (copy / "savs" / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{code}\n")
    return broken(copy)


@pytest.mark.parametrize(("file", "code", "contract"), PLANTED)
def test_a_breach_is_found(said, file, code, contract):
    module = "savs." + file.removesuffix(".py").replace("/", ".")
    imported = re.findall(r"(?:import|from) ([\w.]+)", code)[0]
    assert re.search(rf"{re.escape(module)} ->\s+{re.escape(imported)}\b", said[contract])


def test_a_breach_is_planted_for_every_contract():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    names = {contract["name"] for contract in linter["contracts"]}
    assert set(BREACHES) == names
