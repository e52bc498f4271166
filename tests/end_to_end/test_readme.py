"""The README's commands and code, as they are written there, on the shipped model."""

import re
import shlex
import shutil
from pathlib import Path

import polars as pl
import pytest
from official_files import write_blink

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def own_images(inputs, tmp_path, monkeypatch):
    """Put the files that the README names into the folder where commands run."""
    photos = [(kind, number) for number in range(24) for kind in ("cat", "dog")]
    rows = [
        {
            "image": inputs.image(f"{kind}/{number:03}.png", 2 * number + (kind == "dog")),
            "question": "Is the animal in the picture asleep?",
            "label": ("asleep", "awake")[number % 2],
        }
        for kind, number in photos
    ]
    for name, part in (("all", rows), ("train", rows[:40]), ("test", rows[40:])):
        inputs.rows(f"{name}.jsonl", part).rename(tmp_path / f"{name}.jsonl")
    inputs.root.rename(tmp_path / "photos")
    (tmp_path / "new").mkdir()
    for kind in ("cat", "dog"):
        shutil.copy(tmp_path / "photos" / kind / "000.png", tmp_path / "new" / f"{kind}.png")
    monkeypatch.chdir(tmp_path)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.thorough
def test_the_commands(savs, own_images, monkeypatch):
    lines = [
        shlex.split(line, comments=True)
        for block in blocks("bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("savs ")
    ]
    assert [line[1] for line in lines] == [
        *("split", "preview", "extract", "select", "evaluate", "show"),
        *("select", "evaluate", "evaluate", "show", "evaluate", "sweep", "evaluate", "sweep"),
        *("compare", "report", "explain", "select"),
        *("query", "verify", "slim", "export", "extract"),
        *("extract", "select", "classify", "export"),
        *("select", "suggest"),
        *("extract", "extract"),
    ]
    write_blink(Path("BLINK"), rows_each=90)
    for name in ("train.jsonl", "test.jsonl"):  # split writes them
        Path(name).unlink()
    swaps = {"Qwen/Qwen2-VL-7B-Instruct": "demo"}
    for line in lines:
        if line[2] == "other":
            shutil.copytree("features", "other")
        swapped = [swaps.get(a, a.replace("hf://BLINK-Benchmark/", "")) for a in line]
        done = savs(*swapped[1:])
        assert done.returncode == 0, done.stderr
    new = pl.read_csv("new.csv")
    assert new["id"].to_list() == ["new/cat.png", "new/dog.png"]
    assert set(new["prediction"]) <= {"cat", "dog"}
    assert Path("pets-bundle/predict.py").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    code = blocks("python")[0]
    exec(compile(code, "README.md", "exec"), {})  # on what the commands made
    assert len(list(Path("cache/savs/features").iterdir())) == 1


@pytest.mark.thorough
def test_the_python(own_images):
    code = blocks("python")[1]
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].predictions.height == 8


def test_the_scripts_and_pages_are_there():
    for name in re.findall(r"\./(scripts/\w+)", README):
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} cannot be run"
    for name in re.findall(r"\]\(([\w/-]+\.md)\)", README):
        assert (ROOT / name).exists()
