"""Output files and the folders that are made for them."""

from pathlib import Path

import pytest

from savs.foundation import files as whole_files
from savs.pipeline.errors import OutputError
from savs.pipeline.running.output_files import media_cell, media_of_cell, new_file


def write_half(page: Path) -> None:
    with new_file(page) as file:
        file.write_text("half")
        raise OSError("full")


def test_new_folders_go_where_writing_fails(tmp_path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("new/deep/page.html", "old/page.html"):
        with pytest.raises(OutputError, match="full"):
            write_half(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    page = tmp_path / "new/deep/page.html"
    with new_file(page) as file:
        file.write_text("whole")
    assert page.read_text() == "whole"


def test_a_folder_that_cannot_be_looked_at_is_an_output_that_cannot_be_written(tmp_path) -> None:
    page = tmp_path / ("a" * 300) / "page.html"
    with pytest.raises(OutputError, match="cannot be written: File name too long"), new_file(page):
        pass


def test_an_old_file_stays_until_the_new_one_has_its_name(tmp_path, monkeypatch) -> None:
    page, publish, seen = tmp_path / "page.html", whole_files.publish, []
    page.write_text("old")

    def look(partial, path, *, replace):
        seen.append(path.read_text())
        publish(partial, path, replace=replace)

    monkeypatch.setattr(whole_files, "publish", look)
    with new_file(page) as file:
        file.write_text("new")
    assert seen == ["old"]
    assert page.read_text() == "new"


@pytest.mark.parametrize("names", [["a.jpg"], ["a.jpg", "b.jpg"], ["[1].jpg"], []])
def test_names_come_back_from_a_cell(names) -> None:
    assert media_of_cell(media_cell(names)) == names
    with pytest.raises(ValueError, match="Expected `str`"):
        media_of_cell('["a.jpg", 1]')
