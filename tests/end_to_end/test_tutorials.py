"""README, the tutorials, and the code of other pages, run as they are written."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from doc_pages import ROOT, blocks, commands
from input_folder import Inputs
from sklearn.neighbors import KNeighborsClassifier

from savs.pipeline.classifying.bundle.bundle import BUNDLE, PREDICT, SPACE, STANDALONE
from savs.pipeline.classifying.classified_store import store_beside
from savs.pipeline.readouts import READOUTS
from savs.stores import open_store

README = ROOT / "README.md"
TUTORIALS = ROOT / "docs" / "tutorials"
FIRST, MEASURE = TUTORIALS / "first-classifier.md", TUTORIALS / "measure-and-compare.md"
GUIDE = ROOT / "docs" / "guide"
CLASSIFY, SHARE, PYTHON = (GUIDE / f"{name}.md" for name in ("classify", "share", "python"))
LABELS = GUIDE / "labels.md"
PROGRAMS = ROOT / "pipeline" / "classifying" / "bundle" / "files"

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


def run_python(page: Path, number: int, names: dict[str, object] | None = None) -> None:
    exec(compile(blocks(page, "python")[number], str(page), "exec"), {} if names is None else names)


@pytest.fixture
def own_images(inputs, tmp_path, monkeypatch):
    """Put the files that README and docs/guide name into the folder where commands run."""
    rows = [
        {
            "image": inputs.image(f"{kind}/{number:03}.png", 2 * number + (kind == "dog")),
            "question": "Is the animal in the picture asleep?",
            "label": ("asleep", "awake")[number % 2],
        }
        for number in range(24)
        for kind in ("cat", "dog")
    ]
    for name, part in (("all", rows), ("train", rows[:40]), ("test", rows[40:])):
        inputs.rows(f"{name}.jsonl", part).rename(tmp_path / f"{name}.jsonl")
    inputs.root.rename(tmp_path / "photos")
    (tmp_path / "new").mkdir()
    for kind in ("cat", "dog"):
        shutil.copy(tmp_path / "photos" / kind / "000.png", tmp_path / "new" / f"{kind}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def waiting(own_images) -> None:
    """Put two images that wait for a label next to the class folders."""
    for number, kind in enumerate(("cat", "dog")):
        Inputs(Path("photos")).image(f"unlabelled/{kind}.png", 900 + number)


@pytest.mark.usefixtures("waiting")
def test_the_commands_and_the_python_of_the_readme(savs):
    calls = [words for code in blocks(README, "bash") for words in commands(code)]
    assert [words[0] for words in calls] == [
        *("train", "classify", "report"),
        *("ask", "evaluate", "compare", "explain", "suggest", "export"),
        *("extract", "select", "evaluate"),
    ]
    Path("new/cat.png").rename("new/06.jpg")
    for words in calls:
        done = savs(*words)
        assert done.returncode == 0, done.stderr
    new = pl.read_csv("new.csv")
    assert new["id"].to_list() == ["new/06.jpg", "new/dog.png"]
    assert set(new["prediction"]) <= {"cat", "dog"}
    assert Path("report.html").exists()
    names: dict[str, Any] = {}
    run_python(README, 0, names)  # on what the commands made
    assert names["surfaces"].classes_.tolist() == ["cat", "dog"]
    for script in re.findall(r"\./(scripts/\w+)", README.read_text("utf-8")):
        assert (ROOT / script).stat().st_mode & 0o111, f"{script} cannot be run"


@pytest.mark.usefixtures("waiting")
def test_the_page_about_labels(savs):
    """The loop of labels as it is written, on a folder of photos; the second half on a table."""
    options = ("--train", "train.jsonl", "--test", "test.jsonl", "--media-root", "photos")
    done = savs("extract", "general", *options, "--model", "demo", "--out", "features")
    assert done.returncode == 0, done.stderr
    for path in (Path("train.jsonl"), Path("test.jsonl")):  # rows without a question, as it says
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        plain = [{"image": f"photos/{row['image']}", "label": row["label"]} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in plain))
    called = []
    for words in [words for code in blocks(LABELS, "bash") for words in commands(code)]:
        if words[0] == "label" and words[2] == "next.csv":
            table = pl.read_csv("next.csv")
            kinds = table["id"].str.extract(r"/(\w+)\.png")
            table.with_columns(label=kinds).write_csv("next.csv")
        done = savs(*words)
        assert done.returncode == 0, done.stderr
        called.append(words[0])
    assert called == [
        *("select", "train", "suggest", "label", "train", "extract", "sweep"),
    ]
    assert len(open_store("pets").ids("train")) == 50
    assert open_store("pets").ids("unlabelled") == ()


@pytest.mark.costly
@pytest.mark.usefixtures("own_images")
def test_the_page_about_new_images(savs):
    given = ("--test", "photos", "--shots", "5", "--question", "Which animal is this?")
    done = savs("extract", "image-folder", *given, "--model", "demo", "--out", "pets")
    assert done.returncode == 0, done.stderr
    assert savs("select", "pets").returncode == 0
    printed = follow(savs, [*blocks(CLASSIFY, "bash"), *blocks(SHARE, "bash")])
    called = [words.split()[0] for words in printed]
    classified = ["classify"] * 3
    assert called == [*classified, "sweep", "select", "classify", "export", "export"]
    assert "data:image/jpeg" in Path("new.html").read_text("utf-8")
    assert len(list(Path("sorted").glob("*/*.png"))) == len(list(Path("new").iterdir()))
    page = SHARE.read_text("utf-8")
    for name in BUNDLE:
        assert (Path("pets-bundle") / name).exists()
        assert f"`{name}`" in page
    for name in SPACE:
        assert (Path("pets-space") / name).exists()
    for name in ("new.csv", "new.html"):  # the next page makes them by another classifier
        Path(name).unlink()
        shutil.rmtree(store_beside(Path(name)), ignore_errors=True)
    names: dict[str, object] = {}
    for number in range(len(blocks(PYTHON, "python"))):
        run_python(PYTHON, number, names)
    assert names["search"].best_score_ >= 0
    assert json.loads(Path("best/config.json").read_text())["tasks"][0]["examples"] == 48
    assert Path("store/store.json").exists()


def test_the_page_about_sharing_knows_the_program_and_what_it_leaves_out() -> None:
    page, program = SHARE.read_text("utf-8"), (PROGRAMS / PREDICT).read_text("utf-8")
    assert f"a program of {len(program.splitlines())} lines" in page
    left_out = " and ".join(f"`{name}`" for name in READOUTS if name not in STANDALONE)
    assert f"the readouts {left_out}, and those of class names" in page


def test_the_page_about_images_next_to_table_columns(monkeypatch) -> None:
    names: dict[str, Any] = {}
    run_python(TUTORIALS / "table.md", 0, names)
    assert names["search"].best_score_ > 0.75
    assert names["search"].predict(names["table"][:3]).tolist() == [0, 0, 0]
    module = ModuleType("tabicl")
    monkeypatch.setattr(module, "TabICLClassifier", KNeighborsClassifier, raising=False)
    monkeypatch.setitem(sys.modules, "tabicl", module)
    run_python(TUTORIALS / "table.md", 1, names)
    steps = names["pretrained"]
    assert isinstance(steps[-1], KNeighborsClassifier)
    assert steps[-1].n_features_in_ == 16 + len(names["numbers"])
    assert steps.score(names["table"], names["wine"].target) > 0.6


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos(tmp_path, monkeypatch) -> None:
    """Do step 1 of the first tutorial: others use its files."""
    monkeypatch.chdir(tmp_path)
    run_python(MEASURE, 0)


def accuracy(folder: str) -> float:
    return float(pl.read_parquet(Path(folder) / "predictions.parquet")["correct"].mean())


@pytest.mark.costly
@pytest.mark.usefixtures("photos")
def test_photos(savs):
    assert len(Path("all.jsonl").read_text().splitlines()) == 120
    printed = follow(savs, blocks(MEASURE, "bash"), without=("models",))
    assert Path("inputs.html").exists()
    assert accuracy("features/results/vote") > 0.8  # as the page says
    assert Path("report.html").exists()
    compared = next(text for words, text in printed.items() if words[:7] == "compare")
    assert "own answers (answers)" in compared


@pytest.mark.usefixtures("photos")
def test_a_cluster(savs):
    page = GUIDE / "clusters.md"
    (options,) = blocks(page, "toml")
    assert "workers=7" in options  # processes that import torch each
    Path("run.toml").write_text(options.replace("workers=7", "workers=0"))
    (code,) = [code for code in blocks(page, "bash") if "savs verify together" in code]
    first, *calls = commands(code)
    assert first == ["extract", "--config", "run.toml", "--gpus", "cpu,cpu"]
    for words in (first[:3], *calls):  # processes of --gpus are tested in tests/pipeline/cluster
        done = savs(*words)
        assert done.returncode == 0, done.stderr
    assert len(list(Path("together").glob("*.h5"))) > 4  # something to share


@pytest.mark.costly
@pytest.mark.usefixtures("photos")
def test_a_model(savs):
    page = GUIDE / "add-a-model.md"
    Path("blocks.py").write_text(blocks(page, "python")[0])
    printed = follow(savs, blocks(page, "bash"))
    told = next(text for words, text in printed.items() if "--recipe" in words)
    assert "24 in 6 layers, 96 wide" in told
    assert accuracy("heads/results/vote") > accuracy("blocks/results/vote") + 0.2


@pytest.mark.usefixtures("in_a_folder")
def test_the_first_classifier(savs, capfd):
    run_python(FIRST, 0)
    printed = follow(savs, blocks(FIRST, "bash"))
    (told,) = blocks(FIRST, "text")[1:]
    assert next(text for words, text in printed.items() if words.startswith("train")) == told
    assert pl.read_csv("new.csv").height == len([*Path("new").iterdir()]) == 12
    assert Path("why.html").exists()
    run_python(FIRST, 1)
    name, answer = capfd.readouterr().out.split()
    rows = pl.read_csv("new.csv").filter(pl.col("id") == name)
    assert rows["prediction"].to_list() == [answer]
    shutil.rmtree("pets-bundle")


@pytest.mark.usefixtures("in_a_folder")
def test_a_probe_of_texts(savs):
    page = GUIDE / "yes-no.md"
    run_python(page, 0)
    (code,) = [code for code in blocks(page, "bash") if "--train train.jsonl" in code]
    printed = follow(savs, [code])
    assert "94.4 (68.1 .. 99.3)" in next(t for w, t in printed.items() if w.startswith("select"))
    answers = blocks(page, "text")[1].splitlines()
    found = next(text for words, text in printed.items() if words.startswith("query"))
    assert [line.split()[:6] for line in answers] == [
        line.split()[:6] for line in found.splitlines()
    ]


OWN = GUIDE / "own-features.md"


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """Return the store that the page's first Python block writes."""
    monkeypatch.chdir(tmp_path)
    run_python(OWN, 0)
    return tmp_path / "own"


def test_the_python_makes_a_store(own):
    store = open_store(own)
    assert store.facts["planned"] == {"train": 2, "test": 1}
    assert store.facts["sealed"]
    assert store.examples("train")["label"].to_list() == ["hot", "cold"]
    expected = np.random.default_rng(2).standard_normal((3, 2, 8), np.float32)
    np.testing.assert_array_equal(store.features("train"), expected[:2].swapaxes(0, 1))


def test_the_commands_that_the_page_names_work_on_its_files(savs, own):
    own.rename("first")
    for words in (*commands(blocks(OWN, "bash")[0]), ["verify", "own"]):
        done = savs(*words, "--json")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problems"] == []


def test_the_page_names_what_a_store_holds():
    from savs.stores.format.layout import EXAMPLE_COLUMNS, SHARD_ATTRIBUTES

    page = (ROOT / "docs" / "reference" / "store-format.md").read_text("utf-8")
    for name in ("answers", *SHARD_ATTRIBUTES, *EXAMPLE_COLUMNS):
        assert f"`{name}`" in page, name
    assert (ROOT / "tests/data/format-1/store.json").exists()


def test_the_job_of_kubernetes_is_yaml_with_its_volumes():
    (text,) = blocks(GUIDE / "clusters.md", "yaml")
    job = yaml.safe_load(text)
    assert (job["kind"], job["spec"]["completions"]) == ("Job", 8)
    pod = job["spec"]["template"]["spec"]
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
