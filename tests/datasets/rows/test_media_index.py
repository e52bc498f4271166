"""Indexes of files with media: each file is passed once, and memory has a limit."""

import base64
import io
import json
import tarfile
from array import array

import pytest

from savs.datasets.errors import MediaError
from savs.datasets.rows import packed_media as media_index
from savs.datasets.rows.packed_media import IndexCache, read_packed

FILES, ROWS = 12, 3


def write_tar(path, number):
    with tarfile.open(path, "w") as tar:
        for row in range(ROWS):
            for name in (f"s{row}.left.png", f"s{row}.right.png"):
                data = f"{number} {name}".encode()
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_lines(path, number):
    lines = [
        json.dumps({"image": base64.b64encode(f"\xff\xd8{number} {row}".encode("latin1")).decode()})
        for row in range(ROWS)
    ]
    path.write_text("\n\n".join(lines))


@pytest.mark.parametrize(
    ("suffix", "write", "column", "text", "make", "cache"),
    [
        ("tar", write_tar, "s{}.right.png", "{} s{}.right.png", "_members", "_MEMBERS"),
        ("jsonl", write_lines, "image", "\xff\xd8{} {}", "_lines", "_LINES"),
    ],
)
def test_each_file_is_passed_once_however_rows_alternate(
    tmp_path, monkeypatch, suffix, write, column, text, make, cache
):
    passed = []
    made = getattr(media_index, make)

    def counted(path):
        passed.append(path.name)
        return made(path)

    monkeypatch.setattr(media_index, cache, IndexCache(counted, media_index.MAX_INDEX_BYTES))
    for number in range(FILES):
        write(tmp_path / f"{number}.{suffix}", number)
    for row in range(ROWS):
        for number in range(FILES):
            name = f"{number}.{suffix}"
            data = read_packed(tmp_path / name, f"{name}#{row}/{column.format(row)}")
            assert data.decode("latin1") == text.format(number, row)
    assert sorted(passed) == sorted(f"{number}.{suffix}" for number in range(FILES))


def test_the_index_used_longest_ago_goes_where_memory_ends(tmp_path):
    passed = []

    def make(path):
        passed.append(path.name)
        return (array("q", [len(passed)] * (9 if path.name == "large" else 2)),)

    cache = IndexCache(make, limit=4 * 8)  # two small ones
    for name in ("a", "b", "a", "c", "a", "b", "large", "large", "b"):
        cache.of(tmp_path / name, 0)
    assert passed == ["a", "b", "c", "b", "large", "b"]
    assert cache.of(tmp_path / "b", 1)[0][0] == 7  # rewritten meanwhile


def test_a_row_or_member_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "0.tar"
    write_tar(path, 0)
    for name in ("0.tar#0/s1.left.png", f"0.tar#{ROWS}/s0.left.png", f"0.tar#{10**30}/s0.left.png"):
        with pytest.raises(MediaError, match="cannot be read"):
            read_packed(path, name)
