"""NaturalBench's Parquet file through the commands: two images and two questions a group."""

import json

import polars as pl
import pytest
from official_files import scored, write_naturalbench

from savs.pipeline.heads.head_scores import rank_heads
from savs.pipeline.selection import selection as stage

pytestmark = pytest.mark.thorough

PLACES = [(question, image) for question in range(2) for image in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with train.parquet (24 groups) and test.parquet (30 groups)."""
    folder = tmp_path_factory.mktemp("naturalbench")
    write_naturalbench(folder / "train.parquet", groups_each=12, seed=1, part="train")
    write_naturalbench(folder / "test.parquet", groups_each=15)
    return folder


@pytest.fixture
def extract(savs, folder, tmp_path):
    def run(*more, test=folder / "test.parquet", out=tmp_path / "small"):
        return savs(
            *("extract", "naturalbench", "--train", folder / "train.parquet", "--test", test),
            *("--model", "demo", "--batch-size", "32", "--out", out, *more),
        )

    return run


@pytest.fixture
def store(extract, folder):
    """Return the whole files' store; the first test that asks for it makes it."""
    if not (folder / "store").exists():
        done = extract(out=folder / "store")
        assert done.returncode == 0, done.stderr
        assert "216 examples to do" in done.stderr
        assert "leak" not in done.stderr
    return folder / "store"


def official(path, predictions):
    """Return Acc, Q-Acc, I-Acc and G-Acc by plain loops over the file's groups."""
    said = dict(predictions.select("id", "prediction").iter_rows())
    right, questions, images, groups = [], [], [], []
    for row in pl.read_parquet(path).iter_rows(named=True):
        hit = {
            (q, i): said[f"{row['Index']}:q{q}i{i}"] == row[f"Image_{i}_Question_{q}"]
            for q, i in PLACES
        }
        right += hit.values()
        questions += [hit[q, 0] and hit[q, 1] for q in range(2)]
        images += [hit[0, i] and hit[1, i] for i in range(2)]
        groups.append(all(hit.values()))
    found = {"accuracy": right, "Q-Acc": questions, "I-Acc": images, "G-Acc": groups}
    return {name: sum(hits) / len(hits) for name, hits in found.items()}


def test_metrics_their_chance_and_their_order(savs, store):
    chosen = savs("select", store, "--json")
    tasks = [task["subtask"] for task in json.loads(chosen.stdout)["tasks"]]
    assert tasks == ["yes_no", "multiple_choice"]
    written, metrics, _ = scored(savs, store)
    assert list(metrics) == [
        *("accuracy", "Q-Acc", "I-Acc", "G-Acc"),
        *("accuracy, yes_no", "accuracy, multiple_choice"),
    ]
    assert [m["chance"] for m in metrics.values()] == [0.5, 0.25, 0.25, 0.0625, 0.5, 0.5]
    assert [m["units"] for m in metrics.values()] == [120, 60, 60, 30, 60, 60]
    assert {m["clusters"] for m in list(metrics.values())[:4]} == {30}
    assert metrics["G-Acc"]["value"] >= 0.5
    assert metrics["accuracy, yes_no"]["value"] >= 0.85
    assert metrics["accuracy, multiple_choice"]["value"] >= 0.7
    assert (written["planned"], written["scored"], written["skipped"]) == (120, 120, 0)
    assert written["leaks"] == {"repeated": [], "shared medium": []}
    assert written["notes"] == []
    assert not list(store.rglob("submission.json"))  # there is no official form for it


def test_predictions_have_a_row_an_example_in_the_order_of_the_file(savs, store):
    _, _, predictions = scored(savs, store)
    assert predictions["id"].to_list() == [f"{g}:q{q}i{i}" for g in range(30) for q, i in PLACES]
    assert predictions["group"].to_list() == [str(g) for g in range(30) for _ in PLACES]
    assert predictions["subtask"].to_list() == ["yes_no"] * 60 + ["multiple_choice"] * 60
    assert predictions["category"].unique().to_list() == ["shapes"]
    assert predictions["leak"].null_count() == 120
    assert (
        predictions.group_by("group").agg(pl.n_unique("cluster"))["cluster"].to_list() == [1] * 30
    )
    for subtask, prediction in predictions.select("subtask", "prediction").iter_rows():
        assert prediction in {"yes_no": ("Yes", "No"), "multiple_choice": ("A", "B")}[subtask]


@pytest.mark.parametrize(("name", "first"), [("best", 0), ("weak", 20)])
def test_official_scores_equal_plain_loops(savs, store, folder, tmp_path, monkeypatch, name, first):
    """Weak heads make groups that are partly right, which good ones hardly do."""
    monkeypatch.setattr(stage, "rank_heads", lambda *scores: rank_heads(*scores)[first:])
    assert savs("select", store, "--heads", "3", "--out", tmp_path / name).returncode == 0
    _, metrics, predictions = scored(savs, store, "--selection", tmp_path / name)
    expected = official(folder / "test.parquet", predictions)
    assert {k: metrics[k]["value"] for k in expected} == pytest.approx(expected, rel=1e-12)
    assert expected["accuracy"] == predictions["correct"].mean()
    if name == "weak":
        assert 0.3 < expected["accuracy"] < 1


def test_a_skipped_example_fails_its_group_and_is_counted(savs, extract, tmp_path):
    path = write_naturalbench(tmp_path / "broken.parquet", groups_each=2, seed=5)
    frame = pl.read_parquet(path)
    images = frame["Image_1"].to_list()
    images[1]["bytes"] = b"\x89PNG\r\n\x1a\n and nothing else"
    frame.with_columns(pl.Series("Image_1", images, dtype=frame.schema["Image_1"])).write_parquet(
        path
    )
    done = extract("--shots", "8", test=path)
    assert done.returncode == 4
    assert "skipped test 1:q0i1: broken.parquet#1/Image_1 is not an image" in done.stderr
    assert "2 examples were skipped, --max-skip allows 0" in done.stderr
    assert extract("--shots", "8", "--max-skip", "2", test=path).returncode == 0
    written, metrics, predictions = scored(savs, tmp_path / "small")
    assert (written["planned"], written["scored"], written["skipped"]) == (16, 14, 2)
    assert "2 test examples were skipped at extraction; they count as wrong" in written["notes"]
    lost = predictions.filter(pl.col("prediction").is_null())
    assert lost["id"].to_list() == ["1:q0i1", "1:q1i1"]
    assert lost["correct"].to_list() == [False, False]
    assert [metrics[name]["units"] for name in ("Q-Acc", "I-Acc", "G-Acc")] == [8, 8, 4]
    expected = official(path, predictions)
    assert {k: metrics[k]["value"] for k in expected} == pytest.approx(expected, rel=1e-12)
    assert metrics["Q-Acc"]["value"] <= 6 / 8  # neither question of the group is whole
    assert metrics["I-Acc"]["value"] <= 7 / 8
    assert metrics["G-Acc"]["value"] <= 3 / 4


def test_a_limit_inside_a_group_leaves_that_group_out_and_says_so(savs, extract, tmp_path):
    done = extract("--limit", "10")
    assert done.returncode == 0, done.stderr
    written, metrics, _ = scored(savs, tmp_path / "small")
    # two whole groups, of the third the first question on both images: it counts in none
    assert [metrics[name]["units"] for name in ("Q-Acc", "I-Acc", "G-Acc")] == [4, 4, 2]
    assert written["notes"] == [
        "Q-Acc: incomplete groups left out: 1 (2)",
        "I-Acc: incomplete groups left out: 1 (2)",
        "G-Acc: incomplete groups left out: 1 (2)",
    ]
