"""`savs classify` on the command line: tables, files, exit codes."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from savs import extract, save_selection, select
from savs.datasets.benchmarks.shapes import write_shapes

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Return a folder with `classifier` and the images `new/*.jpg`."""
    folder = tmp_path_factory.mktemp("classify")
    scenes = write_shapes(
        folder / "scenes", seed=7, tasks=("animal",), train_per_class=5, test_units=6
    )
    done = extract(
        *("shapes",), train=scenes.train, test=scenes.test, model="demo", out=folder / "store"
    )
    save_selection(select(done.store, heads=4), folder / "classifier")
    (folder / "new").mkdir()
    for place, path in enumerate(sorted((scenes.root / "images" / "test").iterdir())):
        shutil.copy(path, folder / "new" / f"{place}.jpg")
    return folder


def test_without_an_output_a_table_is_printed(savs, photos) -> None:
    done = savs("classify", photos / "classifier", photos / "new")
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split("  ")[0].strip() == "id"
    assert [Path(row.split()[0]).name for row in rows] == [f"{n}.jpg" for n in range(6)]


def test_new_images_are_added_by_the_same_command(savs, photos, tmp_path) -> None:
    given = ("classify", photos / "classifier", "--out", "new.csv", "--json")
    first = savs(*given, photos / "new" / "0.jpg")
    assert json.loads(first.stdout)["rows"] == 1
    second = savs(*given, photos / "new")
    assert json.loads(second.stdout)["rows"] == 5
    rows = pl.read_csv(tmp_path / "new.csv").to_dicts()
    assert [Path(row["media"]).name for row in rows] == [f"{n}.jpg" for n in range(6)]
    for row in rows:
        votes = json.loads(row["votes"])
        assert max(votes.values()) == votes[row["prediction"]]
    third = savs(*given, photos / "new")
    assert json.loads(third.stdout)["rows"] == 0
    assert "the model is not loaded" in third.stderr


def test_commands_work_on_the_store_of_new_images(savs, photos, tmp_path) -> None:
    savs("classify", photos / "classifier", photos / "new", "--out", "new.csv")
    shown = savs("show", "new.csv.store")
    assert shown.returncode == 0, shown.stderr
    assert "4 in " in shown.stdout
    assert "0 train, 6 test" in shown.stdout
    suggested = savs("suggest", "new.csv.store", "--n", "2")
    assert suggested.stdout.startswith("id,image,question,subtask,label,prediction"), (
        suggested.stderr
    )
    assert suggested.stdout.count("\n") == 3
    evaluated = savs("evaluate", "new.csv.store")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "no labels, so there are predictions but no metrics" in evaluated.stderr
    predictions = pl.read_parquet(tmp_path / "new.csv.store/results/vote/predictions.parquet")
    columns = ["id", "prediction", "margin"]
    assert_frame_equal(
        predictions.select(columns), pl.read_csv("new.csv").select(columns), check_dtypes=False
    )
    for wrong, message in (
        (("report", "new.csv.store", "--out", "r.html"), "no metrics, because its test examples"),
        (("select", "new.csv.store"), "no training examples: `savs classify` made it"),
        (("sweep", "new.csv.store"), "no training examples: `savs classify` made it"),
        (
            ("evaluate", "new.csv.store", "--folds", "5"),
            "no training examples: `savs classify` made it",
        ),
        (("show", "new.csv.store", "--head-map"), "no training examples: `savs classify` made it"),
    ):
        done = savs(*wrong)
        assert (done.returncode, done.stderr.count("error: ")) == (1, 1), done.stderr
        assert message in done.stderr


def test_skipped_images_end_with_their_exit_code(savs, photos, tmp_path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    given = ("classify", photos / "classifier", "bad.jpg", photos / "new" / "0.jpg")
    done = savs(*given)
    assert done.returncode == 4
    assert "skipped bad.jpg: bad.jpg is not an image of a known format" in done.stderr
    assert savs(*given, "--allow", "skips:1").returncode == 0
    kept = savs(*given, "--out", "new.csv")
    assert kept.returncode == 4
    more = savs("classify", photos / "classifier", photos / "new", "bad.jpg", "--out", "new.csv")
    assert more.returncode == 0  # skips of this run count
    assert "1 image is skipped since earlier runs; try again with --retry-skipped" in more.stderr
    again = savs(*given, "--out", "new.csv", "--retry-skipped")
    assert again.returncode == 4
    assert " to do, as shards with skipped ones are read again as a whole: " in again.stderr
    assert savs(*given, "--out", "new.csv", "--force").returncode == 4  # no earlier run is left


def test_what_cannot_be_is_one_line(savs, photos) -> None:
    for wrong, code in (
        ((photos / "nothing", photos / "new"), 1),
        ((photos / "classifier", "none.jpg"), 1),
        ((photos / "classifier", photos / "new", "--question", "Is it red?"), 1),
        ((photos / "classifier", photos / "new", "--out", "new.txt"), 1),
        ((photos / "classifier", photos / "new", "--retry-skipped"), 2),
        ((photos / "classifier", photos / "new", "--force"), 2),
        ((photos / "classifier",), 2),
    ):
        done = savs("classify", *wrong)
        assert done.returncode == code, done.stderr
        if code == 1:
            assert done.stderr.startswith("error: ")
            assert done.stderr.count("\n") == 1
