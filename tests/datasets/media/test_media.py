import re
from pathlib import Path

import polars as pl
import pytest
from clips import encode, plain
from input_folder import exif, saved
from PIL import Image

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media_kinds.catalogue import images_of, outline_of


@pytest.fixture
def media(tmp_path: Path) -> MediaFolder:
    """A media root with `a.png`, next to a secret and a folder whose name starts alike."""
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
    with pytest.raises(MediaError, match=f"^{re.escape(name)} is outside the media root"):
        media.read(name)


def test_a_link_in_the_folder_may_lead_anywhere(media: MediaFolder) -> None:
    # a model hub's cache is made of such links: snapshots/<commit>/x.png -> ../../blobs/<digest>
    (media.root / "out.png").symlink_to("../secret.png")
    (media.root / "stay.png").symlink_to("a.png")
    (media.root.parent / "link").symlink_to(media.root)  # and so may the root
    assert media.read("stay.png") == (media.root / "a.png").read_bytes()
    assert MediaFolder(media.root.parent / "link").read("a.png") == media.read("stay.png")
    assert media.read("out.png") == (media.root.parent / "secret.png").read_bytes()
    with pytest.raises(MediaError, match=r"^in/\.\./\.\./secret\.png is outside the media root"):
        media.read("in/../../secret.png")


def test_a_missing_path_below_the_root_is_not_looked_for_elsewhere(media: MediaFolder) -> None:
    with pytest.raises(MediaError, match="is not in the media root"):
        media.read(f"{media.root}/in/a.png")  # though a.png is there
    with pytest.raises(MediaError, match=r"^\.\./a\.png is outside the media root"):
        media.read("../a.png")


def test_media_are_there_or_not_and_have_a_size(media: MediaFolder) -> None:
    there = ("a.png", "in/../a.png", f"{media.root}/a.png", "/home/you/a.png")
    for name in there:
        assert (media.has(name), media.size(name)) == (True, len(b"a.png"))
    for name in ("b.png", "../secret.png", "/etc/passwd", "a.png/b", "a\0.png", "\ud800.png"):
        assert (media.has(name), media.size(name)) == (False, None)
    assert not media.has("in")  # a folder is no medium


@pytest.mark.parametrize(
    "apart", [False, True], ids=["next to the files", "in a folder of its own"]
)
def test_packed_media_lie_in_their_own_folder_or_in_the_root(
    media: MediaFolder, tmp_path: Path, apart: bool
) -> None:
    folder = tmp_path / "packed" if apart else media.root
    (folder / "s").mkdir(parents=True)
    pl.DataFrame({"x": [b"one", b""]}).write_parquet(folder / "s" / "v.parquet")
    both = MediaFolder(media.root, folder if apart else None)
    assert (both.read("a.png"), both.read("s/v.parquet#0/x")) == (b"a.png", b"one")
    assert (both.has("s/v.parquet#0/x"), both.size("s/v.parquet#0/x")) == (True, 3)
    for name in ("s/v.parquet#1/x", "s/v.parquet#9/x", "v.parquet#0/x", "../v.parquet#0/x"):
        assert both.size(name) is None
        with pytest.raises(MediaError, match=r"v\.parquet"):
            both.read(name)
    assert not both.has("v.parquet#0/x")
    assert MediaFolder(media.root).has("s/v.parquet#0/x") is not apart


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone.png", r"gone\.png is not in the media root .*media \(`media_root`\)$"),
        ("in/gone.png", r"in/gone\.png is not in the media root .*media \(`media_root`\)$"),
        ("in", "in cannot be read: Is a directory$"),
        ("a.png/b.png", r"a\.png/b\.png cannot be read: Not a directory$"),
        ("empty.png", r"empty\.png is empty \(0 bytes\)$"),
        ("loop.png", r"loop\.png cannot be read: Too many levels of symbolic links"),
        ("a\0.png", r"'a\\x00\.png' cannot be read: .*embedded null"),
        ("\ud800.png", r"'\\ud800\.png' cannot be read: .*surrogates not allowed"),
        ("a" * 300 + ".png", r"a{300}\.png cannot be read: File name too long"),
        ("/elsewhere/" + "a" * 300 + ".png", r"/elsewhere/a{300}\.png is outside the media root"),
    ],
    ids=[
        "gone",
        "gone below",
        "folder",
        "no folder",
        "empty",
        "loop",
        "nul",
        "half",
        "long",
        "far",
    ],
)
def test_what_cannot_be_read_is_named(media: MediaFolder, name: str, problem: str) -> None:
    (media.root / "empty.png").touch()
    (media.root / "loop.png").symlink_to("loop.png")
    with pytest.raises(MediaError, match=f"^{problem}"):
        media.read(name)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_of_the_upright_image(orientation):
    data = saved(Image.new("RGB", (120, 40)), "JPEG", exif=exif(orientation))
    assert outline_of(data, MediaRules()).sizes == [images_of(decode_medium(data, "x.jpg"))[0].size]


@pytest.mark.parametrize(
    ("data", "size"),
    [
        *((saved(Image.new("RGB", (33, 21)), k), (33, 21)) for k in ("PNG", "WEBP", "GIF", "BMP")),
        *((data, (0, 0)) for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n")),
    ],
)
def test_sizes_of_other_formats_and_of_what_cannot_be_read(data, size):
    assert outline_of(data, MediaRules()).sizes == [size]


def test_a_video_has_the_size_of_its_frames_each():
    data = encode("mp4", [plain((200, 30, 30)) for _ in range(6)])
    rules = MediaRules(video_frames=4)
    frames = images_of(decode_medium(data, "x.mp4", rules))
    assert outline_of(data, rules).sizes == [frame.size for frame in frames]
