"""Small files that stand for very much are refused before the memory is taken."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from clips import encode, plain
from hostile_files import (
    jpeg_of_scans,
    plain_webp,
    refusal,
    repeated_mp4,
    replayed_mp4,
    tall_png,
)
from input_folder import png, saved
from PIL import Image

from savs.datasets import MediaError
from savs.datasets.media.media import (
    MediaFolder,
    MediaRules,
    decode_medium,
)
from savs.datasets.media_kinds.catalogue import images_of
from savs.datasets.media_kinds.decoders import containers
from savs.datasets.media_kinds.decoders.containers import LEAST_BYTES, NamedBytes, declared_samples
from savs.datasets.media_kinds.decoders.images import decode_image
from savs.datasets.media_kinds.decoders.videos import decode_video
from savs.datasets.media_kinds.decoding import Decoding
from savs.datasets.media_kinds.images import IMAGES

BOMBS = {
    "an MP4 that names few bytes as millions of frames": (
        lambda: repeated_mp4(2_100_000, 1000),
        "x repeats its bytes more than 16 times: save it again",
    ),
    "an MP4 whose edit list shows 1,000 frames 1,000 times": (
        lambda: replayed_mp4(encode("mp4", [plain((40, 0, 0))] * 1000), 1000),
        "x repeats its bytes more than 16 times: save it again",
    ),
    "an MP4 whose edit list shows 100 frames 50,000 times": (
        lambda: replayed_mp4(encode("mp4", [plain((40, 0, 0))] * 100), 50_000),
        "x declares more than 4,194,304 samples: cut it",
    ),
    "an MP4 that declares more than it could hold": (
        lambda: repeated_mp4(100_000_000, 1),
        "x declares more than 4,194,304 samples: cut it",
    ),
    "a lossless WebP of one colour": (
        lambda: plain_webp(16383, 5461),
        "x has 16383 x 5461 pixels, more than 33,554,432: scale it down, or raise"
        " `max_image_pixels`",
    ),
    "a PNG of one pixel a row": (
        lambda: tall_png(80_000_000),
        "x has 1 x 80000000 pixels, more than 65,535 on one side: cut it",
    ),
    "a JPEG that draws its pixels 400 times": (
        lambda: jpeg_of_scans(8000, 400),
        "x draws its 64,000,000 pixels 406 times, more than 33: save it again",
    ),
    "a PPM of 50 MB of comment": (
        lambda: b"P6\n#" + b"x" * 50_000_000 + b"\n1 1\n255\n" + bytes(3),
        "x cannot be decoded: its header has no size within the first 65,536 bytes",
    ),
    "a JPEG 2000 of one colour": (
        lambda: saved(Image.new("RGB", (4100, 4100)), "JPEG2000"),
        "x has 4100 x 4100 pixels, more than 16,777,216: scale it down, or raise"
        " `max_image_pixels`",
    ),
    "a PNG of a little more than the limit": (
        lambda: png(8192, 8193, 0, 8, b"\0"),
        "x has 8192 x 8193 pixels, more than 67,108,864: scale it down, or raise"
        " `max_image_pixels`",
    ),
}


@pytest.mark.costly
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_memory(name: str, tmp_path: Path, record_property) -> None:
    make, reason = BOMBS[name]
    file = tmp_path / "bomb"
    file.write_bytes(make())
    assert file.stat().st_size < 700_000 or file.read_bytes()[:3] == b"P6\n"
    assert refusal("decode_medium(path.read_bytes(), 'x')", file, record_property) == reason


def test_a_jpeg_may_draw_the_most_pixels_a_few_times() -> None:
    data = jpeg_of_scans(64, 40)
    assert decode_image(data, "x").size == (64, 64)
    with pytest.raises(MediaError, match="x draws its 4,096 pixels 46 times, more than 32: save"):
        decode_image(data, "x", max_pixels=4096)


COMMENTS = {"one": b"#" + b"x" * 10**5 + b"\n", "many": b"#\n" * 10**5, "blanks": b" " * 10**5}


@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
@pytest.mark.parametrize(
    ("kind", "fields", "body"),
    [("P6", (b"2", b"1", b"255"), bytes(6)), ("P5", (b"2", b"1", b"255"), bytes(2)),
     ("P4", (b"2", b"1"), bytes(1)), ("P2", (b"2", b"1", b"255"), b"0 0"),
     ("Pf", (b"2", b"1", b"-1.0"), bytes(8))],
)  # fmt: skip
def test_a_header_that_takes_minutes_is_refused_wherever_its_comment_is(
    kind: str, fields: tuple[bytes, ...], body: bytes, comment: bytes
) -> None:
    header = b"\n#short\n".join((kind.encode(), *fields))
    if kind != "Pf":
        assert decode_image(header + b"\n" + body, "x").size == (2, 1)
    for place in range(len(fields)):
        parts = [kind.encode(), *fields]
        parts[place + 1 : place + 1] = [comment]
        with pytest.raises(MediaError, match="x cannot be decoded: its header has no size within"):
            decode_image(b"\n".join(parts) + b"\n" + body, "x")
        assert IMAGES.outline(b"\n".join(parts) + b"\n" + body, Decoding()).sizes == [(0, 0)]


@pytest.mark.thorough
def test_progressive_photographs_are_decoded() -> None:
    image = Image.effect_noise((4000, 3000), 60)
    for options in ({"progressive": True}, {"progressive": True, "quality": 100}):
        assert decode_image(saved(image, "JPEG", **options), "x").size == (4000, 3000)


@pytest.mark.parametrize(("kind", "times"), [("PNG", 1), ("WEBP", 2), ("JPEG2000", 4)])
def test_the_limit_is_the_callers(kind: str, times: int) -> None:
    image = saved(Image.new("RGB", (20, 10)), kind)
    assert decode_image(image, "x", max_pixels=200 * times).size == (20, 10)
    with pytest.raises(MediaError, match=r"^x has 20 x 10 pixels, more than 199: scale it down"):
        decode_image(image, "x", max_pixels=200 * times - 1)


def test_a_higher_limit_opens_what_pillow_alone_would_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # Pillow refuses above 100
    image = saved(Image.new("RGB", (20, 10)), "PNG")
    assert images_of(decode_medium(image, "x", MediaRules(max_pixels=200)))[0].size == (20, 10)


def test_the_frames_of_a_video_are_counted_together() -> None:
    data = encode("mp4", [plain((40 * n, 0, 0)) for n in range(6)])  # 64 x 48 = 3,072 pixels
    assert len(decode_video(data, "x", 4, max_pixels=3_072).frames) == 4  # four times the limit
    with pytest.raises(MediaError, match=r"^x has 5 frames of 64 x 48 pixels, more than 12,288"):
        decode_video(data, "x", 5, max_pixels=3_072)
    with pytest.raises(MediaError, match=r"^x has 64 x 48 pixels, more than 3,071"):
        decode_video(data, "x", 1, max_pixels=3_071)


def test_no_more_packets_are_read_than_a_file_of_this_size_has(monkeypatch) -> None:
    images = [plain((40 * n, 0, 0)) for n in range(6)]
    data, counted = encode("mp4", images * 10, sound=True), []
    count = NamedBytes.count
    monkeypatch.setattr(NamedBytes, "count", lambda *of: counted.append(1) or count(*of))
    decode_video(data, "x")
    assert len(counted) < 100
    monkeypatch.setattr(containers, "MOST_TIMES", 2)
    hostile = replayed_mp4(data, 1_000)
    with pytest.raises(MediaError, match=r"^x repeats its bytes more than 2 times: save it again"):
        decode_video(hostile, "x")
    assert len(counted) < 2 * len(hostile) / LEAST_BYTES


def test_empty_packets_have_an_end() -> None:
    named, empty = NamedBytes(b"x" * 100, "x"), SimpleNamespace(size=0)
    for _ in range(16 * 100 // 4):
        named.count(empty)
    with pytest.raises(MediaError, match="x repeats its bytes"):
        named.count(empty)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_bands_of_rows_are_as_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.effect_noise((37, 23), 90)
    if mode == "I;16":
        image = Image.frombytes("I;16", (37, 23), bytes(range(256)) * 6 + bytes(166))
    else:
        image = Image.merge(mode, [image] * len(mode))
    data = saved(image, "PNG")
    whole = decode_image(data, "x").tobytes()
    monkeypatch.setattr("savs.datasets.media_kinds.decoders.images.BAND_PIXELS", 100)  # two rows
    assert decode_image(data, "x").tobytes() == whole


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.png").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(MediaError, match=r"^x\.png cannot be read: it has more than 2,147,483,648"):
        MediaFolder(tmp_path).read("x.png")


def test_declared_samples_are_those_of_all_tracks_but_of_uncompressed_sound() -> None:
    images = [plain((40 * n, 0, 0)) for n in range(6)]
    assert declared_samples(encode("mp4", images)) == 6
    sounding = declared_samples(encode("mp4", images, sound=True))
    assert 6 + 3 <= sounding <= 6 + 5  # three pieces of sound, and their ends
    data = io.BytesIO()
    with av.open(data, "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 5000), np.int16), "s16", "mono")
        frame.rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert b"stts" in data.getvalue()
    assert declared_samples(data.getvalue()) == 0


def test_the_runs_of_a_live_recording_count() -> None:
    data = io.BytesIO()
    with av.open(data, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as file:
        stream = file.add_stream("mpeg4", rate=10, options={"g": "2"})
        for number in range(6):
            file.mux(stream.encode(av.VideoFrame.from_image(plain((40 * number, 0, 0)))))
        file.mux(stream.encode())
    assert data.getvalue().count(b"trun") > 1
    assert declared_samples(data.getvalue()) == 6
