import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import official_files as official
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
