import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from stores import make_store

ROOT = Path(__file__).parents[2]
ROOMS = ("pipeline", "stores", "datasets", "foundation")
HEAVY = ("torch", "torchvision", "transformers", "accelerate")


def modules() -> list[str]:
    found = []
    for room in ROOMS:
        package = importlib.import_module(f"savs.{room}")
        found.append(package.__name__)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return found


def without_torch(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process in which torch and its kin cannot be imported."""
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", block + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["select", "evaluate", "show"])
def test_stage_two_runs_where_torch_is_not_installed(tmp_path, command):
    features = np.random.default_rng(0).normal(size=(21, 4, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    done = without_torch(
        f"sys.argv = ['savs', {command!r}, {str(tmp_path / 's')!r}]\n"
        "from savs.pipeline.cli.app import main\nmain()"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_extract_without_torch_says_how_to_install_it():
    done = without_torch(
        "from savs.pipeline import extract\n"
        "try: extract('general', train='t', test='t', model='demo', out='o')\n"
        "except ImportError as error: print(error)"
    )
    assert "pip install 'savs[extract]'" in done.stdout, done.stderr


def test_stage_two_imports_neither_torch_nor_what_is_slow():
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c"),
            "import sys, savs.pipeline.cli.app, savs.pipeline.evaluation.evaluation\n"
            "print([m for m in sys.modules if m in "
            f"{(*HEAVY, 'scipy.stats', 'sklearn', 'PIL.Image')}])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in ("[]", "['PIL.Image']")


@pytest.mark.parametrize("name", modules())
def test_doctests(name):
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {
        "savs." + ".".join(path.parent.relative_to(ROOT).parts)
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == there


@pytest.mark.parametrize("room", ["pipeline", "stores", "datasets"])
def test_all_names_that_a_window_shows_are_there(room):
    package = importlib.import_module(f"savs.{room}")
    for name in package.__all__:
        assert getattr(package, name) is not None


@pytest.mark.parametrize(
    "path",
    [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_have_a_docstring(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_module_of_the_pipeline_stands_outside_the_walls():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    torch_wall = next(c for c in contracts["contracts"] if "torch" in c["name"])
    modules = {
        f"savs.pipeline.{path.stem}"
        for path in (ROOT / "pipeline").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    allowed = {"savs.pipeline.extraction", "savs.pipeline.errors"}
    assert modules - allowed <= set(torch_wall["source_modules"])
