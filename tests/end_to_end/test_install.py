"""Both kinds of install, used in the repository's folder by Python without `PYTHONSAFEPATH`.

And what a type checker, and so an editor, knows of an installed `savs`.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib import import_module
from pathlib import Path

import pytest
from doc_pages import blocks

import savs

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
ROOMS = ("public", "pipeline", "stores", "datasets", "foundation")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
SAFE_PATH = "PYTHONSAFEPATH"
WINDOWS = ("savs", "savs.stores", "savs.datasets")
IMPORTS = "import savs, savs.stores, savs.datasets; print(savs.train.__module__, savs.__file__)"


WRONG = {
    'savs.train("photos", qestion="Which?", model="demo", out="pets")': "qestion",
    'savs.train("photos", question=3, model="demo", out="pets")': "question",
    'savs.extract("image-folder", test=3, model="demo", out="pets")': "test",
    'metrics: int = savs.evaluate("pets", savs.select("pets")).metrics': "Metric",
    'savs.open_store("pets").features("train").label': "label",
}
"""A line that is wrong -> what an error says of it."""


@pytest.fixture(scope="module", params=["regular", "editable"])
def installed(request, tmp_path_factory):
    """Return a copy of the repository and a Python into which it was installed."""
    folder = tmp_path_factory.mktemp(request.param)
    repository = folder / "repository"
    for name in (*ROOMS, "scripts"):
        skip = shutil.ignore_patterns("*.pyc.*", "*.safetensors", "*.jsonl")
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
    pip += ["--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-compile"]
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


@pytest.mark.parametrize("installed", ["regular"], indirect=True)
def test_types_of_an_installed_savs_are_known(installed, tmp_path):
    (readme,) = blocks(ROOT / "README.md", "python")
    names = [f"{window}.{name}" for window in WINDOWS for name in import_module(window).__all__]
    right = tmp_path / "right.py"
    right.write_text("\n".join([readme, *(f"import {window}" for window in WINDOWS), *names]))
    wrong = tmp_path / "wrong.py"
    wrong.write_text("\n".join(["import savs", *WRONG]))
    (tmp_path / "pyrefly.toml").touch()  # else some errors alone are told
    checker = [Path(sys.executable).with_name("pyrefly"), "check", "--output-format", "json"]
    options = ("--python-interpreter-path", installed[1], "--min-severity", "error")
    done = subprocess.run(
        [*checker, *options, right, wrong],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)["errors"]
    lines = [(Path(one["path"]).name, one["line"]) for one in found]
    assert lines == [("wrong.py", number) for number in range(2, len(WRONG) + 2)], found
    for one, word in zip(found, WRONG.values(), strict=True):
        assert word in one["description"]


def test_dir_lists_the_public_names():
    savs.train  # noqa: B018 - its import binds `savs.pipeline`
    assert [name for name in dir(savs) if not name.startswith("__")] == [
        name for name in savs.__all__ if name != "__version__"
    ]
