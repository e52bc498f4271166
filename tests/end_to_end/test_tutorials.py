"""The tutorials, and the code in docs/store.md and docs/clusters.md, run as they are written."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from doc_pages import ROOT, blocks, commands

from savs.stores import open_store

TUTORIALS = ROOT / "docs" / "tutorials"

pytestmark = pytest.mark.thorough


def follow(savs, codes: list[str], *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Run the commands of blocks of a page, and return what each printed."""
    printed = {}
    for code in codes:
        for words in commands(code):
            if words[0] not in without:
                done = savs(*words)
                assert done.returncode == 0, done.stderr
                printed[" ".join(words)] = done.stdout
    return printed


def run_python(page: Path, number: int) -> None:
    exec(compile(blocks(page, "python")[number], str(page), "exec"), {})


@pytest.fixture
def photos(savs) -> None:
    """Do steps 1 and 2 of the first tutorial: others use its files."""
    run_python(TUTORIALS / "photos.md", 0)
    follow(savs, blocks(TUTORIALS / "photos.md", "bash")[:1])


def accuracy(folder: str) -> float:
    return float(pl.read_parquet(Path(folder) / "predictions.parquet")["correct"].mean())


@pytest.mark.usefixtures("photos")
def test_photos(savs):
    assert len(Path("all.jsonl").read_text().splitlines()) == 120
    assert Path("page.html").exists()
    printed = follow(savs, blocks(TUTORIALS / "photos.md", "bash")[1:], without=("check-model",))
    assert accuracy("features/results/vote") > 0.8  # as the page says
    assert Path("report.html").exists()
    assert "zero-shot" in next(text for words, text in printed.items() if words[:7] == "compare")


@pytest.mark.usefixtures("photos")
def test_a_cluster(savs):
    (options,) = blocks(TUTORIALS / "cluster.md", "toml")
    Path("run.toml").write_text(options)
    calls = [words for code in blocks(TUTORIALS / "cluster.md", "bash") for words in commands(code)]
    assert calls[0] == ["extract", "--config", "run.toml", "--gpus", "cpu,cpu"]
    calls[0] = calls[0][:3]  # processes of --gpus are tested in tests/pipeline/extraction/cluster
    for words in calls:
        if words[0] != "extract" or words == calls[0]:
            done = savs(*words)
            assert done.returncode == 0, done.stderr
    assert len(list(Path("together").glob("*.h5"))) > 4  # something to share


@pytest.mark.usefixtures("photos")
def test_a_model(savs):
    (code,) = blocks(TUTORIALS / "model.md", "python")
    Path("blocks.py").write_text(code)
    printed = follow(savs, blocks(TUTORIALS / "model.md", "bash"))
    told = next(text for words, text in printed.items() if "--model-code" in words)
    assert "24 in 6 layers, 96 wide" in told
    assert accuracy("heads/results/vote") > accuracy("blocks/results/vote") + 0.2


def test_new_images(savs, capfd):
    run_python(TUTORIALS / "new-images.md", 0)
    follow(savs, blocks(TUTORIALS / "new-images.md", "bash"))
    assert pl.read_csv("new.csv").height == len([*Path("new").iterdir()]) == 12
    assert accuracy("pets/results/lda") > 0.8
    run_python(TUTORIALS / "new-images.md", 1)
    name, answer = capfd.readouterr().out.split()
    rows = pl.read_csv("new.csv").filter(pl.col("id") == name)
    assert rows["prediction"].to_list() == [answer]
    shutil.rmtree("pets-bundle")


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
