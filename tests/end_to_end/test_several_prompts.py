"""From two prompts to the better one: extract, sweep, classify; docs/guide/labels.md."""

import csv
import io
import json

import pytest

from savs import open_store

pytestmark = pytest.mark.thorough

ASKED = ("What animal is this?", "Which colour is it?")


@pytest.fixture
def rows(inputs):
    """Return a training file without questions, a test file without labels, and a new image."""
    train, test = inputs.few_shots(8, 2)
    for path in (train, test):
        found = [json.loads(line) for line in path.read_text().splitlines()]
        label = {} if path == train else {"label": ""}
        plain = [{"image": r["image"], "label": r["label"]} | label for r in found]
        path.write_text("".join(json.dumps(row) + "\n" for row in plain))
    return train, test, inputs.root / inputs.image("new.png", 7)


def test_one_store_has_both_prompts_to_compare_and_to_classify_by(savs, rows, tmp_path):
    train, test, image = rows
    (tmp_path / "prompts.txt").write_text("\n".join(("", *ASKED, "")))
    given = ("--train", train, "--test", test, "--model", "demo", "--dtype", "float32")
    prompts = {"SAVS_EXTRACT_QUESTION": "prompts.txt"}
    done = savs("extract", "general", *given, "--out", "s", env=prompts)
    assert done.returncode == 0, done.stderr
    store = open_store("s")
    assert store.facts["benchmark"] == {"name": "general", "options": {"questions": list(ASKED)}}
    assert store.facts["planned"] == {"train": 16, "test": 4}
    variable = {"SAVS_EXTRACT_QUESTION": "\n".join(ASKED)}
    again = savs("extract", "general", *given, "--out", "s", "--json", env=variable)
    assert json.loads(again.stdout)["rows"] == 0  # the same prompts: nothing is left to do
    assert savs("select", "s", "--heads", 2).returncode == 0
    swept = json.loads(savs("sweep", "s", "--prompts", "--heads", 2, "--json").stdout)
    assert [(row["prompt"], row["units"]) for row in swept["summary"]] == [
        (prompt, 8) for prompt in ASKED
    ]
    both = json.loads(savs("classify", "s/results/vote", image, "--json").stdout)["predictions"]
    assert [row["subtask"] for row in both] == list(ASKED)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    new = ("classify", "s/results/vote", "bad.jpg", image, "--out", "new.csv")
    codes = [savs(*new).returncode, (later := savs(*new)).returncode]
    assert codes == [4, 0]  # skips of the same run count
    assert "1 image is skipped since earlier runs" in later.stderr
    assert savs("evaluate", "s", "--folds", "5").returncode == 0
    made = savs("export", "s", "--to", "classifier", "--subtask", ASKED[1], "--out", "b", "--json")
    assert "predict.py" in json.loads(made.stdout)["files"]  # it answers one question
    card = (tmp_path / "b" / "README.md").read_text()
    assert f"| `accuracy, {ASKED[1]}` |" in card
    assert "Measured on 8 training examples, with heads of the others.\n" in card
    assert ASKED[0] not in card
    bundled = json.loads(savs("classify", "b", image, "--json").stdout)["predictions"]
    assert [(row["subtask"], row["prediction"]) for row in bundled] == [
        (ASKED[1], both[1]["prediction"])
    ]
    wrong = savs("export", "s", "--to", "classifier", "--subtask", "C?", "--out", "c")
    assert (wrong.returncode, "no subtask 'C?'; it has: What" in wrong.stderr) == (1, True)
    suggested = list(csv.DictReader(io.StringIO(savs("suggest", "s", "--n", 2).stdout)))
    assert sorted(row["id"] for row in suggested) == ["test:0", "test:1"]  # each image once
    assert "question" not in suggested[0]
    assert "subtask" not in suggested[0]


@pytest.mark.parametrize(
    ("file", "asked", "message"),
    [
        ("absent.txt", (), "absent.txt cannot be read: No such file"),
        ("blank.txt", (), "is 'blank.txt', an empty file, expected one per line"),
        ("latin.txt", (), "latin.txt cannot be read: it is not UTF-8 text"),
        (None, ("A?", "A?"), "the question 'A?' is given twice"),
    ],
)
def test_prompts_that_cannot_be_are_usage_errors(savs, tmp_path, file, asked, message):
    for name, text in (("blank", b" \n\n"), ("latin", b"\xe9"), ("two", b"A?\nB?\n")):
        (tmp_path / f"{name}.txt").write_bytes(text)
    given = ("--train", "t.jsonl", "--model", "demo", "--out", "s")
    options = [word for prompt in asked for word in ("--question", prompt)]
    variable = {} if file is None else {"SAVS_EXTRACT_QUESTION": file}
    done = savs("extract", "general", *given, *options, env=variable)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())
