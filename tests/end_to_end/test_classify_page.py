"""The commands and the Python of docs/classify.md, as they are written there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from savs.pipeline.classifying.bundle.bundle import BUNDLE, STANDALONE, predict_program

PAGE = (Path(__file__).parents[2] / "docs" / "classify.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def pets(savs, inputs, tmp_path, monkeypatch) -> None:
    """Put the files that the page names into the folder where commands run."""
    for number in range(5):
        for kind in ("cat", "dog"):
            inputs.image(f"photos/{kind}/{number}.png", 2 * number + (kind == "dog"))
    (inputs.root / "photos").rename(tmp_path / "photos")
    (tmp_path / "new").mkdir()
    for kind in ("cat", "dog"):
        shutil.copy(tmp_path / "photos" / kind / "0.png", tmp_path / "new" / f"{kind}.png")
    given = ("--test", "photos", "--shots", "4", "--question", "Which animal is this?")
    done = savs("extract", "image-folder", *given, "--model", "demo", "--out", "pets")
    assert done.returncode == 0, done.stderr
    assert savs("select", "pets").returncode == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.thorough
def test_the_commands_and_the_python(savs, pets) -> None:
    lines = [
        shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines()
    ]
    commands = [line for line in lines if line[0] == "savs"]
    assert [line[1] for line in commands] == ["classify", "sweep", "select", "classify", "export"]
    for line in commands:
        done = savs(*line[1:])
        assert done.returncode == 0, done.stderr
    for name in BUNDLE:
        assert (Path("pets-bundle") / name).exists()
        assert f"`{name}`" in PAGE
    names: dict[str, object] = {}
    for block in blocks("python"):
        if "map_batches" in block:  # of Ray, see tests/pipeline/extraction/cluster
            continue
        exec(compile(block, "docs/classify.md", "exec"), names)
    assert names["search"].best_score_ >= 0
    assert json.loads(Path("best/config.json").read_text())["tasks"][0]["examples"] == 10
    assert Path("store/store.json").exists()


def test_the_page_says_what_predict_py_is() -> None:
    lines = len(predict_program().splitlines())
    assert f"a program of {lines} lines" in PAGE
    assert ", ".join(f"`{name}`" for name in STANDALONE[:-1]) + f" and `{STANDALONE[-1]}`" in PAGE
