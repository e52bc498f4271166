"""Parts, pairs and groups of benchmarks, and files as their authors publish them."""

from pathlib import Path

import polars as pl
import pytest
from reference_cases import CASES, PAIR, read_row

from savs.datasets import MediaFolder, RowError, find_benchmark, read_examples


@pytest.mark.parametrize(
    ("identifier", "category", "expected"),
    [
        ("pairs_0", "safety", "safety: bias"),
        ("hateful_0", "safety", "safety: other"),
        ("mathvista_642", "reasoning", "reasoning: math"),
        ("emma_1", "reasoning", "reasoning: coding"),
        ("pairs_0", "knowledge", "knowledge"),
    ],
)
def test_safety_and_reasoning_have_two_parts(
    tmp_path: Path, identifier: str, category: str, expected: str
) -> None:
    (found,) = read_row(tmp_path, "mrb", PAIR | {"ID": identifier, "Category": category})
    assert (found.subtask, found.category) == (category, expected)


@pytest.mark.parametrize("name", ["sugarcrepe", "mmvp"])
def test_pairs_of_a_train_file_are_not_read(tmp_path: Path, name: str) -> None:
    row = next(row for known, row, _ in CASES if known == name)
    assert read_row(tmp_path, name, row, split="train")[0].group is None


def test_the_official_file_of_mmvp_numbers_its_images(tmp_path: Path) -> None:
    path = tmp_path / "Questions.csv"
    path.write_text(
        "Index,Question,Options,Correct Answer\n"
        '1,"Is the dog, left?",(a) Yes (b) No,(a)\n'
        '2,"Is the dog, left?",(a) Yes (b) No,(b)\n'
        "3,Is it open?,(a) Open (b) Closed,(b)\n"
    )
    examples = read_examples(find_benchmark("mmvp"), path, "test")
    assert [e.media for e in examples] == [(f"MMVP Images/{n}.jpg",) for n in (1, 2, 3)]
    assert [e.group for e in examples] == ["Questions:0", "Questions:0", "Questions:1"]
    assert [e.label for e in examples] == ["(a)", "(b)", "(b)"]
    assert examples[0].prompt == "Is the dog, left? (a) Yes (b) No"
    assert examples[2].extra == {}


def test_a_part_of_the_official_file_of_mmvp_keeps_its_images(tmp_path: Path) -> None:
    row = {"Question": "Left?", "Options": "(a) Yes (b) No", "Correct Answer": "(a)"}
    (found,) = read_row(tmp_path, "mmvp", row | {"Index": "7"})
    assert (found.media, found.group) == (("MMVP Images/7.jpg",), f"{found.id.split(':')[0]}:3")
    with pytest.raises(RowError, match="field 'Index' is 'x'; expected the row's number, from 1"):
        read_row(tmp_path, "mmvp", row | {"Index": "x"})


def test_images_in_parquet_are_read(tmp_path: Path) -> None:
    image = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    rows = [
        {
            "Question": "Open?",
            "Options": "(a) Yes (b) No",
            "Correct Answer": "(a)",
            "image": {"bytes": b"%d" % n, "path": None},
        }
        for n in range(2)
    ]
    path = tmp_path / "mmvp.parquet"
    pl.DataFrame(rows, schema_overrides={"image": image}).write_parquet(path)
    examples = read_examples(find_benchmark("mmvp"), path, "test")
    media = MediaFolder(tmp_path)
    assert [media.read(*e.media) for e in examples] == [b"0", b"1"]
    assert {e.group for e in examples} == {"mmvp:0"}


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (("ex_0_img_0", "ex_0_img_1"), ("ex_0_img_0.png", "ex_0_img_1.png")),
        (("a.jpg", "b.jpg"), ("a.jpg", "b.jpg")),
    ],
    ids=["the names of examples.jsonl", "names of files"],
)
def test_a_row_of_winoground_is_a_group_of_four(
    tmp_path: Path, names: tuple[str, str], files: tuple[str, str]
) -> None:
    row = {
        "id": 7,
        "caption_0": "an old person kisses a young person",
        "caption_1": "a young person kisses an old person",
        "image_0": names[0],
        "image_1": names[1],
        "tag": "Adjective-Age",
        "collapsed_tag": "Relation",
    }
    examples = read_row(tmp_path, "winoground", row)
    assert [e.id for e in examples] == ["7:c0i0", "7:c0i1", "7:c1i0", "7:c1i1"]
    assert [e.label for e in examples] == ["Yes", "No", "No", "Yes"]
    assert [e.media for e in examples] == [(files[0],), (files[1],)] * 2
    assert {(e.group, e.category) for e in examples} == {("7", "Relation")}
    assert examples[2].prompt == (
        "\nDoes this image show 'a young person kisses an old person'? Answer with Yes or No."
    )
    assert examples[0].extra == {"tag": "Adjective-Age"}
