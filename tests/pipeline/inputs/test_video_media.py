"""Which media are videos, where names do not tell."""

import pytest
from clips import encode, plain

from savs.datasets import MediaFolder
from savs.pipeline.inputs.source import ENDS, find_video

CLIP = encode("mp4", [plain((9, 9, 9))] * 2)


@pytest.fixture
def put(tmp_path):
    def write(*names, data=CLIP):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return list(names)

    return write


def test_a_name_of_a_video_needs_no_file(tmp_path):
    assert find_video(["a.jpg", "gone/b.MP4"], MediaFolder(tmp_path)) == "gone/b.MP4"


def test_a_name_without_suffix_is_read_and_one_of_an_image_is_not(put, tmp_path):
    folder = MediaFolder(tmp_path)
    images = put("still", data=b"\x89PNG")
    assert find_video(images + put("still.png") + ["gone"], folder) is None
    assert find_video(images + put("clip"), folder) == "clip"


@pytest.mark.parametrize(("place", "seen"), [(0, True), (ENDS, False), (2 * ENDS, True)])
def test_both_ends_of_each_folder_are_read(put, tmp_path, place, seen):
    names = [f"one/{number}" for number in range(2 * ENDS + 1)]
    put(*names, data=b"\x89PNG")
    put(names[place])
    found = find_video(names, MediaFolder(tmp_path))
    assert found == (names[place] if seen else None)
    others = [name for name in names if name != names[place]]
    assert find_video(others + put("two/clip"), MediaFolder(tmp_path)) == "two/clip"
