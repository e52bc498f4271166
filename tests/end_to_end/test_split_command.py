"""`savs split` as a user runs it."""

import json

import pytest


@pytest.fixture
def pool(inputs):
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "What is it?", "label": "ab"[n % 2]}
        for n in range(10)
    ]
    return inputs.rows("all.jsonl", rows)


def test_the_table_and_what_extract_needs(savs, pool, tmp_path):
    done = savs(
        *("split", "general", "--from", pool, "--shots", "2", "--seed", "4"),
        *("--train", tmp_path / "new" / "train.jsonl", "--test", tmp_path / "new" / "test.jsonl"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == [
        "subtask  class  train  test",
        "-            a      2     3",
        "-            b      2     3",
    ]
    assert "they share no example, image or group (10 sets of linked examples)" in done.stderr
    assert f"pass --media-root {pool.parent}" in done.stderr
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["test.jsonl", "train.jsonl"]


@pytest.mark.thorough
def test_json_and_the_split_runs_through(savs, pool, tmp_path):
    train, test = pool.with_name("train.jsonl"), pool.with_name("test.jsonl")
    given = ("split", "general", "--from", pool, "--train", train, "--test", test, "--json")
    done = json.loads(savs(*given, "--shots", "2").stdout)
    assert (done["rows"], done["leaks"], done["media_root"]) == ({"train": 4, "test": 6}, 0, None)
    assert done["classes"][0] == {"subtask": None, "label": "a", "train": 2, "test": 3}
    out = savs("extract", "general", "--train", train, "--test", test, "--model", "demo",
               "--out", tmp_path / "store", "--json")  # fmt: skip
    assert json.loads(out.stdout)["rows"] == 10, out.stderr
    assert "leak" not in out.stderr


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ((), 2, "pass --shots N (examples per class) or --train-groups N"),
        (("--shots", "2", "--train-groups", "1"), 2, "are two ways to draw"),
        (("--shots", "0"), 2, "Invalid value for '--shots'"),
        (("--shots", "5"), 1, "class 'a' has 5 examples, --shots asks for 5, which leaves"),
        (("--train-groups", "1"), 1, "'all:0' has no group"),
        (("--shots", "2", "--from", "absent.jsonl"), 1, "absent.jsonl cannot be read"),
        (("--shots", "2", "--media-root", "."), 1, "none of the 10 images exists"),
        (("--shots", "2", "--test", "x.csv"), 1, "x.csv would be CSV, but all.jsonl is JSON Lines"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(savs, pool, tmp_path, more, code, text):
    done = savs(*("split", "general", "--from", pool), *("--train", "tr.jsonl"),
                *("--test", "te.jsonl"), *more)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("t*.jsonl"))
