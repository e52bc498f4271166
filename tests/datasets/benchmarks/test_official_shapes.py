import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import official_files as official
import polars as pl
import pytest
from PIL import Image

from savs.datasets import Example, MediaFolder, find_benchmark, read_examples
from savs.datasets.benchmarks.shapes.scenes import COLORS, SHAPE_NAMES, Scene, draw
from savs.datasets.media.images import decode_image

pytestmark = pytest.mark.thorough

KIND = re.compile(rf"({'|'.join(COLORS)}) ({'|'.join(SHAPE_NAMES)})")
Write = Callable[[Path, int, str], Path]
"""Writes a small file into a folder, with a seed, and returns what a benchmark reads."""


def naturalbench(folder: Path, seed: int, part: str) -> Path:
    return official.write_naturalbench(folder / "nb.parquet", groups_each=4, seed=seed, part=part)


def retrieval(folder: Path, seed: int, part: str) -> Path:
    return official.write_retrieval(folder, groups_count=5, seed=seed, part=part)


def blink(folder: Path, seed: int, part: str) -> Path:
    return official.write_blink(folder, rows_each=6, seed=seed, split=part)


def blink_json(folder: Path, seed: int, part: str) -> Path:
    return official.write_blink_json(folder, rows=8, seed=seed, part=part)


WRITERS = [
    pytest.param("naturalbench", naturalbench, id="naturalbench"),
    pytest.param("naturalbench-retrieval", retrieval, id="retrieval"),
    pytest.param("blink", blink, id="blink"),
    pytest.param("blink", blink_json, id="blink-json"),
]


def read(name: str, source: Path) -> list[Example]:
    return read_examples(find_benchmark(name), source, "test")


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Example], list[Scene]]:
    """Return the scenes that an example's images show."""
    drawn: dict[bytes, Scene] = {}

    def remember(scene: Scene) -> Image.Image:
        image = draw(scene)
        drawn[image.tobytes()] = scene
        return image

    monkeypatch.setattr(official, "draw", remember)

    def shown(source: Path, example: Example) -> list[Scene]:
        media = MediaFolder(source if source.is_dir() else source.parent)
        return [drawn[decode_image(media.read(name), name).tobytes()] for name in example.media]

    return shown


def right(prompt: str, scenes: list[Scene]) -> str:
    """Answer a prompt by looking at the scenes."""
    kinds: list[tuple[str, str]] = KIND.findall(prompt)
    if "Does this image show" in prompt:
        return "Yes" if kinds[0] in scenes[0].kinds else "No"
    if "Which object is in the image?" in prompt:
        (place,) = [n for n, kind in enumerate(kinds) if kind in scenes[0].kinds]
        return "AB"[place]
    if kinds:
        (place,) = [n for n, scene in enumerate(scenes) if kinds[0] in scene.kinds]
        return "ABC"[place]
    shape = re.search(r"Which image shows a (\w+)\?", prompt)
    assert shape is not None, prompt
    things = [[thing.shape for thing in scene.things] for scene in scenes]
    (place,) = [n for n, there in enumerate(things) if shape[1] in there]
    return "ABC"[place]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_labels_are_true_of_the_images(
    tmp_path: Path, scenes: Callable[[Path, Example], list[Scene]], name: str, write: Write
) -> None:
    source = write(tmp_path, 3, "val" if write is blink else "test")
    examples = read(name, source)
    for example in examples:
        assert str(example.label).strip("()") == right(example.prompt, scenes(source, example))
    assert len(Counter(example.label for example in examples)) > 1


@pytest.mark.parametrize("part", ["train", "test", "curriculum"])
@pytest.mark.parametrize(("name", "write"), [w for w in WRITERS if w.id != "blink"])
def test_only_scenes_of_the_part_are_drawn(
    tmp_path: Path,
    scenes: Callable[[Path, Example], list[Scene]],
    name: str,
    write: Write,
    part: str,
) -> None:
    source = write(tmp_path, 0, part)
    shown = [scene for example in read(name, source) for scene in scenes(source, example)]
    assert {scene.part for scene in shown} == {part}


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_a_seed_and_a_part_make_the_files(tmp_path: Path, name: str, write: Write) -> None:
    def content(seed: int, part: str) -> dict[str, str]:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        write(folder, seed, part)
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*.*")
            if path.is_file()
        }

    part = "val" if write is blink else "test"
    first = content(0, part)
    assert content(0, part) == first
    assert not set(content(1, part).values()) & set(first.values())
    assert not set(content(0, "test" if write is blink else "train").values()) & set(first.values())


@pytest.mark.parametrize("name", ["naturalbench", "naturalbench-retrieval"])
def test_groups_are_two_images_by_two_questions_in_order(tmp_path: Path, name: str) -> None:
    write = naturalbench if name == "naturalbench" else retrieval
    examples = read(name, write(tmp_path, 0, "test"))
    groups = [examples[start : start + 4] for start in range(0, len(examples), 4)]
    assert (
        len({rows[0].group for rows in groups}) == len(groups) == {"naturalbench": 8}.get(name, 5)
    )
    for rows in groups:
        assert len({e.group for e in rows}) == 1
        first, second = [e.media for e in rows[:2]]
        assert [e.media for e in rows] == [first, second, first, second] != [first] * 4
        assert rows[0].prompt == rows[1].prompt != rows[2].prompt == rows[3].prompt
        a, b = ("A", "B") if rows[0].subtask == "multiple_choice" else ("Yes", "No")
        assert [e.label for e in rows] == [a, b, b, a]
    if name == "naturalbench":
        kinds = [rows[0].subtask for rows in groups]
        assert kinds == ["yes_no"] * 4 + ["multiple_choice"] * 4


def test_parquet_files_have_the_official_columns_and_types(tmp_path: Path) -> None:
    image = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    blink(tmp_path, 0, "val")
    schemas = {p.parent.name: pl.read_parquet_schema(p) for p in tmp_path.glob("*/val-*.parquet")}
    assert set(schemas) == set(official.BLINK_TASKS)
    for schema in schemas.values():
        assert {name for name, dtype in schema.items() if dtype == image} == {
            f"image_{n}" for n in range(1, 5)
        }
        others = {"idx", "question", "sub_task", "choices", "answer", "prompt", "explanation"}
        assert others <= set(schema)
        assert schema["choices"] == pl.List(pl.String)
    for path in tmp_path.glob("*/val-*.parquet"):
        for question, prompt in pl.read_parquet(path).select("question", "prompt").iter_rows():
            assert question.endswith("?")
            assert prompt.startswith(f"{question} (A) ")
    frame = pl.read_parquet(naturalbench(tmp_path, 0, "test"))
    assert set(frame.columns) == set(find_benchmark("naturalbench").columns)
    assert frame["Image_1"].dtype == image
    assert frame["Index"].to_list() == list(range(8))


def test_blink_has_one_to_three_images_and_hides_answers_of_its_test_split(tmp_path: Path) -> None:
    blink(tmp_path, 0, "val")
    blink(tmp_path, 0, "test")
    images = {"Which_Image": 2, "Third_Image": 3, "Object_Option": 1}
    shown: dict[str, set[bytes]] = {}
    for split in ("val", "test"):
        examples = read("blink", tmp_path / "*" / f"{split}-*.parquet")
        assert Counter(e.subtask for e in examples) == dict.fromkeys(images, 6)
        assert all(len(e.media) == images[str(e.subtask)] for e in examples)
        assert all(e.id.startswith(f"{split}_{e.subtask}_") for e in examples)
        assert {e.label is None for e in examples} == {split == "test"}
        shown[split] = {MediaFolder(tmp_path).read(name) for e in examples for name in e.media}
    assert not shown["val"] & shown["test"]


def test_the_reference_s_forms_name_files_of_someone_else(tmp_path: Path) -> None:
    path = retrieval(tmp_path, 0, "test")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [n for n in range(1, 6) for _ in range(4)]
    assert all(row["image"].startswith("/somewhere/else/images/") for row in rows)
    assert all(not Path(row["image"]).exists() for row in rows)
    found = json.loads(blink_json(tmp_path, 0, "test").read_text())
    assert len(found) == 8
    for row in found:
        assert row["question"].startswith("<image><image>Which image shows")
        assert (row["image_3"], row["image_4"]) == (None, None)
        assert Image.open(io.BytesIO((tmp_path / row["image_2"]).read_bytes())).format == "PNG"
