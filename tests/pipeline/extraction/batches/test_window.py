import shutil
import threading

import polars as pl
import pytest

from savs.datasets import Example, MediaFolder, find_benchmark, read_examples
from savs.pipeline.extraction.batches import window
from savs.pipeline.extraction.batches.window import ReadMedium, windows


def examples_of(*media):
    return [Example(str(n), "test", n, "a", "?", names) for n, names in enumerate(media)]


@pytest.fixture
def threads():
    """Those that read."""
    return set()


@pytest.fixture
def reads(monkeypatch, threads):
    found = []
    read, lock = MediaFolder.read, threading.Lock()

    def counted(self, name):
        with lock:
            found.append(name)
            threads.add(threading.get_ident())
        return read(self, name)

    monkeypatch.setattr(MediaFolder, "read", counted)
    return found


def read_all(rows, root):
    folder = MediaFolder(root)
    return list(windows(rows, lambda _: folder))


def test_each_medium_of_a_window_is_read_once(inputs, reads):
    names = [inputs.image(f"{n}.png", n) for n in range(3)]
    rows = examples_of((names[0],), (names[1], names[0]), (), (names[0], "gone.png"), (names[2],))
    (only,) = read_all(rows, inputs.root)
    assert only.places == (0, 1, 2, 3, 4)
    assert sorted(reads) == sorted([*names, "gone.png"])
    assert "gone.png is not in the media root" in only.media[3][1]
    medium = only.media[0][0]
    assert only.media[1][1] is medium
    assert isinstance(medium, ReadMedium)
    assert medium.medium.data == (inputs.root / names[0]).read_bytes()
    assert medium.sizes == [(56, 40)]


def test_folders_may_have_media_of_one_name(inputs, tmp_path):
    rows = examples_of(("same.png",), ("same.png",), ("same.png",))
    folders = [MediaFolder(tmp_path / name) for name in "ab"]
    for number, folder in enumerate(folders):
        folder.root.mkdir()
        shutil.copy(inputs.root / inputs.image(f"{number}.png", number), folder.root / "same.png")
    (only,) = windows(rows, lambda example: folders[example.index % 2])
    first, second, third = (row[0] for row in only.media.values())
    assert first is third
    assert first.sha256 != second.sha256


def test_windows_are_cut_where_the_media_grow_too_large(inputs, monkeypatch):
    names = [inputs.image(f"{n}.png", n) for n in range(5)]
    size = (inputs.root / names[0]).stat().st_size
    monkeypatch.setattr(window, "WINDOW_BYTES", 2 * size - 99)
    rows = examples_of(*((name,) for name in names))
    found = read_all(rows, inputs.root)
    assert [w.places for w in found] == [(0, 1), (2, 3), (4,)]


def test_media_in_a_file_of_rows_are_read_in_its_order(inputs, reads, threads):
    pictures = [(inputs.root / inputs.image(f"{n}.png", n)).read_bytes() for n in range(40)]
    path = inputs.root / "rows.parquet"
    images = [{"bytes": data, "path": None} for data in pictures]
    rows = pl.DataFrame({"image": images, "question": ["?"] * 40, "label": list("ab") * 20})
    rows.write_parquet(path, row_group_size=5)
    found = read_examples(find_benchmark("general"), path, "test")
    (only,) = read_all(found, inputs.root)
    assert reads == [example.media[0] for example in found]
    assert threads == {threading.get_ident()}
    assert [row[0].medium.data for row in only.media.values()] == pictures
