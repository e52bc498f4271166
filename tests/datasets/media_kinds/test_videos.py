import io
import struct

import av
import pytest
from clips import CODECS, PALETTE, encode, nearest, plain, sound_only

from savs.datasets import MediaError
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media_kinds.catalogue import images_of
from savs.datasets.media_kinds.decoders import videos as video_files
from savs.datasets.media_kinds.decoders.containers import container_of, missing_bytes
from savs.datasets.media_kinds.decoders.videos import (
    Video,
    decode_video,
    decode_windows,
    duration_ms,
    pick,
)
from savs.datasets.parts import Window


def clip(suffix: str, count: int, **options: str) -> bytes:
    """A clip whose frames are the palette's colours, in order."""
    return encode(suffix, [plain(color) for color in PALETTE[:count]], **options)


@pytest.mark.parametrize(
    ("starts", "end", "parts", "picked"),
    [
        # centres of 4 parts of 8: 1, 3, 5, 7
        (range(8), 8, 4, [1, 3, 5, 7]),
        # centres of 3 parts of 10: 1.67, 5, 8.33
        (range(10), 10, 3, [1, 5, 8]),
        # the clip begins at 100: centres of 2 parts of 10 are 102.5 and 107.5
        (range(100, 110), 110, 2, [2, 7]),
        # frames 0 and 1 last 1, frame 2 lasts 10: centres of 2 parts of 12 are 3 and 9
        ([0, 1, 2], 12, 2, [2]),
        # the first lasts 9 of 12: centres of 3 parts are 2, 6, 10
        ([0, 9, 10, 11], 12, 3, [0, 2]),
        (range(5), 5, 5, [0, 1, 2, 3, 4]),
        (range(3), 3, 8, [0, 1, 2]),
        ([0, 1, 100], 101, 3, [0, 1, 2]),
        ([7], 8, 1, [0]),
        (range(7), 7, 1, [3]),
    ],
)
def test_frames_are_those_shown_at_the_centres_of_equal_parts(starts, end, parts, picked) -> None:
    assert pick(list(starts), end, parts) == picked


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize(
    ("count", "frames", "numbers"),
    [
        (24, 8, [1, 4, 7, 10, 13, 16, 19, 22]),  # centres 1.5, 4.5, ... of parts of 3 frames
        (27, 2, [6, 20]),  # 6.75 and 20.25
        (5, 8, [0, 1, 2, 3, 4]),
        (1, 8, [0]),
    ],
)
def test_the_frames_of_a_clip_have_the_colours_of_their_times(
    suffix: str, count: int, frames: int, numbers: list[int]
) -> None:
    video = decode_video(clip(suffix, count), "x", frames)
    assert [nearest(image) for image in video.frames] == numbers
    assert {(image.mode, image.size) for image in video.frames} == {("RGB", (64, 48))}
    # ten frames a second; Matroska rounds its times to milliseconds
    assert video.times_s == pytest.approx([number / 10 for number in numbers], abs=1e-3)
    assert video.duration_s == pytest.approx(count / 10, abs=2e-3)


def test_messages_of_ffmpeg_are_off_however_torchvision_set_them():
    av.logging.set_level(av.logging.ERROR)
    decode_video(clip("mp4", 5), "x", 2)
    assert av.logging.get_level() is None


@pytest.mark.parametrize("seeks", [True, False], ids=["sought", "decoded from the start"])
@pytest.mark.parametrize("options", [{"g": "4", "bf": "0"}, {"g": "5", "bf": "2"}, {"g": "100"}])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_key_frames_change_nothing(
    suffix: str, options: dict[str, str], seeks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not seeks:
        monkeypatch.setattr(video_files, "_by_seeking", lambda *_: iter(()))
    images = decode_video(clip(suffix, 27, **options), "x", 5).frames
    assert [nearest(image) for image in images] == [2, 8, 13, 18, 24]  # 2.7, 8.1, 13.5, 18.9, 24.3


def test_a_long_clip_is_not_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode("mp4", [plain(PALETTE[n // 20]) for n in range(400)], g="10", bf="0", sound=True)
    decoded = []
    to_rgb = video_files._to_rgb
    monkeypatch.setattr(
        video_files, "_in_order", lambda *_: pytest.fail("it is decoded from the start on")
    )
    monkeypatch.setattr(
        video_files, "_to_rgb", lambda frame, clip: decoded.append(frame.pts) or to_rgb(frame, clip)
    )
    images = decode_video(data, "x", 4).frames
    assert [nearest(image) for image in images] == [2, 7, 12, 17]  # frames 50, 150, 250, 350
    assert len(decoded) == 4


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_time_counts_and_not_the_number_of_frames(suffix: str) -> None:
    # frames 0 to 5 are shown for a tenth of a second each, frame 6 from 0.6 s to 5.4 s, frame 7
    # and 8 from then on; the last one lasts a tenth, so that the clip has 5.6 s: parts of 1.4 s
    times = [0, 1, 2, 3, 4, 5, 6, 54, 55]
    data = encode(suffix, [plain(color) for color in PALETTE[:9]], times)
    assert [nearest(image) for image in decode_video(data, "x", 4).frames] == [6]
    assert [nearest(image) for image in decode_video(data, "x", 9).frames] == list(range(9))
    # 8 parts of 0.7 s: centres 0.35 (frame 3), 1.05 ... 5.25: frame 6 once
    video = decode_video(data, "x", 8)
    assert [nearest(image) for image in video.frames] == [3, 6]
    assert video.times_s == pytest.approx((0.3, 0.6))
    assert video.duration_s == pytest.approx(5.6)
    # times count from the first frame of the file
    late = encode(suffix, [plain(color) for color in PALETTE[:4]], [30, 31, 33, 36])
    assert decode_video(late, "x", 4).times_s == pytest.approx((0, 0.1, 0.3, 0.6))
    assert decode_video(late, "x", 4).duration_s == pytest.approx(0.7)
    assert duration_ms(late, "x") == pytest.approx(700, abs=2)
    with pytest.raises(MediaError, match=r"the video, which lasts 0\.700 s"):
        decode_video(late, "x", 4, window=Window(800, 900))


def turned(data: bytes, matrix: tuple[int, ...]) -> bytes:
    """An MP4 whose track header says how its pictures are turned (ISO/IEC 14496-12, 8.3.2)."""
    track = data.index(b"tkhd")
    place = track + 4 + 4 + 20 + 16  # name, version and flags, times and ids, layer to volume
    assert struct.unpack(">9i", data[place : place + 36])[0] == 0x10000
    return data[:place] + struct.pack(">9i", *matrix) + data[place + 36 :]


ONE, LAST = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("matrix", "size", "corner"),
    [
        # (x, y) -> (x a + y c, x b + y d), written a b u, c d v, x y w
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, LAST), (64, 48), (0.1, 0.1)),
        ((0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0, LAST), (48, 64), (0.9, 0.1)),  # clockwise
        ((0, -ONE, 0, ONE, 0, 0, 0, 64 * ONE, LAST), (48, 64), (0.1, 0.9)),
        ((-ONE, 0, 0, 0, -ONE, 0, 64 * ONE, 48 * ONE, LAST), (64, 48), (0.9, 0.9)),
    ],
    ids=["upright", "clockwise", "counterclockwise", "upside down"],
)
def test_a_clip_of_a_turned_phone_is_upright(
    matrix: tuple[int, ...], size: tuple[int, int], corner: tuple[float, float]
) -> None:
    image = plain(PALETTE[0])
    image.paste(PALETTE[26], (0, 0, 24, 24))  # the first row and column that are stored
    data = turned(encode("mp4", [image] * 3), matrix)
    for seen in decode_video(data, "x", 2).frames:
        assert seen.size == size
        corners = [(x, y) for x in (0.1, 0.9) for y in (0.1, 0.9)]
        assert [at for at in corners if nearest(seen, at) == 26] == [corner]


def trimmed(data: bytes, start_s: float, length_s: float) -> bytes:
    """An MP4 whose edit list shows a part of it, as phones trim (ISO/IEC 14496-12, 8.6.6)."""
    entry = data.index(b"elst") + 4 + 4 + 4  # name, version and flags, number of entries
    with av.open(io.BytesIO(data)) as container:
        ticks = 1 / container.streams.video[0].time_base
    part = struct.pack(">Ii", round(1000 * length_s), round(start_s * ticks))
    return data[:entry] + part + data[entry + 8 :]


@pytest.mark.parametrize(
    ("start_s", "length_s", "numbers"),
    [
        (0, 0.9, [1, 4, 7]),  # 9 frames in 3 parts
        (0.9, 0.9, [10, 13, 16]),
        (1.0, 0.6, [11, 13, 15]),  # begins after the key frame 9
    ],
)
def test_a_trimmed_clip_is_whole(start_s: float, length_s: float, numbers: list[int]) -> None:
    data = trimmed(clip("mp4", 27, g="9", bf="0"), start_s, length_s)
    assert [nearest(image) for image in decode_video(data, "x", 3).frames] == numbers
    assert duration_ms(data, "x") == pytest.approx(1000 * length_s, abs=2)


@pytest.mark.parametrize("suffix", CODECS)
def test_what_a_file_holds_counts_and_not_its_name(suffix: str) -> None:
    data = clip(suffix, 3)
    (video,) = decode_medium(data, "x.png", MediaRules(video_frames=8))
    assert isinstance(video, Video)
    assert [nearest(image) for image in video.frames] == [0, 1, 2]
    picture = io.BytesIO()
    plain(PALETTE[5]).save(picture, "PNG")
    (image,) = decode_medium(picture.getvalue(), f"x.{suffix}")
    assert nearest(image) == 5


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_clip_is_named(suffix: str, share: float) -> None:
    data = clip(suffix, 20)
    short = data[: int(share * len(data))]
    assert missing_bytes(data) == 0
    with pytest.raises(MediaError, match=r"^x is truncated: [\d,]+ bytes are missing at its end$"):
        decode_video(short, "x", 8)


def without_frames() -> bytes:
    """A Matroska file that ends after the header of its track."""
    data = clip("mkv", 1)
    cluster = data.index(b"\x1f\x43\xb6\x75")
    segment = data.index(b"\x18\x53\x80\x67") + 4
    assert data[segment] == 0x01  # a size of eight bytes follows
    size = (cluster - segment - 8).to_bytes(7)
    return data[: segment + 1] + size + data[segment + 8 : cluster]


def damaged(suffix: str) -> bytes:
    data = bytearray(clip(suffix, 20, g="5"))
    for place in range(len(data) // 4, 3 * len(data) // 4, 3):
        data[place] ^= 0x5A
    return bytes(data)


def without_pictures(suffix: str) -> bytes:
    """A file whose boxes are whole, with other bytes in place of all frames."""
    data = clip(suffix, 20)
    start = data.index(b"mdat") + 4
    size = int.from_bytes(data[start - 8 : start - 4]) - 8
    return data[:start] + b"\xff" * size + data[start + size :]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (sound_only(), "has no pictures: it has only sound, or is empty"),
        (without_frames(), "has no frame|cannot be decoded"),
        (damaged("mp4"), "is truncated"),  # a size is damaged too
        (damaged("mkv"), r"is damaged: [\d.]+ of 2\.0 s are present"),
        (damaged("webm"), r"cannot be decoded as a video|is damaged: [\d.]+ of 2\.0 s"),
        (damaged("mov"), "is truncated"),
        (damaged("avi"), r"is damaged: \d+ of 20 frames are present"),
        (without_pictures("mp4"), "cannot be decoded as a video"),
        (without_pictures("mov"), "cannot be decoded as a video|a frame cannot be decoded whole"),
        (b"\x1a\x45\xdf\xa3" + b"no more" * 30, "cannot be decoded as a video|truncated"),
        (b"RIFF\x10\0\0\0AVI LIST\0\0\0\0no more" * 3, "has no pictures"),
        (b"\0\0\0\x10ftypisom" + b"\0" * 4, "cannot be decoded as a video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is not a video of a known format"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is not a video of a known format"),
        (b"some text", r"is not a video of a known format \(MP4, MOV, Matroska, WebM, AVI\)"),
    ],
)
def test_what_is_no_whole_clip_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(MediaError, match=f"^x.mp4 .*({problem})"):
        decode_medium(data, "x.mp4", MediaRules(video_frames=8))


def test_without_av_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    data = clip("mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MediaError, match=r"^x is a video, .* pip install av$"):
        decode_video(data, "x")


MP4, MKV = b"\0\0\0\x0cftyp1234", b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67"


@pytest.mark.parametrize(
    ("data", "kind", "missing"),
    [
        (b"\0\0\0\x20ftypisom", "mp4", 20),
        (b"\0\0\0\x20ftypqt  ", "mp4", 20),
        (b"\0\0\0\x08wide\0\0\0\0", "mp4", 0),
        (b"\0\0\0\x20ftypavif", None, 0),
        (b"\0\0\0\x20ftypheic", None, 0),
        (b"RIFF\0\0\0\0WEBPVP8 ", None, 0),
        (b"\x89PNG\r\n\x1a\n", None, 0),
        (b"", None, 0),
        # boxes of 12 and 20 bytes; 64-bit size of 24; size 0 goes to the end of the file
        (MP4 + b"\0\0\0\x14mdat" + b"." * 12, "mp4", 0),
        (MP4 + b"\0\0\0\x14mdat" + b"." * 5, "mp4", 7),
        (MP4 + b"\0\0\0\x01mdat" + (24).to_bytes(8) + b"." * 8, "mp4", 0),
        (MP4 + b"\0\0\0\x01mdat" + (24).to_bytes(8) + b"." * 3, "mp4", 5),
        (MP4 + b"\0\0\0\0mdat" + b"." * 3, "mp4", 0),
        # RIFF: 8 bytes and those that are declared
        (b"RIFF\x0a\0\0\0AVI 123456", "avi", 0),
        (b"RIFF\x0a\0\0\0AVI 1234", "avi", 2),
        # EBML header of 2 bytes, segment of 5; then a segment of unknown size
        (MKV + b"\x8512345", "matroska", 0),
        (MKV + b"\x8512", "matroska", 3),
        (MKV + b"\x40\x0512", "matroska", 3),
        (MKV + b"\xff12", "matroska", 0),
        (MKV + b"\x01" + b"\xff" * 7, "matroska", 0),
    ],
)
def test_a_container_is_told_by_its_first_bytes_and_what_it_lacks_counted(
    data: bytes, kind: str | None, missing: int
) -> None:
    assert container_of(data) == kind
    if kind is not None:
        assert missing_bytes(data) == missing


@pytest.mark.parametrize("seeks", [True, False], ids=["sought", "decoded from the start"])
@pytest.mark.parametrize("suffix", CODECS)
def test_windows_have_the_frames_of_their_times(
    suffix: str, seeks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not seeks:
        monkeypatch.setattr(video_files, "_by_seeking", lambda *_: iter(()))
    # ten frames a second; centres of the halves of 0.4 .. 1.2 are 0.6 and 1.0, of 0.8 .. 1.6
    # 1.0 and 1.4; in 0.95 .. 1.1 are frames 9 and 10; 2.25 .. 9 ends with the clip at 2.7: frames
    # 22 to 26, centres 2.36 and 2.59
    spans = [(400, 1200), (800, 1600), (900, 1000), (950, 1100), (2250, 9000)]
    windows = [Window(*span) for span in spans]
    videos = list(decode_windows(clip(suffix, 27, g="6"), "x", windows, 2))
    numbers = [[nearest(image) for image in video.frames] for video in videos]
    assert numbers == [[6, 10], [10, 14], [9], [9, 10], [23, 25]]
    durations = [video.duration_s for video in videos]
    assert durations == pytest.approx([0.8, 0.8, 0.1, 0.15, 0.45], abs=2e-3)
    # times count from the start of a window, where a frame is seen that began before it
    assert videos[1].times_s == pytest.approx((0.2, 0.6), abs=1e-3)
    assert videos[3].times_s == pytest.approx((0, 0.05), abs=1e-3)
    assert min(videos[3].times_s) >= 0
    assert videos[4].times_s == pytest.approx((0.05, 0.25), abs=1e-3)


def test_windows_are_decoded_once_in_order_and_no_further_than_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = clip("mp4", 27, g="3", bf="0")
    decoded: list[int] = []
    to_rgb = video_files._to_rgb
    monkeypatch.setattr(
        video_files,
        "_to_rgb",
        lambda frame, clip: decoded.append(round(10 * frame.time)) or to_rgb(frame, clip),
    )
    windows = [Window(start, start + 800) for start in range(0, 1900, 200)]
    videos = decode_windows(data, "x", windows, 8)
    assert len(next(videos).frames) == 8
    assert decoded == [0, 1, 2, 3, 4, 5, 6, 7]  # nothing of the second window yet
    assert [nearest(image) for image in next(videos).frames] == list(range(2, 10))
    assert decoded == list(range(10))
    assert len(list(videos)) == 8
    assert decoded == list(range(26))


@pytest.mark.parametrize("window", [Window(2700, 3000), Window(500, 500), Window(500, 400)])
def test_a_window_without_frames_is_refused_after_those_before_it(window: Window) -> None:
    videos = decode_windows(clip("mp4", 27), "x", [Window(0, 100), window, Window(800, 900)], 2)
    assert [nearest(image) for image in next(videos).frames] == [0]
    message = f"^x@{window} is no window of the video, which lasts 2.700 s"
    with pytest.raises(MediaError, match=message):
        next(videos)


@pytest.mark.parametrize("suffix", CODECS)
def test_the_duration_is_that_of_the_frames(suffix: str) -> None:
    assert duration_ms(clip(suffix, 27), "x") == pytest.approx(2700, abs=2)


def test_a_name_says_which_window_is_decoded() -> None:
    data = clip("mp4", 27)
    for video, kind in (("frames", "Image"), ("native", "Video")):
        rules = MediaRules(video_frames=1, video=video)
        (shown,) = decode_medium(data, "x.mp4@1.0..1.5", rules)
        assert type(shown).__name__ == kind
        assert [nearest(image) for image in images_of([shown])] == [12]
    for content, column, video, message in [
        (data, "image", "with-sound", "is a window, which has no sound"),
        (data, "audio", "native", "x.mp4 is not read as a video"),
        (b"no video", "image", "native", "x.mp4 is not read as a video"),
    ]:
        with pytest.raises(MediaError, match=message):
            decode_medium(content, "x.mp4@1.0..1.5", MediaRules(video=video), column)
