"""Groups of NaturalBench's Parquet file that are not whole, through the commands."""

import polars as pl
import pytest
from official_files import scored, write_naturalbench

pytestmark = pytest.mark.thorough

PLACES = [(question, image) for question in range(2) for image in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with train.parquet (24 groups) and test.parquet (6 groups)."""
    folder = tmp_path_factory.mktemp("naturalbench")
    write_naturalbench(folder / "train.parquet", groups_each=12, seed=1, part="train")
    write_naturalbench(folder / "test.parquet", groups_each=3)
    return folder


@pytest.fixture
def extract(savs, folder, tmp_path):
    def run(*more, test=folder / "test.parquet", out=tmp_path / "small"):
        return savs(
            *("extract", "naturalbench", "--train", folder / "train.parquet", "--test", test),
            *("--model", "demo", "--batch-size", "32", "--out", out, *more),
        )

    return run


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
    assert "2 examples were skipped, 0 allowed" in done.stderr
    assert extract("--shots", "8", "--allow", "skips:2", test=path).returncode == 0
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
