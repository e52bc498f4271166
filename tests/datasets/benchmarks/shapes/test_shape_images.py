from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.datasets import Example, MediaFolder, read_examples
from savs.datasets.benchmarks.shapes import SHAPES, ShapesFiles, write_shapes
from savs.datasets.media.images import decode_image

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ShapesFiles:
    folder = tmp_path_factory.mktemp("shapes")
    return write_shapes(folder, seed=0, train_per_class=2, test_units=4)


def examples(files: ShapesFiles) -> list[Example]:
    splits = ((files.train, "train"), (files.test, "test"))
    return [example for path, split in splits for example in read_examples(SHAPES, path, split)]


def names(files: ShapesFiles) -> list[str]:
    return sorted({name for example in examples(files) for name in example.media})


def decoded(files: ShapesFiles, name: str) -> np.ndarray:
    image = decode_image(MediaFolder(files.root).read(name), name)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def test_only_images_without_colour_decode_to_grey(files: ShapesFiles) -> None:
    for example in examples(files):
        for name in example.media:
            spread = np.ptp(decoded(files, name), axis=2).max()
            # green is nearest to grey: 160 - 40, less 28 of jitter, and some that JPEG blurs
            assert spread == 0 if example.subtask == "grey-shape" else spread > 50, name


def test_images_come_in_several_formats_and_sizes(files: ShapesFiles) -> None:
    formats, sizes = set(), Counter()
    for name in names(files):
        with Image.open(files.root / name) as image:
            formats.add((Path(name).suffix, image.format, image.mode))
            sizes[image.size] += 1
            if image.mode == "RGBA":
                alpha = np.asarray(image)[..., 3]
                assert not alpha[:3, :3].any()
                assert (alpha == 0).sum() == 9
    assert formats == {
        (".jpg", "JPEG", "RGB"),
        (".jpg", "JPEG", "L"),
        (".png", "PNG", "RGB"),
        (".png", "PNG", "RGBA"),
        (".png", "PNG", "L"),
    }
    assert set(sizes) == {(112, 112), (140, 84), (84, 140)}
    # 6 in 10 units are square, and there are over 300
    assert 0.5 < sizes[112, 112] / sizes.total() < 0.7


def test_a_transparent_corner_is_read_as_white(files: ShapesFiles) -> None:
    for name in names(files):
        with Image.open(files.root / name) as image:
            clear = image.mode == "RGBA"
        if clear:
            assert (decoded(files, name)[:3, :3] == 255).all()


def test_the_image_of_a_question_for_a_colour_has_that_colour(files: ShapesFiles) -> None:
    rgb = {"red": (215, 40, 40), "green": (40, 160, 60), "blue": (45, 80, 215)}
    rgb |= {"yellow": (235, 210, 45), "purple": (150, 60, 180), "cyan": (50, 200, 215)}
    for example in examples(files):
        if example.subtask == "color":
            pixels = decoded(files, example.media[0])
            off = np.abs(pixels - rgb[example.label]).max(axis=2)
            # the smallest thing is a star of radius 9.5: over 100 pixels, some lost to JPEG's blur
            assert (off <= 14 + 16).sum() > 70, example
