import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media import decode_image, sha256, thumbnail


@pytest.fixture
def media(tmp_path: Path) -> MediaFolder:
    """A media root with `a.png`, beside a secret and a folder whose name starts alike."""
    root = tmp_path / "media"
    (root / "in").mkdir(parents=True)
    (tmp_path / "media2").mkdir()
    for path in (root / "a.png", tmp_path / "secret.png", tmp_path / "media2" / "b.png"):
        path.write_bytes(path.name.encode())
    return MediaFolder(root)


@pytest.mark.parametrize("name", ["a.png", "./a.png", "in/../a.png", "{root}/a.png"])
def test_names_below_the_root_are_read(media: MediaFolder, name: str) -> None:
    assert media.read(name.format(root=media.root)) == b"a.png"


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "in/../../secret.png", "../media2/b.png", "{root}2/b.png", "/etc/passwd"],
)
def test_names_that_lead_out_of_the_root_are_refused(media: MediaFolder, name: str) -> None:
    name = name.format(root=media.root)
    with pytest.raises(MediaError, match=f"^{re.escape(name)} lies outside the media root"):
        media.read(name)


def test_a_link_in_the_folder_may_lead_anywhere(media: MediaFolder) -> None:
    # a model hub's cache is made of such links: snapshots/<commit>/x.png -> ../../blobs/<digest>
    (media.root / "out.png").symlink_to("../secret.png")
    (media.root / "stay.png").symlink_to("a.png")
    assert media.read("stay.png") == b"a.png"
    assert media.read("out.png") == (media.root.parent / "secret.png").read_bytes()
    with pytest.raises(MediaError, match=r"^in/\.\./\.\./secret\.png lies outside the media root"):
        media.read("in/../../secret.png")


def test_the_root_itself_may_be_a_link(media: MediaFolder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(media.root)
    assert MediaFolder(tmp_path / "link").read("a.png") == b"a.png"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone.png", r"is not in the media root .*media \(--media-root\)$"),
        ("in/gone.png", r"is not in the media root .*media \(--media-root\)$"),
        ("in", "cannot be read: Is a directory$"),
        ("a.png/b.png", "cannot be read: Not a directory$"),
        ("empty.png", r"is empty \(0 bytes\)$"),
    ],
)
def test_what_cannot_be_read_is_named(media: MediaFolder, name: str, problem: str) -> None:
    (media.root / "empty.png").touch()
    with pytest.raises(MediaError, match=f"^{name} {problem}"):
        media.read(name)


@pytest.mark.parametrize("name", ["loop.png", "a\0.png", "\ud800.png"], ids=["loop", "nul", "half"])
def test_names_that_the_system_refuses_are_media_errors(media: MediaFolder, name: str) -> None:
    (media.root / "loop.png").symlink_to("loop.png")
    with pytest.raises(MediaError, match=r"\.png"):
        media.read(name)


def test_media_are_told_apart_by_content() -> None:
    assert sha256(b"a") == hashlib.sha256(b"a").hexdigest() != sha256(b"b")


def noise(kind: str, side: int) -> bytes:
    """An image file that does not compress, and so goes on for long after its header."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (noise("JPEG", 64)[:2000], "cannot be decoded: "),
        (noise("PNG", 64)[:6000], "cannot be decoded: "),
        (noise("PNG", 64)[:20], "cannot be decoded: "),
        (b"some text\n", "is no image of a known format$"),
        (b"", "is no image of a known format$"),
    ],
    ids=["half a JPEG", "half a PNG", "a PNG header", "text", "nothing"],
)
def test_what_is_no_whole_image_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(MediaError, match=rf"^in/x\.png {problem}"):
        decode_image(data, "in/x.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [11, 15], ids=["Pillow would warn", "Pillow would refuse"])
def test_too_many_pixels_look_like_a_bomb(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns above, refuses above 200
    with pytest.raises(MediaError, match=r"^x\.png has .*pixels"):
        decode_image(noise("PNG", side), "x.png")


def test_as_many_pixels_as_allowed_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_image(noise("PNG", 10), "x.png").size == (10, 10)


@pytest.mark.parametrize(
    ("size", "small"), [((100, 50), (32, 16)), ((50, 100), (16, 32)), ((20, 10), (20, 10))]
)
def test_a_thumbnail_is_a_jpeg_that_keeps_the_proportions(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, (200, 30, 30))
    with Image.open(io.BytesIO(thumbnail(image, 32))) as shrunk:
        assert (shrunk.format, shrunk.size) == ("JPEG", small)
        assert shrunk.getpixel((5, 5)) == pytest.approx((200, 30, 30), abs=4)
    assert image.size == size  # the image itself stays as it is
