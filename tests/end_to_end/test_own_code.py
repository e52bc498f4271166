"""Functions of the user fail with one line that names file and function, and print no data."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs as api
from savs.pipeline.errors import OwnCodeError
from stores import make_store

READOUT = """
from dataclasses import dataclass

import numpy as np

from savs.pipeline.heads.centroids import class_centroids, nearest_centroids
from savs.pipeline.heads.head_scores import HeadScores
from savs.pipeline.readouts import ClassScores, Readout


@dataclass(frozen=True)
class Mine:
    centroids: np.ndarray

    def scores(self, features):
        found = nearest_centroids(features, self.centroids)
        total = (found[:, :, None] == np.arange(self.centroids.shape[1])).sum(0).astype("f4")
        choice = total.argmax(axis=1)
        SCORES
        return ClassScores(total, choice, total)


def fit(features, labels, classes, widths):
    means = class_centroids(features, labels, len(classes))
    FIT
    return Mine(means)


def score_heads(features, labels, classes, widths, scoring):
    right = np.zeros(len(features))
    HEADS
    return HeadScores(right, right)


READOUT = Readout(
    name="mine", summary="", fit=fit, load=Mine, score_heads=score_heads,
    arrays={"centroids": ("heads", "classes", "width")},
)
"""
FAULTS = {
    "leaves with 0": ("FIT", "raise SystemExit(0)", "fit .*raises SystemExit: 0"),
    "fails": ("FIT", "1 / 0", "fit .*raises ZeroDivisionError: division by zero"),
    "has no memory": ("FIT", "raise MemoryError", "fit .*raises MemoryError"),
    "fits nothing": ("FIT", "return None", "fit .*raises AttributeError"),
    "fits text": ("FIT", "means = 'all'", "fit .*gives centroids as values of <U3, expected numb"),
    "fits other shapes": ("FIT", "means = means[:, :1]", r"\(2, 1, 3\), expected \(2, 2, 3\)"),
    "fits NaN": ("FIT", "means = means * np.nan", "gives centroids with NaN or infinity"),
    "fits halves": ("FIT", "means = means.astype('f2')", "of float16, expected float32"),
    "chooses -1": ("SCORES", "choice = choice - 1", "class number -1, expected 0 to 1"),
    "chooses 2 of 2": ("SCORES", "choice = choice * 0 + 2", "class number 2, expected 0 to 1"),
    "chooses 1000": ("SCORES", "choice = choice + 1000", "class number 100[01], expected 0 to 1"),
    "chooses floats": (
        "SCORES",
        "choice = choice / 2",
        "choice of float64, expected whole numbers",
    ),
    "chooses too few": ("SCORES", "choice = choice[1:]", r"choice of shape \(\d+,\), expected"),
    "scores nothing": ("SCORES", "return None", "scores .*gives a NoneType, expected ClassScores"),
    "scores one class": (
        "SCORES",
        "total = total[:, :1]",
        r"gives scores of shape \(\d+, 1\), exp",
    ),
    "scores infinity": (
        "SCORES",
        "total = total / 0 * np.inf",
        "gives scores with NaN or infinity",
    ),
    "scores text": ("SCORES", "total = total.astype(str)", "gives scores as values of <U"),
    "leaves later": ("SCORES", "raise SystemExit(3)", "scores .*raises SystemExit: 3"),
    "no head scores": ("HEADS", "return None", "score_heads .*gives a NoneType, expected HeadScor"),
    "too few heads": (
        "HEADS",
        "right = right[1:]",
        r"gives score of shape \(1,\), expected \(2,\)",
    ),
    "heads of NaN": ("HEADS", "right = right * np.nan", "gives score with NaN or infinity"),
    "sets of one part": (
        "HEADS",
        "return HeadScores(right, right, sets=(HeadScores(right, right),))",
        "gives 1 sets of scores, and `parts` is 1",
    ),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    train, test = (rng.normal(size=(2, 12, 3)).astype(np.float32) for _ in range(2))
    return make_store(
        tmp_path_factory.mktemp("own") / "s", train, ["a", "b"] * 6, test, ["a", "b"] * 6
    )


def write(folder: Path, place: str = "", code: str = "") -> Path:
    text = READOUT if not place else READOUT.replace(place, code)
    path = folder / "mine.py"
    path.write_text(re.sub(r"^ *(FIT|SCORES|HEADS)\n", "", text, flags=re.MULTILINE))
    return path


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_readout_that_fails_is_one_line_with_file_and_function(store, tmp_path, fault) -> None:
    place, code, message = FAULTS[fault]
    mine = write(tmp_path, place, code)
    with pytest.raises(OwnCodeError) as refused:
        api.evaluate(store, api.select(store, heads=2, readout=mine))
    assert re.search(message, str(refused.value)), refused.value
    function = {"FIT": "fit", "SCORES": "scores", "HEADS": "score_heads"}[place]
    line = (
        f"{re.escape(str(mine))}( line \\d+)?: {function} of the readout 'mine' .*; fix the readout"
    )
    assert re.fullmatch(line, str(refused.value)), refused.value


def test_a_loaded_readout_is_guarded_too(store, tmp_path) -> None:
    plain = api.select(store, heads=2, readout=write(tmp_path))
    folder = api.save_selection(plain, tmp_path / "saved")
    loaded = api.load_selection(folder, readout=tmp_path / "mine.py")
    predicted = [api.evaluate(store, one).predictions for one in (plain, loaded)]
    assert predicted[0].equals(predicted[1])
    features = np.zeros((2, 4, 3), np.float32)
    object.__setattr__(loaded.tasks[0].fitted.fitted, "centroids", np.zeros((2, 3, 3), "f4"))
    with pytest.raises(OwnCodeError, match=r"gives scores of shape \(4, 3\), expected \(4, 2\)"):
        loaded.tasks[0].fitted.scores(features)


def test_what_a_readout_prints_is_no_data(store, tmp_path, savs) -> None:
    mine = write(tmp_path, "FIT", "print('fitting ...')")
    mine.write_text("print('loading ...')\n" + mine.read_text())
    done = savs("select", store.path, "--readout", mine, "--out", tmp_path / "r", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "loading ...\n" in done.stderr
    assert "fitting ...\n" in done.stderr
    leaves = write(tmp_path, "FIT", "raise SystemExit(0)")
    done = savs("select", store.path, "--readout", leaves, "--out", tmp_path / "x")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_prompts_of_ones_own_that_fail_stop_a_run(tmp_path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (56, 56), name).save(tmp_path / "photos" / name / "a.png")
    (tmp_path / "mine.py").write_text("def to_inputs(processor, prompts):\n    exit(0)\n")
    with pytest.raises(OwnCodeError, match=r"mine.py line 2: to_inputs raises SystemExit: 0; fix"):
        api.extract(
            "image-folder",
            train=tmp_path / "photos",
            model="demo",
            model_code=tmp_path / "mine.py",
            out=tmp_path / "store",
        )
    assert not (tmp_path / "store" / "store.json").exists()
