"""A bundle whose writer was killed is written again; files of others are never replaced."""

from contextlib import suppress
from pathlib import Path

import pytest

from savs.foundation import files as whole_files
from savs.foundation.files import PARTIAL
from savs.pipeline.classifying.bundle.bundle import BUNDLE, CARD, MARK, PREDICT, _require_free
from savs.pipeline.errors import ExportError
from savs.pipeline.running.result_files import unfinished_result, write_file


def test_files_are_replaced_only_where_an_export_was_killed(tmp_path, monkeypatch) -> None:
    with unfinished_result(tmp_path / MARK, BUNDLE):
        (tmp_path / CARD).write_text("half")
        with pytest.raises(ExportError, match="has files"):
            _require_free(tmp_path)  # its writer lives
        monkeypatch.setattr(whole_files, "process_has_ended", lambda *_: True)
        _require_free(tmp_path)
        (tmp_path / "notes.txt").touch()
        with pytest.raises(ExportError, match="has files"):
            _require_free(tmp_path)
        (tmp_path / "notes.txt").unlink()
    assert [path.name for path in tmp_path.iterdir()] == [CARD]
    with pytest.raises(ExportError, match="has files"):
        _require_free(tmp_path)


def test_a_mark_makes_its_folder(tmp_path: Path) -> None:
    with unfinished_result(tmp_path / "a/b" / MARK, BUNDLE):
        assert len(list((tmp_path / "a/b").iterdir())) == 1


def test_an_export_that_fails_behind_a_killed_one_leaves_nothing(tmp_path, monkeypatch) -> None:
    (tmp_path / PREDICT).write_text("of the killed export, which was standalone")
    (tmp_path / f"{MARK}.{whole_files._tag()}{PARTIAL}").touch()
    monkeypatch.setattr(whole_files, "process_has_ended", lambda *_: True)
    _require_free(tmp_path)
    with suppress(KeyboardInterrupt), unfinished_result(tmp_path / MARK, BUNDLE):
        assert not (tmp_path / PREDICT).exists()
        write_file(tmp_path / CARD, b"half")
        raise KeyboardInterrupt
    assert not list(tmp_path.glob("*"))
