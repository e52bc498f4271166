"""Columns of any names on the command line, from the environment and from a file."""

import json

import polars as pl
import pytest

from savs.datasets import OptionError
from savs.pipeline import evaluate, extract, open_store

CONFIG = '[extract]\nimage-column = "file"\nquestion_column = "prompt"\n'


@pytest.fixture
def files(inputs, tmp_path):
    """Return the arguments of an extraction of rows with columns of other names."""
    given = []
    for split, shift in (("train", 0), ("test", 100)):
        rows = [
            {
                "file": inputs.image(f"{split}{i}.png", i + shift),
                "prompt": "What is it?",
                "class": "ab"[i % 2],
                "seen": {"by": ["Ann", None], "at": i},
            }
            for i in range(4)
        ]
        given += [f"--{split}", inputs.rows(f"{split}.jsonl", rows)]
    (tmp_path / "run.toml").write_text(CONFIG)
    return [*given, "--model", "demo", "--out", tmp_path / "store"]


def said(done) -> str:
    return " ".join(done.stderr.replace("│", " ").split())


def test_flags_environment_and_file_name_columns(savs, files, tmp_path) -> None:
    env = {"SAVS_EXTRACT_LABEL_COLUMN": "class"}
    done = savs("extract", "general", *files, "--config", "run.toml", env=env)
    assert done.returncode == 0, done.stderr
    facts = open_store(tmp_path / "store").facts["benchmark"]
    columns = {"image": "file", "question": "prompt", "label": "class"}
    assert facts == {"name": "general", "options": {"columns": columns}}
    scored = savs("evaluate", tmp_path / "store")
    assert scored.returncode == 0, scored.stderr
    kept = pl.read_parquet(tmp_path / "store/results/vote/predictions.parquet")["extra"]
    assert [json.loads(cell) for cell in kept] == [
        {"seen": {"by": ["Ann", None], "at": i}} for i in range(4)
    ]
    other = savs("extract", "general", *files, "--config", "run.toml", "--label-column", "seen")
    assert other.returncode == 1
    assert "field 'seen' holds a dict, expected text or a number" in other.stderr


@pytest.mark.parametrize(
    ("benchmark", "more", "code", "message"),
    [
        ("general", ("--label-column", "clas"), 1, "none has the column 'clas'"),
        ("blink", ("--label-column", "class"), 2, "--label-column is an option of general"),
        ("blink", ("--question", "Which?"), 2, "--question is an option of general and image-f"),
        ("general", ("--question", ""), 2, "--question is empty"),
        (
            "general",
            ("--question", "Which?", "--question-column", "prompt"),
            2,
            "both give the prompt; keep one",
        ),
    ],
    ids=["no such column", "not general", "not a question's", "empty", "both"],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["extract", "dry run"])
def test_what_cannot_be_is_told(savs, files, tmp_path, benchmark, more, code, message, dry) -> None:
    done = savs("extract", benchmark, *files, *more, *dry)
    assert done.returncode == code, done.stderr
    assert message in said(done)
    assert not (tmp_path / "store").exists()


def test_in_python(files, tmp_path) -> None:
    given = {"train": files[1], "test": files[3], "model": "demo", "out": tmp_path / "store"}
    columns = {"image": "file", "label": "class"}
    done = extract("general", columns=columns, question="What is it?", **given)
    assert done.store.facts["benchmark"]["options"]["question"] == "What is it?"
    assert done.store.examples("test")["prompt"].unique().to_list() == ["What is it?"]
    assert evaluate(done.store).predictions.height == 4
    with pytest.raises(OptionError, match="option of general"):
        extract("vizwiz", columns=columns, **given)
