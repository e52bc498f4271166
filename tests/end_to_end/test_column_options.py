"""Columns of any names on the command line, from the environment and from a file."""

import json

import polars as pl
import pytest

from savs import evaluate, extract, open_store
from savs.datasets import OptionError

CONFIG = '[extract]\ncolumn = ["image=file", "question=prompt", "label=class"]\n'
EXPECTED = (
    "expected FIELD=COLUMN; FIELD is one of id, image, images, box, audio, audios, question, label"
)


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


@pytest.mark.thorough
def test_flags_environment_and_file_name_columns(savs, files, tmp_path) -> None:
    done = savs("extract", "general", *files, "--config", "run.toml")
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
    env = {"SAVS_EXTRACT_COLUMN": "image=file question=prompt label=class"}
    again = savs("extract", "general", *files, "--json", env=env)
    assert json.loads(again.stdout)["rows"] == 0  # the same columns
    mapped = ("image=file", "question=prompt", "label=seen")
    flags = [part for c in mapped for part in ("--column", c)]
    other = savs("extract", "general", *files, "--config", "run.toml", *flags, env=env)
    assert other.returncode == 1
    assert "field 'seen' holds a dict, expected text or a number; pass --task many" in other.stderr


@pytest.mark.parametrize(
    ("benchmark", "more", "code", "message"),
    [
        ("general", ("--column", "label=clas"), 2, "the other train rows have no column 'clas'"),
        ("general", ("--column", "lable=class"), 2, f"--column is 'lable=class', {EXPECTED}"),
        ("general", ("--column", "label"), 2, f"--column is 'label', {EXPECTED}"),
        ("general", ("--column", "label="), 2, f"--column is 'label=', {EXPECTED}"),
        (
            "general",
            ("--column", "label=class", "--column", "label=seen"),
            2,
            "--column has label twice, expected it once; FIELD is one of id, image",
        ),
        ("blink", ("--column", "label=class"), 2, "--column is an option of general"),
        ("blink", ("--question", "Which?"), 2, "--question is an option of general, image-folder"),
        ("general", ("--question", ""), 2, "--question is empty"),
        (
            "general",
            ("--question", "Which?", "--column", "question=prompt"),
            2,
            "both give the prompt; keep one",
        ),
    ],
    ids=[
        *("no such column", "no such field", "no =", "no column", "twice"),
        *("not general", "not a question's", "empty", "both"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["extract", "dry run"])
def test_what_cannot_be_is_told(savs, files, tmp_path, benchmark, more, code, message, dry) -> None:
    done = savs("extract", benchmark, *files, *more, *dry)
    assert done.returncode == code, done.stderr
    assert message in said(done)
    assert not (tmp_path / "store").exists()


@pytest.mark.thorough
def test_in_python(files, tmp_path) -> None:
    given = {"train": files[1], "test": files[3], "model": "demo", "out": tmp_path / "store"}
    columns = {"image": "file", "label": "class"}
    done = extract("general", columns=columns, question="What is it?", **given)
    assert done.store.facts["benchmark"]["options"]["question"] == "What is it?"
    assert done.store.examples("test")["prompt"].unique().to_list() == ["What is it?"]
    assert evaluate(done.store).predictions.height == 4
    with pytest.raises(OptionError, match="option of general"):
        extract("vizwiz", columns=columns, **given)
