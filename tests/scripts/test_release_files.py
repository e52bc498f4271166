"""Files of a release that no other test runs: the workflows, the Dockerfile and its constraints."""

import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import write_constraints
import yaml
from packaging.requirements import Requirement

from savs.foundation.imports import IS_ON_INDEX

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REPOSITORY = PROJECT["urls"].get("Repository")
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


def test_actions_are_pinned_to_commits():
    used = [step["uses"] for path in WORKFLOWS for step in steps(path) if "uses" in step]
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", one)] == []


def test_every_file_of_a_package_is_in_the_wheel_or_left_out_by_name():
    """`savs sweep` would draw no figure where the wheel lacks its template."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = tools["package-dir"]

    def files(globs: dict[str, list[str]]) -> set[Path]:
        found = set()
        for package, patterns in globs.items():
            room = next(name for name in sorted(folders, reverse=True) if package.startswith(name))
            inner = package.removeprefix(room).strip(".").replace(".", "/")
            found |= {one for glob in patterns for one in (ROOT / folders[room] / inner).glob(glob)}
        return found

    shipped, left_out = files(tools["package-data"]), files(tools["exclude-package-data"])
    there = {
        path
        for folder in folders.values()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert there - shipped - left_out == set()
    assert left_out < shipped  # else the names of those left out lead nowhere


def test_a_tag_of_another_version_is_refused(tmp_path):
    """By a copy of the script: it would build where it lies."""
    build = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["build"]
    (step,) = [step for step in build["steps"] if step.get("run") == "scripts/package"]
    assert step["env"] == {"TAG": "${{ github.ref_name }}"}
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/package", tmp_path / "scripts/package")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = subprocess.run(
        [tmp_path / "scripts/package"],
        env=os.environ | {"TAG": "v0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"error: the tag is v0.0.1, but pyproject.toml has version {PROJECT['version']}" in (
        done.stderr
    )


def test_the_version_is_written_in_one_place_and_the_others_agree():
    written = PROJECT["version"]
    assert f"\nversion: {written}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1].rstrip(",") == written


def test_a_release_is_published_without_a_token():
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    publish = workflow["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["needs"] == "build"
    assert not any("with" in s and "password" in s["with"] for s in publish["steps"])


def test_constraints_fit_what_is_asked_for_and_leave_torch_open():
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *(x for e in write_constraints.EXTRAS for x in extras[e])]
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


@pytest.mark.parametrize("repository", [None, "https://host.example/savs"])
def test_no_link_of_the_page_on_an_index_is_relative(repository):
    index_page = runpy.run_path(str(ROOT / "setup.py"))["index_page"]
    readme = (ROOT / "README.md").read_text("utf-8")
    page = index_page(readme, repository, "1.2.3")
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    assert all(link.startswith(("https://", "#")) for link in links)
    named = set(re.findall(r"\]\(((?!https://|#)[^)\s]+)\)", readme))
    assert len(named) > 20
    for target in named:  # nothing that a link led to is lost
        assert (target if repository is None else f"{repository}/blob/v1.2.3/{target}") in page
    assert re.findall(r"^```.*?^```$", page, re.DOTALL | re.MULTILINE) == re.findall(
        r"^```.*?^```$", readme, re.DOTALL | re.MULTILINE
    )


def test_a_published_project_has_one_address():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited.get("repository-code") == REPOSITORY
    assert not IS_ON_INDEX or REPOSITORY is not None, "[project.urls] needs a Repository"


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_pages_install_from_an_index_only_if_one_has_it(name):
    page = (ROOT / name).read_text("utf-8")
    assert ("pip install 'savs[extract]'" in page) == IS_ON_INDEX
    assert ("No package index has `savs` yet" in page) == (not IS_ON_INDEX and "index" in name)
    assert ("pip install 'WHEEL[extract]'" in page) == (not IS_ON_INDEX)
