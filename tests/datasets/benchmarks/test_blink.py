import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from malformed import FORMS, write_row

from savs.datasets import Example, MediaFolder, RowError, find_benchmark, read_examples

BENCHMARK = find_benchmark("blink")
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
OPTIONS = " (A) the second image (B) the third image"


def official(number: int, task: str = "Jigsaw", images: int = 2, **changed: Any) -> dict[str, Any]:
    """A row as the official Parquet files have it: images beyond the last are null."""
    idx = f"val_{task}_{number}"
    return {
        "idx": idx,
        "question": "Which one?",
        "sub_task": task,
        **{
            f"image_{n}": {"bytes": f"{idx} {n}".encode(), "path": None} if n <= images else None
            for n in range(1, 5)
        },
        "choices": ["the second image", "the third image"],
        "answer": "(A)",
        "prompt": "Which one? Select from the following choices." + OPTIONS,
        "explanation": None,
    } | changed


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    types: dict[str, Any] = {f"image_{n}": IMAGE for n in range(1, 5)}
    pl.DataFrame(list(rows), schema_overrides=types).write_parquet(path)
    return path


def reference(*images: str | None, **changed: Any) -> dict[str, Any]:
    """A row as the public reference's JSON has it."""
    marks = "<image>\n" * sum(image is not None for image in images)
    names = {f"image_{n}": image for n, image in enumerate(images, start=1)}
    return {"question": f"{marks}Which one?{OPTIONS}", "label": "(A)"} | names | changed


def in_json(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "art.json"
    path.write_text(json.dumps(rows))
    return path


def read(path: Path | str) -> list[Example]:
    return read_examples(BENCHMARK, path, "test")


def test_official_files_are_one_subtask_each(tmp_path: Path) -> None:
    for task, images in (("IQ_Test", 1), ("Jigsaw", 3), ("Spatial", 4)):
        rows = [official(n, task, images, answer="(AB)"[0] + "AB"[n - 1] + ")") for n in (1, 2)]
        written(tmp_path / task / "val-00000-of-00001.parquet", *rows)
    examples = read(f"{tmp_path}/*/val-*.parquet")
    assert [e.id for e in examples] == [
        f"val_{task}_{n}" for task in ("IQ_Test", "Jigsaw", "Spatial") for n in (1, 2)
    ]
    assert [e.subtask for e in examples] == [
        t for t in ("IQ_Test", "Jigsaw", "Spatial") for _ in "ab"
    ]
    assert [e.label for e in examples] == ["(A)", "(B)"] * 3
    assert [len(e.media) for e in examples] == [1, 1, 3, 3, 4, 4]
    # what the paper asks is `prompt`; `question` is without the options
    assert {e.prompt for e in examples} == {official(1)["prompt"]}
    assert examples[0].extra == {"explanation": None}
    media = MediaFolder(tmp_path)
    assert [media.read(name) for name in examples[3].media] == [
        f"val_Jigsaw_2 {n}".encode() for n in (1, 2, 3)
    ]


def test_the_reference_s_rows_have_marks_names_and_no_subtask(tmp_path: Path) -> None:
    path = in_json(
        tmp_path,
        reference("1_0.png", "1_1.png", "1_2.png", None),
        reference("2_0.png", None, None, None, label="(B)"),
    )
    first, second = read(path)
    prompt = f"<image>\n<image>\n<image>\nWhich one?{OPTIONS}"
    assert first == Example("art:0", "test", 0, "(A)", prompt, ("1_0.png", "1_1.png", "1_2.png"))
    assert (second.id, second.label, second.media) == ("art:1", "(B)", ("2_0.png",))


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_image_slot_is_absent_as_in_the_reference_s_rows(
    tmp_path: Path, form: str
) -> None:
    row = reference("1_0.png", "1_1.png", None, None) | {"image_3": "", "image_4": ""}
    path = write_row(tmp_path, form, row)
    assert path is not None
    (example,) = read(path)
    assert example.media == ("1_0.png", "1_1.png")
    with pytest.raises(RowError, match=r"images are in image_1, image_3; expected image_1"):
        read(write_row(tmp_path, form, row | {"image_2": "", "image_3": "1_2.png"}))
    with pytest.raises(RowError, match=r"images are in -; expected image_1"):
        read(write_row(tmp_path, form, row | {"image_1": "", "image_2": ""}))


def test_an_image_without_bytes_and_with_an_empty_path_is_absent(tmp_path: Path) -> None:
    row = official(1, image_2={"bytes": None, "path": ""}, image_3={"bytes": None, "path": ""})
    (example,) = read(written(tmp_path / "v.parquet", row))
    assert example.media == ("v.parquet#0/image_1",)


@pytest.mark.parametrize("answer", ["hidden", "", None])
def test_an_answer_may_be_hidden(tmp_path: Path, answer: str | None) -> None:
    rows = [official(1), official(2, answer=answer)]
    assert [e.label for e in read(written(tmp_path / "t.parquet", *rows))] == ["(A)", None]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (reference("a", None, "c", None), "images are in image_1, image_3; expected image_1, then"),
        (reference(None, "b", None, None), "images are in image_2; expected image_1, then image_2"),
        (reference(None, None, None, None), "images are in -; expected image_1"),
        (reference("a", "b", question="<image> Which?"), "1 <image> placeholders for 2 images"),
        (reference("a", label=None), "field 'label' is null"),
        ({"question": "Which?", "image_1": "a"}, "field 'label' is missing"),
        ({"label": "(A)", "image_1": "a"}, "field 'question' is missing"),
        (reference("a", ["b"], question="?"), "field 'image_2' holds a list"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    path = in_json(tmp_path, reference("a"), row)
    with pytest.raises(RowError, match=f"^{re.escape(f'{path} row 1: {problem}')}"):
        read(path)


def test_a_gap_in_packed_images_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "v.parquet", official(1), official(2, images=4, image_3=None))
    with pytest.raises(
        RowError, match=r"v\.parquet row 1: images are in image_1, image_2, image_4"
    ):
        read(path)


def test_an_idx_is_unique(tmp_path: Path) -> None:
    path = written(tmp_path / "v.parquet", official(1), official(1))
    with pytest.raises(RowError, match=r"row 1: id 'val_Jigsaw_1' is taken by .*v\.parquet row 0"):
        read(path)
