"""Rows as benchmarks are published, by their authors and by the public reference."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from malformed import FORMS, write_row
from reference_cases import CASES, JUDGED, PAIR, SINGLE, read_row

from savs.datasets import Example, MediaFolder, RowError, find_benchmark, read_examples

IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
FOREIGN = "/home/someone/naturalbench"
ROWS = {name: row for name, row, _ in reversed(CASES)}
"""Benchmark -> the first row of the reference's file."""
OFFICIAL_MMVP = {"Question": "Left?", "Options": "(a) Yes (b) No", "Correct Answer": "(a)"}
RETRIEVAL = {"image": "a", "question": "Does this image show 'b'?", "question_id": 1}


def blink(*images: str | None, **changed: Any) -> dict[str, Any]:
    """A row of the reference's JSON."""
    names = {f"image_{n}": image for n, image in enumerate(images, start=1)}
    return {"question": "<image>\n" * len(images), "label": "(A)"} | names | changed


def official_blink(number: int, images: int = 2, **changed: Any) -> dict[str, Any]:
    """A row of the official Parquet files: images beyond the last are null."""
    idx = f"val_Jigsaw_{number}"
    packed = {f"image_{n}": {"bytes": f"{idx} {n}".encode(), "path": None} for n in range(1, 5)}
    return (
        {"idx": idx, "question": "Which one?", "sub_task": "Jigsaw", "answer": "(A)"}
        | {name: value if int(name[-1]) <= images else None for name, value in packed.items()}
        | {"choices": ["a", "b"], "prompt": "Which one? (A) a (B) b", "explanation": None}
        | changed
    )


def naturalbench(index: int, kind: str = "yes_no", **changed: Any) -> dict[str, Any]:
    yes, no = ("Yes", "No") if kind == "yes_no" else ("A", "B")
    return {
        "Index": index,
        "Image_0": f"{index}_0.jpg",
        "Image_1": f"{index}_1.jpg",
        "Question_0": "Is it? Really?",
        "Image_0_Question_0": yes,
        "Image_1_Question_0": no,
        "Question_1": "Is it not? Really?",
        "Image_0_Question_1": no,
        "Image_1_Question_1": yes,
        "Question_Type": kind,
        "Source": "coco",
    } | changed


def parquet(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {name: IMAGE for name in rows[0] if re.fullmatch(r"[Ii]mage_\d", name)}
    pl.DataFrame(list(rows), schema_overrides=types).write_parquet(path)
    return path


def read(name: str, path: Path | str, split: str = "test") -> list[Example]:
    return read_examples(find_benchmark(name), path, split)


@pytest.mark.parametrize(("name", "row", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_row_of_the_reference_is_an_example(
    tmp_path: Path, name: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    (example,) = read_row(tmp_path, name, row)
    assert example == Example(**({"id": "file:0", "split": "test", "index": 0} | expected))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("sugarcrepe", "question_id"),
        ("natural_ret", "question_id"),
        ("winoground", "id"),
        ("mrb", "ID"),
        ("mrb", "Category"),
        ("mrb_individual", "ID_original"),
    ],
)
def test_a_row_without_its_group_or_part_is_named(tmp_path: Path, name: str, field: str) -> None:
    captions = {"caption_0": "a", "caption_1": "b", "image_0": "0.png", "image_1": "1.png"}
    row = ROWS | {"natural_ret": RETRIEVAL | {"label": "No"}, "winoground": {"id": 7} | captions}
    cut = {key: value for key, value in row[name].items() if key != field}
    with pytest.raises(RowError, match=rf"row 1: field '{field}' is missing; the row has the"):
        read_row(tmp_path, name, row[name], cut)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("vlguard", {"image": "a", "instruction": "?"}, "no field 'label' or 'answer' has a label"),
    (
        "vlguard",
        {"image": "a", "instruction": "?", "label": "harmful", "answer": "Yes"},
        "two fields have a label: 'label' is 'harmful' and 'answer' is 'Yes'; keep only",
    ),
    ("mhalubench", {"image_path": "a", "claim": "b"}, "no field 'claim_label' or 'label'"),
    ("mrb", PAIR | {"label": "A"}, "the label is 'A'; expected Output1 or Output2"),
    ("mrb", SINGLE | {"label": "Output1"}, "expected preferred or non-preferred"),
    ("mrb", JUDGED | {"ID": "a", "label": "Output1"}, "has no answer; expected 'Output1' and"),
    ("mrb", PAIR | SINGLE, "has 'Output1' and 'Output'; expected 'Output1' and 'Output2' "),
    ("sugarcrepe", ROWS["sugarcrepe"] | {"label": "yes"}, "expected Yes or No"),
    ("camerabench", ROWS["camerabench"] | {"label": True}, "field 'label' is 'true'; expected Yes"),
    ("mmvp", OFFICIAL_MMVP | {"Index": "x"}, "'Index' is 'x'; expected the row's number, from 1"),
    ("mmvp", {"question": "?", "label": "(a)", "image": ""}, "field 'image' is empty"),
    ("blink", blink("a", None, "c"), "images are in image_1, image_3; expected image_1, then"),
    ("blink", blink(None, "b"), "images are in image_2; expected image_1, then image_2"),
    ("blink", blink(None, None), "images are in -; expected image_1"),
    ("blink", blink("a", "b", question="<image>"), "1 <image> placeholders for 2 images"),
    ("blink", {"question": "Which?", "image_1": "a"}, "field 'label' is missing"),
    ("blink", {"label": "(A)", "image_1": "a"}, "field 'question' is missing"),
    ("blink", blink("a", ["b"], question="?"), "field 'image_2' holds a list"),  # type: ignore
    ("naturalbench", naturalbench(1, Question_Type="open"), "'open'; expected yes_no or multiple"),
    ("naturalbench", naturalbench(1, Image_0_Question_1="no"), "is 'no'; expected Yes or No"),
    ("naturalbench", naturalbench(1, Image_1_Question_0="A"), "is 'A'; expected Yes or No"),
    ("naturalbench", naturalbench(1, Image_1=None), "'Image_1' has no image; a group needs two"),
    ("natural_ret", RETRIEVAL | {"label": "yes"}, "field 'label' is 'yes'; expected Yes or No"),
]


@pytest.mark.parametrize(("name", "row", "problem"), WRONG)
def test_a_wrong_row_is_named(tmp_path: Path, name: str, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(RowError, match=rf"file\.json row 0: .*{problem}"):
        read_row(tmp_path, name, row)


@pytest.mark.parametrize(
    ("row", "taken"),
    [(official_blink(1, 0) | {"image_1": "a"}, "val_Jigsaw_1"), (naturalbench(1), "1:q0i0")],
    ids=["blink", "naturalbench"],
)
def test_an_id_of_the_file_is_unique(tmp_path: Path, row: dict[str, Any], taken: str) -> None:
    name = "blink" if "idx" in row else "naturalbench"
    with pytest.raises(RowError, match=rf"row 1: id '{taken}' is taken by .*file\.json row 0"):
        read_row(tmp_path, name, row, row)


@pytest.mark.parametrize("name", ["sugarcrepe", "mmvp", "naturalbench-retrieval"])
def test_groups_of_a_train_file_are_not_read(tmp_path: Path, name: str) -> None:
    row = ROWS.get(name, RETRIEVAL | {"label": "No"})
    assert read_row(tmp_path, name, row)[0].group is not None
    assert read_row(tmp_path, name, row, split="train")[0].group is None


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
    (example,) = read_row(tmp_path, "mrb", PAIR | {"ID": identifier, "Category": category})
    assert (example.subtask, example.category) == (category, expected)


def test_official_files_of_blink_are_one_subtask_each(tmp_path: Path) -> None:
    for task, images in (("IQ_Test", 1), ("Jigsaw", 3), ("Spatial", 4)):
        rows = [
            official_blink(n, images, idx=f"val_{task}_{n}", sub_task=task, answer=f"({'AB'[n]})")
            for n in range(2)
        ]
        parquet(tmp_path / task / "val-00000-of-00001.parquet", *rows)
    examples = read("blink", f"{tmp_path}/*/val-*.parquet")
    assert [(e.id, e.subtask, e.label, len(e.media)) for e in examples] == [
        (f"val_{task}_{n}", task, f"({'AB'[n]})", images)
        for task, images in (("IQ_Test", 1), ("Jigsaw", 3), ("Spatial", 4))
        for n in range(2)
    ]
    # what the paper asks is `prompt`; `question` is without the options
    assert {e.prompt for e in examples} == {official_blink(1)["prompt"]}
    assert examples[0].extra == {"explanation": None}
    media = MediaFolder(tmp_path)
    assert [media.read(name) for name in examples[3].media] == [
        f"val_Jigsaw_1 {n}".encode() for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("answer", ["hidden", "", None])
def test_an_answer_of_blink_may_be_hidden(tmp_path: Path, answer: str | None) -> None:
    rows = [official_blink(1), official_blink(2, answer=answer)]
    assert [e.label for e in read("blink", parquet(tmp_path / "t.parquet", *rows))] == ["(A)", None]


@pytest.mark.parametrize("form", FORMS)
def test_the_reference_s_rows_of_blink_have_marks_names_and_no_subtask(tmp_path, form) -> None:
    path = write_row(tmp_path, form, blink("1_0.png", "1_1.png", image_3="", image_4=""))
    media = ("1_0.png", "1_1.png")
    assert read("blink", path) == [Example("bad:0", "test", 0, "(A)", "<image>\n" * 2, media)]


def test_a_row_of_naturalbench_is_a_group_of_four(tmp_path: Path) -> None:
    def packed(index: int, kind: str) -> dict[str, Any]:
        images = {f"Image_{i}": {"bytes": b"%d-%d" % (index, i), "path": "a"} for i in range(2)}
        return naturalbench(index, kind, **images)

    path = parquet(tmp_path / "nb.parquet", packed(7, "yes_no"), packed(12, "multiple_choice"))
    examples = read("naturalbench", path)
    assert [e.id for e in examples[:4]] == ["7:q0i0", "7:q0i1", "7:q1i0", "7:q1i1"]
    assert [e.label for e in examples] == ["Yes", "No", "No", "Yes", "A", "B", "B", "A"]
    assert [e.group for e in examples] == ["7"] * 4 + ["12"] * 4
    assert [e.subtask for e in examples] == ["yes_no"] * 4 + ["multiple_choice"] * 4
    assert [e.index for e in examples] == list(range(8))
    assert {e.category for e in examples} == {"coco"}
    # the official script puts its suffix right after the question
    asked = "Is it? Really?Please answer Yes or No."
    letter = "Is it not? Really?Please output the letter corresponding to the correct option."
    assert (examples[1].prompt, examples[7].prompt) == (asked, letter)
    media = MediaFolder(tmp_path)
    assert [media.read(*e.media) for e in examples] == [b"7-0", b"7-1"] * 2 + [b"12-0", b"12-1"] * 2


def test_images_of_naturalbench_may_be_files_and_the_index_may_be_left_out(tmp_path: Path) -> None:
    row = naturalbench(0, Note="n", Image_1_Question_0="Yes")
    del row["Index"], row["Source"]
    examples = read_row(tmp_path, "naturalbench", row, row)
    assert [e.media for e in examples[:4]] == [("0_0.jpg",), ("0_1.jpg",)] * 2
    assert [e.label for e in examples[:4]] == ["Yes", "Yes", "No", "Yes"]
    assert (examples[0].id, examples[4].id) == ("file:0:q0i0", "file:1:q0i0")
    assert (examples[5].group, examples[5].category) == ("file:1", None)
    assert examples[5].extra == {"Note": "n"}


@pytest.mark.parametrize("below", ["", "naturalbench/", "someone/naturalbench/"])
def test_retrieval_finds_images_of_someone_else_s_paths_below_the_root(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    (tmp_path / below / "1.jpg").write_bytes(b"image")
    row = RETRIEVAL | {"image": f"{FOREIGN}/1.jpg", "label": "No"}
    (example,) = read_row(tmp_path, "naturalbench-retrieval", row)
    prompt = "\nDoes this image show 'b'? Answer with Yes or No."
    assert example == Example("file:0", "test", 0, "No", prompt, (f"{FOREIGN}/1.jpg",), "1")
    assert MediaFolder(tmp_path).read(*example.media) == b"image"


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
    captions = {"caption_0": "an old person kisses a young person", "caption_1": "a young one"}
    images = {"image_0": names[0], "image_1": names[1]}
    tags = {"tag": "Adjective-Age", "collapsed_tag": "Relation"}
    examples = read_row(tmp_path, "winoground", {"id": 7} | captions | images | tags)
    assert [e.id for e in examples] == ["7:c0i0", "7:c0i1", "7:c1i0", "7:c1i1"]
    assert [e.label for e in examples] == ["Yes", "No", "No", "Yes"]
    assert [e.media for e in examples] == [(files[0],), (files[1],)] * 2
    assert {(e.group, e.category) for e in examples} == {("7", "Relation")}
    assert examples[2].prompt == "\nDoes this image show 'a young one'? Answer with Yes or No."
    assert examples[0].extra == {"tag": "Adjective-Age"}
    inside = [{"image_0": {"bytes": b"0"}, "image_1": {"bytes": b"1"}, "id": 7} | captions]
    pl.DataFrame(inside).write_parquet(tmp_path / "w.parquet")
    packed = read("winoground", tmp_path / "w.parquet")
    assert [MediaFolder(tmp_path).read(*e.media) for e in packed] == [b"0", b"1"] * 2


def test_the_official_file_of_mmvp_numbers_its_images_and_parquet_holds_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "Questions.csv"
    path.write_text(
        "Index,Question,Options,Correct Answer\n"
        '1,"Is the dog, left?",(a) Yes (b) No,(a)\n'
        '2,"Is the dog, left?",(a) Yes (b) No,(b)\n'
        "3,Is it open?,(a) Open (b) Closed,(b)\n"
    )
    examples = read("mmvp", path)
    assert [(*e.media, e.group, e.label) for e in examples] == [
        ("MMVP Images/1.jpg", "Questions:0", "(a)"),
        ("MMVP Images/2.jpg", "Questions:0", "(b)"),
        ("MMVP Images/3.jpg", "Questions:1", "(b)"),
    ]
    assert examples[0].prompt == "Is the dog, left? (a) Yes (b) No"
    assert examples[2].extra == {}
    # a part of the file keeps its images
    (part,) = read_row(tmp_path, "mmvp", OFFICIAL_MMVP | {"Index": "7"})
    assert (part.media, part.group) == (("MMVP Images/7.jpg",), "file:3")
    rows = [OFFICIAL_MMVP | {"image": {"bytes": b"%d" % n, "path": None}} for n in range(2)]
    pl.DataFrame(rows, schema_overrides={"image": IMAGE}).write_parquet(tmp_path / "mmvp.parquet")
    packed = read("mmvp", tmp_path / "mmvp.parquet")
    assert [MediaFolder(tmp_path).read(*e.media) for e in packed] == [b"0", b"1"]
    assert {e.group for e in packed} == {"mmvp:0"}
