import io

import pytest
from clips import encode, plain
from PIL import Image

from savs.datasets.media.media import MediaRules, decode_medium, image_sizes
from savs.datasets.media.videos import images_of


def saved(size, kind, **options):
    file = io.BytesIO()
    Image.new("RGB", size, (9, 99, 200)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_image(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved((120, 40), "JPEG", exif=exif)
    assert image_sizes(data) == [images_of(decode_medium(data, "x.jpg"))[0].size]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP"])
def test_sizes_of_other_formats(kind):
    assert image_sizes(saved((33, 21), kind)) == [(33, 21)]


def test_a_video_has_the_size_of_its_frames_each():
    data = encode("mp4", [plain((200, 30, 30)) for _ in range(6)])
    frames = images_of(decode_medium(data, "x.mp4", MediaRules(video_frames=4)))
    assert image_sizes(data, 4) == [frame.size for frame in frames]


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_cannot_be_read_is_unknown(data):
    assert image_sizes(data) == [(0, 0)]
