"""Both kinds of install, used in the repository's folder by Python without `PYTHONSAFEPATH`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
ROOMS = ("public", "pipeline", "stores", "datasets", "foundation")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
SAFE_PATH = "PYTHONSAFEPATH"
IMPORTS = "import savs, savs.stores, savs.datasets; print(savs.train.__module__, savs.__file__)"


@pytest.fixture(scope="module", params=["regular", "editable"])
def installed(request, tmp_path_factory):
    """Return a copy of the repository and a Python into which it was installed."""
    folder = tmp_path_factory.mktemp(request.param)
    repository = folder / "repository"
    for name in (*ROOMS, "scripts"):
        skip = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.jsonl")
        shutil.copytree(ROOT / name, repository / name, ignore=skip)
    for name in FILES:
        shutil.copy(ROOT / name, repository)
    venv.create(folder / "env", symlinks=os.name != "nt")
    python = folder / ("env/Scripts/python.exe" if os.name == "nt" else "env/bin/python")
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    site = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    # Other packages are those of this environment, whose own `.pth` files are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-P", "-m", "pip", "--python", python, "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    pip += ["--ignore-installed", *(["-e"] if request.param == "editable" else []), repository]
    subprocess.run(pip, check=True)
    return repository, python


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-c", IMPORTS), "savs.pipeline.classifying.training"),
        (("-m", "savs", "evaluate", "--help"), "Usage: savs evaluate"),
        (("scripts/bench_evaluate.py", "--help"), "usage: bench_evaluate.py"),
    ],
    ids=["import", "module", "script"],
)
def test_savs_works_in_its_repository(installed, arguments, expected):
    repository, python = installed
    variables = {name: value for name, value in os.environ.items() if name != SAFE_PATH}
    done = subprocess.run(
        [python, *arguments],
        cwd=repository,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout
