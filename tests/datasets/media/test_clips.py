"""Windows that are read one after the other: each file once, in whatever order they come."""

from collections import Counter

import pytest
from clips import PALETTE, encode, nearest, plain

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media import clips as clip_files
from savs.datasets.media.clips import Clips
from savs.datasets.media.media import MediaRules, part_digest, sha256

SPANS = ["0.0..0.8", "0.4..1.2", "0.8..1.6", "1.2..2.0"]


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often each file was read and each video opened."""
    counts: Counter[str] = Counter()
    read, decode = MediaFolder.read, clip_files.decode_windows

    def counted_read(folder, name):
        counts[f"read {name}"] += 1
        return read(folder, name)

    def counted_decode(*arguments):
        counts["decoded"] += 1
        return decode(*arguments)

    monkeypatch.setattr(MediaFolder, "read", counted_read)
    monkeypatch.setattr(clip_files, "decode_windows", counted_decode)
    return counts


@pytest.fixture
def folder(tmp_path) -> MediaFolder:
    video = encode("mp4", [plain(c) for c in PALETTE[:20]], g="4")  # its header has the time
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(video)
    return MediaFolder(tmp_path, rules=MediaRules(video_frames=1))


@pytest.mark.parametrize(
    ("order", "times"),
    [
        ((0, 1, 2, 3), 1),
        ((0, 0, 1, 1, 2), 1),  # rows of several prompts
        ((0, 1, 0, 1), 2),
        ((3, 2, 1), 3),
        ((0, 3), 1),
    ],
)
def test_windows_are_the_same_in_any_order(folder, opened, order, times):
    names = [f"a.mp4@{SPANS[number]}" for number in order]
    clips = Clips.of((folder, name) for name in names)
    found = [clips.read(folder, name) for name in names]
    # the centre of window n is at 0.4 + 0.4 n s, which is frame 4 + 4 n
    assert [nearest(video.frames[0]) for _, video in found] == [4 + 4 * n for n in order]
    whole = sha256((folder.root / "a.mp4").read_bytes())
    assert [digest for digest, _ in found] == [part_digest(whole, name) for name in names]
    assert len({digest for digest, _ in found}) == len(set(order))
    assert opened == {"read a.mp4": 1, "decoded": times}


def test_another_file_or_folder_is_another_video(folder, opened):
    other = MediaFolder(folder.root)
    media = [(folder, f"{name}@0.0..0.8") for name in ("a.mp4", "b.mp4")]
    media.append((other, "b.mp4@0.0..0.8"))
    clips = Clips.of(media)
    digests = [clips.read(*one)[0] for one in media]
    assert len(set(digests)) == 1  # they have the same bytes
    assert opened == {"read a.mp4": 1, "read b.mp4": 2, "decoded": 3}


def test_a_missing_file_and_windows_after_the_end_are_refused_one_by_one(folder):
    names = [f"a.mp4@{part}" for part in ("0.0..0.8", "7.0..8.0", "8.0..9.0", "0.8..1.6")]
    names.append("c.mp4@0.0..1.0")
    clips, reasons = Clips.of((folder, name) for name in names), []
    for name in names:
        try:
            clips.read(folder, name)
            reasons.append("")
        except MediaError as error:
            reasons.append(str(error))
    assert reasons[0] == reasons[3] == ""
    for name, reason in zip(names[1:3], reasons[1:3], strict=True):
        assert reason.startswith(f"{name} is no window of the video, which lasts 2.000 s")
    assert reasons[4].startswith("c.mp4 is not in the media root")
