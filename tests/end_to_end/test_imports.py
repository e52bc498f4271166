import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import savs
from savs.foundation.imports import install_command
from savs.pipeline.cli.commands import COMMANDS
from stores import make_store

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
ROOMS = ("pipeline", "stores", "datasets", "foundation")
TORCH = ("torch", "torchvision", "transformers", "accelerate")
HEAVY = {*TORCH, "numpy", "polars", "h5py", "scipy", "sklearn", "PIL", "av"}
"""What takes tens of milliseconds to import, and more."""


def modules() -> list[str]:
    found = ["savs"]
    for room in ROOMS:
        package = importlib.import_module(f"savs.{room}")
        found.append(package.__name__)
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return found


@cache
def base_distributions() -> frozenset[str]:
    """Return what `pip install savs` brings: its `dependencies`, and what these require."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names, waiting = {"savs"}, [Requirement(line) for line in project["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate()):
            names.add(name)
            waiting += map(Requirement, metadata.requires(name) or [])
    return frozenset(names)


def base_install(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that can import only what `pip install savs` brings."""
    hidden = [
        module
        for module, distributions in metadata.packages_distributions().items()
        if not base_distributions() & {canonicalize_name(name) for name in distributions}
    ]
    assert {"torch", "transformers", "aiohttp", "fsspec", "s3fs", "pandas", "pytest"} <= {*hidden}
    assert not {"numpy", "h5py", "PIL", "sklearn", "typer", "savs"} & {*hidden}
    block = f"import sys; sys.modules.update(dict.fromkeys({hidden}))\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", block + code], capture_output=True, text=True, check=False
    )


def imported(code: str) -> set[str]:
    """Return the modules that a fresh process has imported after some code, which may exit."""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-c"),
            f"import atexit, sys\natexit.register(lambda: print('\\n', *sys.modules))\n{code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def running(*arguments: object) -> str:
    """Return code that runs a command."""
    given = ["savs", *map(str, arguments)]
    return f"from savs.pipeline.cli.main import main\nsys.argv = {given}\nmain()"


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("savs.")}


@pytest.fixture
def store(tmp_path) -> Path:
    features = np.random.default_rng(0).normal(size=(21, 4, 3)).astype(np.float32)
    make_store(tmp_path / "s", features, list("abab"), features, list("abab"))
    return tmp_path / "s"


def test_a_base_install_runs_all_of_stage_two(store, tmp_path):
    commands = [
        ("select", store),
        ("evaluate", store),
        ("show", store),
        ("verify", store),
        ("report", store, "--out", tmp_path / "report.html"),
        ("export", store, "--to", "parquet", "--out", tmp_path / "heads.parquet"),
    ]
    code = "from savs.pipeline.cli.main import main\n"
    for command in commands:
        code += f"sys.argv = {['savs', *map(str, command)]}\ntry: main()\n"
        code += f"except SystemExit as end: print('ended', {command[0]!r}, end.code or 0)\n"
    done = base_install(code)
    ended = [line for line in done.stdout.splitlines() if line.startswith("ended ")]
    assert ended == [f"ended {name} 0" for name, *_ in commands], done.stderr
    assert (tmp_path / "heads.parquet").exists()
    assert (tmp_path / "report.html").exists()


def test_extract_without_torch_says_how_to_install_it():
    done = base_install(
        "from savs import extract\n"
        "try: extract('general', train='t', test='t', model='demo', out='o')\n"
        "except ImportError as error: print(error)"
    )
    assert install_command("extract") in done.stdout, done.stderr


def test_the_list_of_commands_imports_none_of_them():
    names = imported(running("--help"))
    assert not names & HEAVY
    assert not any(name.startswith("savs.pipeline.cli.commands.") for name in names)
    assert len(ours(names)) <= 20


def test_help_imports_the_command_that_was_called_and_no_stage():
    names = imported(running("evaluate", "--help"))
    assert not names & HEAVY
    commands = {name for name in names if name.startswith("savs.pipeline.cli.commands.")}
    assert commands == {"savs.pipeline.cli.commands.evaluate"}
    assert len(ours(names)) <= 26


def test_the_options_of_every_command_need_no_stage():
    names = imported(
        "from savs.pipeline.cli.app import COMMANDS, import_command\n"
        "for name in COMMANDS: import_command(name)"
    )
    assert not names & HEAVY


def test_evaluate_imports_what_it_uses(store):
    names = imported(running("evaluate", store))
    assert "polars" in names
    assert not names & {*TORCH, "sklearn", "scipy.stats", "PIL", "av"}
    assert "savs.pipeline.targets.one" in names
    assert not {f"savs.pipeline.targets.{kind}" for kind in ("numbers", "many")} & names
    assert not any(re.match(r"savs\.pipeline\.(extraction|encoders|prompts)", n) for n in names)
    saved = imported(running("evaluate", store))  # with the selection that the first one left
    assert "h5py" not in saved


def test_doctests():
    failed, tried = [], 0
    for name in modules():
        module = importlib.import_module(name)
        if ">>> " not in Path(module.__file__).read_text("utf-8"):
            continue  # to find nothing takes as long
        found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
        failed += [name] * bool(found.failed)
        tried += found.attempted
    assert failed == []  # each is printed above
    assert tried > 100


@pytest.mark.parametrize("window", ["savs", "savs.stores", "savs.datasets"])
def test_a_window_imports_a_name_when_it_is_used(window):
    names = imported(f"import {window}")
    needed = {"savs", "savs.foundation", "savs.foundation.imports", window}
    assert {name for name in names if name.startswith("savs")} == needed
    assert not names & HEAVY
    package = importlib.import_module(window)
    assert package.__doc__
    assert package.__all__
    for name in package.__all__:
        shown = getattr(package, name)
        assert shown is not None
        assert shown.__doc__ or name == "__version__", name


def test_a_name_that_savs_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'savs' has no attribute 'predict'"):
        savs.predict  # noqa: B018


def test_savs_shows_the_functions_of_the_commands():
    shown = savs.__all__
    assert {name for name in COMMANDS if name.replace("-", "_") not in shown} == {
        *("demo", "models", "show", "doctor", "benchmarks"),  # they print, and return nothing
        "app",  # it serves until it is interrupted
        "import",  # no name in Python: import_features
    }


def test_no_module_of_the_pipeline_stands_outside_the_walls():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    torch_wall = next(c for c in contracts["contracts"] if "torch" in c["name"])
    modules = {
        f"savs.pipeline.{path.stem}"
        for path in (ROOT / "pipeline").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    stage_1 = {f"savs.pipeline.{name}" for name in ("prompts", "encoders", "extraction")}
    allowed = {*stage_1, "savs.pipeline.errors"}
    assert modules - allowed <= set(torch_wall["source_modules"])


def test_the_demo_draws_nothing_where_it_cannot_run(tmp_path):
    done = base_install(running("demo", "--out", tmp_path / "demo"))
    assert done.returncode == 1
    assert install_command("extract") in done.stderr
    assert not (tmp_path / "demo").exists()
