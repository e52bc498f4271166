"""Files of a release that no other test runs: the workflows, the Dockerfile and its constraints."""

import re
import tomllib
from pathlib import Path

import pytest
import write_constraints
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = [
    Requirement(x) for x in (ROOT / "constraints.txt").read_text().splitlines() if x[0] != "#"
]


def steps(path: Path) -> list[dict]:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_job_calls_a_script_that_is_here(path):
    commands = [step["run"] for step in steps(path) if "run" in step]
    assert commands
    for command in commands:
        script = ROOT / command.removeprefix("python ")
        assert script.is_file(), command
        assert command.startswith("python ") or script.stat().st_mode & 0o100, command


def test_a_release_is_published_without_a_token():
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not any("with" in s and "password" in s["with"] for s in publish["steps"])


def test_constraints_fit_what_is_asked_for_and_leave_torch_open():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(x for e in write_constraints.EXTRAS for x in extras[e])]
    pinned = {write_constraints.canonicalize_name(one.name): one for one in PINNED}
    assert not any(write_constraints.OF_TORCH.fullmatch(name) for name in pinned)
    for need in map(Requirement, asked):
        name = write_constraints.canonicalize_name(need.name)
        if not write_constraints.OF_TORCH.fullmatch(name):
            (version,) = (one.version for one in pinned[name].specifier)
            assert need.specifier.contains(version), name


def test_the_image_is_made_of_files_that_are_here():
    text = (ROOT / "Dockerfile").read_text()
    assert "was not built" in text
    named = re.search(r"--constraint (\S+) '\.\[([a-z0-9,]+)\]'", text)
    assert named is not None
    assert (ROOT / named[1]).is_file()
    assert tuple(named[2].split(",")) == write_constraints.EXTRAS
