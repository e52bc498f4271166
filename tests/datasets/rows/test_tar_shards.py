"""Tar shards: rows of members that share a key, media read where they lie, hostile archives."""

import io
import json
import os
import random
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from huggingface_hub.utils import filter_repo_objects

from savs.datasets import MediaError, MediaFolder, RowError, SourceError, find_files, read_examples
from savs.datasets.benchmarks.general import general
from savs.datasets.row import PackedMedium
from savs.datasets.rows.file_formats import read_rows
from savs.datasets.rows.packed_media import read_packed
from savs.datasets.rows.tar_shards import MAX_HEADER_BYTES, read_shard


def shard(path: Path, members: list[tuple[str, bytes]], **options) -> Path:
    """Write a tar file; options are those of `tarfile.open`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, options.pop("mode", "w"), **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


PAIRS = [("s0.jpg", b"first"), ("s0.cls", b"1"), ("s1.webp", b"second"), ("s1.cls", b"0\n")]


def values(path: Path) -> list[dict]:
    return [dict(row.values) for row in read_rows(path)]


def test_members_of_a_key_are_a_row_and_media_stay_inside(tmp_path):
    path = shard(tmp_path / "0.tar", PAIRS)
    first, second = read_rows(path)
    assert (first.id, first.where) == ("0:0", f"{path} sample 's0'")
    medium = PackedMedium("0.tar#0/s0.jpg")
    assert dict(first.values) == {
        "image": medium,
        "jpg": medium,
        "cls": "1",
        "label": "1",
        "__key__": "s0",
    }
    assert second.values["label"] == "0"
    folder = MediaFolder(tmp_path)
    assert folder.read("0.tar#0/s0.jpg") == b"first"
    assert folder.read("0.tar#1/s1.webp") == b"second"
    assert folder.has("0.tar#1/s1.webp")
    assert folder.size("0.tar#0/s0.jpg") == 5


def test_other_members_are_fields_or_left_out(tmp_path):
    facts = json.dumps({"question": "which?", "label": "other", "image": "not here.jpg"})
    path = shard(
        tmp_path / "a.tar",
        [
            *[("./d/k.json", facts.encode()), ("./d/k.left.png", b"l"), ("./d/k.right.PNG", b"r")],
            *[("./d/k.txt", "ä\n".encode()), ("./d/k.npy", b"\x93NUMPY"), ("./d/k.pyd", b"\x80")],
            *[("README", b"no point"), ("._k2.jpg", b"of a file system"), ("d/k.cls", b"3")],
        ],
    )
    first, second = values(path)
    images = [PackedMedium("a.tar#0/k.left.png"), PackedMedium("a.tar#0/k.right.PNG")]
    assert first == {
        "question": "which?",
        "label": "other",
        "image": "not here.jpg",
        "left.png": images[0],
        "right.png": images[1],
        "images": images,
        "txt": "ä",
        "__key__": "./d/k",
    }
    assert second == {"cls": "3", "label": "3", "__key__": "d/k"}  # another key: it begins anew


def test_members_win_over_fields_of_their_name(tmp_path):
    facts = json.dumps({"image": "of the crawl.jpg", "label": "7", "cls": "8", "__key__": "k"})
    path = shard(tmp_path / "0.tar", [("s0.json", facts.encode()), *PAIRS[:2]])
    medium = PackedMedium("0.tar#0/s0.jpg")
    expected = {"image": medium, "jpg": medium, "cls": "1", "label": "1", "__key__": "s0"}
    assert values(path) == [expected]


@pytest.mark.parametrize("place", ["test/classnames.txt", "classnames.txt"])
def test_numbers_are_named_by_the_file_of_classes(tmp_path, place):
    shard(tmp_path / "test" / "0.tar", PAIRS)
    (tmp_path / place).write_text("cat\nhot dog\n")
    (tmp_path / "test" / "nshards.txt").write_text("1")
    found = read_examples(general(question="?"), tmp_path / "test", "test")
    assert [(e.id, e.label, e.media) for e in found] == [
        ("0:0", "hot dog", ("0.tar#0/s0.jpg",)),
        ("0:1", "cat", ("0.tar#1/s1.webp",)),
    ]


@pytest.mark.parametrize(
    ("names", "number"), [("cat\n", "1"), ("cat\n\ndog\n", "1"), ("cat\ndog\n", "x")]
)
def test_a_number_without_a_class_is_an_error(tmp_path, names, number):
    path = shard(tmp_path / "0.tar", [("s.jpg", b"j"), ("s.cls", number.encode())])
    (tmp_path / "classnames.txt").write_text(names)
    with pytest.raises(RowError, match=rf"sample 's': cls is '{number}', expected a number of one"):
        read_rows(path)


def test_a_folder_of_shards_is_read_whole(tmp_path):
    for number in range(3):
        shard(tmp_path / f"{number}.tar", [(f"k{number}.jpg", b"x"), (f"k{number}.cls", b"0")])
    assert [row.id for row in read_rows(tmp_path)] == ["0:0", "1:0", "2:0"]
    (tmp_path / "nshards.txt").write_text("4\n")
    with pytest.raises(SourceError, match=r"has 3 tar files, expected '4' as nshards.txt says"):
        find_files(tmp_path)
    assert len(find_files(f"{tmp_path}/*.tar").paths) == 3


def test_of_the_hub_the_names_of_the_classes_are_fetched_too(tmp_path, monkeypatch):
    def snapshot_download(repo_id, *, allow_patterns, **_):
        assert repo_id == "clip-benchmark/wds_x"
        there = ["test/0.tar", "test/1.tar", "train/0.tar", "classnames.txt", "README.md"]
        for name in filter_repo_objects(there, allow_patterns=allow_patterns):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("cat\n") if path.suffix == ".txt" else shard(path, PAIRS[2:])
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = read_rows("hf://clip-benchmark/wds_x/test/*.tar")
    assert [row.values["label"] for row in found] == ["cat", "cat"]
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_read(tmp_path, form):
    name = f"{'folder/' * 30}{'k' * 120}.jpg"
    path = shard(tmp_path / "0.tar", [(name, b"x"), ("é.jpg", b"y")], format=form)
    assert [sample.key for sample in read_shard(path)] == [name.removesuffix(".jpg"), "é"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name, its_kind in (("d", tarfile.DIRTYPE), ("a.jpg", kind)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = its_kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(SourceError, match=r"'a.jpg' is a link, a device or sparse"):
        read_rows(tmp_path / "0.tar")


def test_archives_that_are_no_shards_are_refused(tmp_path):
    whole = shard(tmp_path / "0.tar", [("a.jpg", b"x" * 5000), ("a.cls", b"1")]).read_bytes()
    cases = {
        "compressed": shard(tmp_path / "z.tar", PAIRS, mode="w:gz").read_bytes(),
        "text": b"not a tar file at all\n" * 100,
        "empty": b"",
        "within": whole[:3000],
        "twice": shard(tmp_path / "t.tar", [("a.jpg", b"1"), ("a.jpg", b"2")]).read_bytes(),
    }
    for name, data in cases.items():
        path = tmp_path / f"{name}.tar"
        path.write_bytes(data)
        with pytest.raises(SourceError, match="cannot be read as a tar file"):
            read_rows(path)
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(SourceError, match="it is not a regular file"):
        read_rows(tmp_path / "pipe.tar")
    with pytest.raises(SourceError, match="holds no rows"):
        read_rows(shard(tmp_path / "none.tar", []))


def test_a_shard_that_lost_its_end_or_a_header_is_refused_not_shortened(tmp_path):
    pairs = [(f"{number}.cls", b"1") for number in range(9)]  # a header and a block each
    whole = bytearray(shard(tmp_path / "0.tar", pairs).read_bytes())
    assert len(read_rows(tmp_path / "0.tar")) == 9
    flipped = whole.copy()
    flipped[4 * 1024 + 150] ^= 1  # within the checksum of the fifth header
    behind_a_member, in_a_header = whole[: 4 * 1024], whole[: 4 * 1024 + 300]
    for data in (flipped, behind_a_member, in_a_header):
        (tmp_path / "0.tar").write_bytes(data)
        with pytest.raises(SourceError, match="it is damaged, or ends, at byte 4,096"):
            read_rows(tmp_path / "0.tar")


def test_sizes_that_lead_back_or_beyond_are_refused(tmp_path):
    head = bytearray(shard(tmp_path / "0.tar", [("a.jpg", b"x")]).read_bytes())
    for size in (b"\xff" + (2**88 - 4096).to_bytes(11, "big"), b"77777777777\0"):
        head[124:136] = size
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head[:512])
        (tmp_path / "0.tar").write_bytes(head)
        with pytest.raises(SourceError, match="cannot be read as a tar file"):
            read_shard(tmp_path / "0.tar")


def test_an_extended_header_that_declares_much_is_not_read(tmp_path):
    path = shard(tmp_path / "0.tar", [("a.jpg", b"x")])
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"comment": "x" * MAX_HEADER_BYTES}
        tar.addfile(info)
    with pytest.raises(SourceError, match=r"a header has .* bytes, more than"):
        read_shard(path)


def test_what_is_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("savs.datasets.rows.packed_media.MAX_PACKED_BYTES", 3)
    path = shard(tmp_path / "0.tar", [("a.jpg", b"xxxx"), ("a.txt", b"long text")])
    with pytest.raises(MediaError, match="it has more than 3 bytes"):
        read_packed(path, "0.tar#0/a.jpg")
    monkeypatch.setattr("savs.datasets.rows.tar_shards.MAX_ROW_BYTES", 5)
    with pytest.raises(RowError, match=r"sample 'a': a.txt has more than 5 bytes"):
        read_rows(path)
    monkeypatch.setattr("savs.datasets.rows.tar_shards.MAX_MEMBERS", 1)
    with pytest.raises(SourceError, match="more than 1 members"):
        read_shard(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.cls", b"\xff\xfe", "is not UTF-8"),
        ("a.json", b'{"x": NaN}', "is not JSON"),
        ("b.json", b"[1]", "holds a list, expected an object"),
    ],
)
def test_bad_texts_name_their_member(tmp_path, name, data, message):
    with pytest.raises(RowError, match=f"{name} {message}"):
        read_rows(shard(tmp_path / "0.tar", [(name, data)]))


def test_damaged_bytes_give_rows_or_one_error(tmp_path):
    whole = shard(tmp_path / "0.tar", PAIRS).read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(2048)] = rng.randrange(256)
        path = tmp_path / "damaged.tar"
        path.write_bytes(data)
        with suppress(SourceError, RowError):
            assert len(read_rows(path)) <= 4


@pytest.mark.parametrize("names", [("a\udcff.jpg", "a\udcff.cls"), ("a.jpg", "a.\udcff.jpg")])
def test_a_name_that_is_not_utf8_is_that_of_the_archive(tmp_path, names) -> None:
    members = [(name, b"1") for name in names]
    path = shard(tmp_path / "0.tar", [*PAIRS, *members], errors="surrogateescape", format=1)
    with pytest.raises(
        RowError, match=r"0\.tar sample 'a.*': its name is not UTF-8; rename its mem"
    ):
        read_rows(path)
