"""The code in docs/store.md and docs/clusters.md, as it is written there."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from savs.stores import open_store

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "store.md").read_text("utf-8")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """Return the store that the page's Python block writes."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/store.md", "exec"), {})
    return tmp_path / "own"


def test_the_python_makes_a_store(own):
    store = open_store(own)
    assert store.facts["planned"] == {"train": 2, "test": 1}
    assert store.facts["sealed"]
    assert store.examples("train")["label"].to_list() == ["hot", "cold"]
    expected = np.random.default_rng(2).standard_normal((3, 2, 8), np.float32)
    np.testing.assert_array_equal(store.features("train"), expected[:2].swapaxes(0, 1))


def test_the_commands_that_the_page_names_work_on_its_files(savs, own):
    commands = [
        line
        for line in PAGE.splitlines()
        if line.startswith(("savs import", "savs select o", "savs evaluate o"))
    ]
    own.rename("first")
    for command in (*commands, "savs verify own"):
        assert command in PAGE
        done = savs(*command.split()[1:], "--json")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problems"] == []


def test_the_page_names_what_a_store_holds():
    from savs.stores.format.layout import EXAMPLE_COLUMNS, SHARD_ATTRIBUTES

    for name in ("answers", *SHARD_ATTRIBUTES, *EXAMPLE_COLUMNS):
        assert f"`{name}`" in PAGE, name
    assert (ROOT / "tests/data/format-1/store.json").exists()


def test_the_job_of_kubernetes_is_yaml_with_its_volumes():
    page = (ROOT / "docs" / "clusters.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    job = yaml.safe_load(text)
    assert (job["kind"], job["spec"]["completions"]) == ("Job", 8)
    pod = job["spec"]["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
