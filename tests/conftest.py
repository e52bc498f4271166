"""Fixtures that several rooms share; what is slow to make is made once a session."""

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser_required, find_browser, started_browser
from hypothesis import HealthCheck, settings
from input_folder import Inputs

from savs.datasets.benchmarks.shapes import ShapesFiles, write_shapes

gc.disable()  # until all is imported: else it takes two fifths of the time until the first test
os.environ["HF_HUB_OFFLINE"] = "1"
settings.register_profile(
    "any machine", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", settings.get_profile("any machine"), max_examples=1000)
settings.register_profile("few", settings.get_profile("any machine"), max_examples=20)
settings.load_profile("any machine")  # `just fuzz` takes "deep", `just check` "few"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how many cases of a test run, for `just check`, and the writing of kept texts."""
    parser.addoption("--cases", type=int, help="run the first N cases of each test alone")
    parser.addoption("--keep-outputs", action="store_true", help="write tests/data/outputs anew")


def pytest_configure(config: pytest.Config) -> None:
    """Draw few examples where few cases are run."""
    if config.getoption("cases") is not None:
        settings.load_profile("few")


@pytest.hookimpl(trylast=True)  # after the markers: a case that they leave out is none of the N
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out later cases, and what needs a browser if there is none, unless one is required."""
    most, seen = config.getoption("cases"), Counter[str]()
    has_browser = find_browser() is not None or browser_required()
    kept, gone = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        is_among = most is None or seen[test] <= most
        is_run = is_among and (has_browser or item.get_closest_marker("browser") is None)
        (kept if is_run else gone).append(item)
    config.hook.pytest_deselected(items=gone)
    items[:] = kept


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but not in what was imported."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say so."""
    if find_browser() is None and not browser_required():
        terminalreporter.write_line(
            "tests marked `browser` were left out: no chromium or google-chrome is on the PATH"
        )


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser that all tests share."""
    with started_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny random checkpoint of a family; without torch there is none.

    The processes of a run build each once, in a folder that they share.
    """
    pytest.importorskip("torch")
    from filelock import FileLock
    from tiny_models import build

    base = tmp_path_factory.getbasetemp()
    models = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    models.mkdir(exist_ok=True)

    def get(family: str) -> Path:
        folder = models / family
        if not folder.exists():
            with FileLock(models / f"{family}.lock"):
                if not folder.exists():
                    build(family, models / f"{family}.unfinished").rename(folder)
        return folder

    return get


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> ShapesFiles:
    """Return a small drawn benchmark of two subtasks."""
    return write_shapes(
        tmp_path_factory.mktemp("scenes"),
        seed=7,
        tasks=("exists", "animal"),
        train_per_class=5,
        test_units=10,
    )


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Wait for no disk: tests write thousands of stores, and power is cut in `test_power_loss`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # it refuses a closed descriptor, too
        yield


@pytest.fixture(scope="session", autouse=True)
def ways_found_once() -> Iterator[None]:
    """Try ways to run a checkpoint once a process; tests of stage 1 try them each time."""
    with pytest.MonkeyPatch.context() as patch:
        if "torch" in sys.modules:  # else it would be imported for tests without a model
            from settled_ways import preflight_once

            patch.setattr("savs.pipeline.extraction.model_run.preflight", preflight_once)
        yield


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Return an empty input folder."""
    root = tmp_path / "inputs"
    root.mkdir()
    return Inputs(root)


@pytest.fixture
def queries_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run queries in this process: one for each takes a second."""
    name = "savs.pipeline.evaluation.query.frame_within_limits"
    monkeypatch.setattr(name, lambda make, *arguments: make(*arguments))


@dataclass(frozen=True, slots=True)
class Ran:
    """What one call of the command left."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def savs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    queries_here: None,
) -> Iterator[Callable[..., Ran]]:
    """Run the `savs` command in an empty folder, in this process: starting one takes seconds.

    What only a process of its own can show is tested in `test_interrupt.py`, `test_imports.py`, and
    of queries in `test_query_command.py`.
    """
    from savs.pipeline.cli.app import main

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def run(*args: Any, env: dict[str, str] | None = None) -> Ran:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["savs", *map(str, args)])
            for name, value in ({"NO_COLOR": "1", "COLUMNS": "200"} | (env or {})).items():
                patch.setenv(name, value)
            capfd.readouterr()
            with pytest.raises(SystemExit) as stopped:
                main()
        code = stopped.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
