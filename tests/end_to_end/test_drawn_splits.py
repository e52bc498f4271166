"""`savs extract --test FILE --shots N`: training examples are drawn, the others are tested."""

import json

import pytest

from savs import open_store


@pytest.fixture
def pool(inputs):
    """Return rows of two classes, five each; the images of the last two are equal."""
    rows = [
        {"image": inputs.image(f"{n}.png", min(n, 8)), "question": "What?", "label": "ab"[n % 2]}
        for n in range(10)
    ]
    return inputs.rows("all.jsonl", rows)


@pytest.mark.thorough
def test_shots_of_each_class_are_drawn_and_equal_images_stay_together(savs, pool, tmp_path):
    given = ("--shots", "2", "--seed", "1", "--model", "demo", "--out", tmp_path / "store")
    done = savs("extract", "general", "--test", pool, *given, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 10
    store = open_store(tmp_path / "store")
    train, test = store.examples("train"), store.examples("test")
    assert sorted(train["label"]) == list("aabb")
    assert sorted([*train["media"].explode(), *test["media"].explode()]) == [
        f"{n}.png" for n in range(10)
    ]
    twins = {"8.png", "9.png"}
    assert len(twins & {*train["media"].explode()}) in (0, 2)
    assert savs("select", tmp_path / "store", "--heads", "2").returncode == 0
    assert "leak" not in savs("evaluate", tmp_path / "store").stderr


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        ((), 1, "there are no training examples: give --train, or have them drawn"),
        (("--shots", "groups"), 2, "--shots is 'groups', expected a number from 1 on, such as 20"),
        (("--shots", "0"), 2, "--shots is '0', expected a number from 1 on"),
        (("--shots", "5"), 1, "class 'a' has 5 examples, --shots asks for 5, which leaves"),
        (("--shots", "groups:1"), 1, "'all:0' has no group"),
        (("--shots", "2", "--test", "absent.jsonl"), 1, "absent.jsonl does not exist"),
        (("--shots", "2", "--media-root", "."), 1, "none of the 10 media exists"),
    ],
)
def test_what_cannot_be_drawn_is_refused(savs, pool, tmp_path, more, code, text):
    given = ("--test", pool, "--model", "demo", "--out", tmp_path / "store")
    done = savs("extract", "general", *given, *more)
    assert done.returncode == code, done.stderr
    assert text in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()
