"""Pictures of a page: which frames of a video are shown, and which map belongs to each."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from clips import PALETTE, encode, plain
from PIL import Image

from savs.datasets.media.media import MediaFolder, sha256
from savs.pipeline.app.answers import Answer
from savs.pipeline.app.frames import render_frame
from savs.pipeline.reports.explain.attention import View
from savs.pipeline.reports.explain.explain import OF_MAPS
from savs.pipeline.reports.pages.pictures import Images, Picture, open_images
from stores import identity, write_store

pytestmark = pytest.mark.thorough


def pictures(folder, frames: int) -> tuple[Picture, ...]:
    """Return the pictures of an image and a video of 24 frames, of which a model read some."""
    (folder / "a.avi").write_bytes(encode("avi", [plain(color) for color in PALETTE[:24]]))
    plain(PALETTE[0]).save(folder / "b.png")
    media = [(folder / name).read_bytes() for name in ("b.png", "a.avi")]
    digests = ",".join(f'"{sha256(data)}"' for data in media)
    row = {"label": "x", "media": '["b.png","a.avi"]', "media_sha256": f"[{digests}]"}
    what = identity()
    what = replace(what, processor=what.processor | {"video": "frames", "video_frames": frames})
    features = {
        grid.layer: np.ones((len(grid.heads), 1, grid.head_dim), "f4") for grid in what.grid
    }
    store = write_store(folder / "s", what, {"train": features}, {"train": [row]})
    images = open_images(store, "train", ["train:0"], folder)
    return images.find("train:0", ["b.png", "a.avi"])


@pytest.mark.parametrize(
    ("frames", "places", "names"),
    [
        # an image and 3 frames are shown whole
        (3, [0, 1, 2, 3], ["", "frame 1 of 3", "frame 2 of 3", "frame 3 of 3"]),
        # every third of 1 + 8
        (8, [0, 3, 6], ["", "frame 3 of 8", "frame 6 of 8"]),
        # every fourth of 1 + 12
        (12, [0, 4, 8, 12], ["", "frame 4 of 12", "frame 8 of 12", "frame 12 of 12"]),
    ],
)
def test_frames_are_those_that_the_model_read_evenly_spaced(
    tmp_path, frames, places, names
) -> None:
    shown = pictures(tmp_path, frames)
    assert [picture.place for picture in shown] == places
    assert [picture.frame for picture in shown] == names


def test_each_picture_has_the_map_of_its_own_image(tmp_path) -> None:
    shown = pictures(tmp_path, 8)
    maps = tuple(np.ones((1, columns), "f4") for columns in range(1, 10))
    view = View("L1.H2", maps, 0.5, (), 0.1, (0.0,), ())
    page = render_frame("attention.html", answer=Answer("a", shown), views=(view,), **OF_MAPS)
    # the image is map 0 with 1 column, frames 3 and 6 are maps 3 and 6: 4 and 7 columns of 64 px
    assert re.findall(r"scale\(([0-9.]+) ", page) == ["64.0000", "16.0000", "9.1429"]


def test_a_box_is_shown_with_its_margin_and_its_outline_if_the_image_is_unchanged(tmp_path) -> None:
    Image.new("RGB", (100, 60), "white").save(tmp_path / "a.png")
    name, box = "a.png#box=[20,10,60,50]", "#box=[20,10,60,50]"
    digest = sha256((tmp_path / "a.png").read_bytes())
    known = {"one": ([digest + box], None), "other": ([digest + "#box=[1,2,3,4]"], None)}
    images = Images(MediaFolder(tmp_path), known)
    (shown,) = images.find("one", [name])
    assert (shown.name, shown.width, shown.height) == (name, 48, 48)  # 40 px and 4 on each side
    pixels = np.asarray(Image.open(io.BytesIO(shown.jpeg)).convert("RGB"), int)
    is_line = pixels[:, :, 1] < 200  # the outline has no green, the image has all of it
    assert is_line[4:44, 4].all()
    assert is_line[43, 4:44].all()
    assert not is_line[:2].any()
    assert not is_line[10:38, 10:38].any()
    images = Images(MediaFolder(tmp_path), known)
    assert images.find("other", [name])[0].jpeg == b""
    assert images.changed == 1


def test_files_of_one_name_in_two_folders_are_two_pictures(tmp_path) -> None:
    media = {}
    for name, size in (("one", (8, 4)), ("other", (4, 8))):
        (tmp_path / name).mkdir()
        Image.new("RGB", size).save(tmp_path / name / "a.png")
        media[name] = MediaFolder(tmp_path / name)
    images = Images(media, {})
    shown = [images.find(name, ["a.png"])[0] for name in media]
    assert [(picture.width, picture.height) for picture in shown] == [(8, 4), (4, 8)]
