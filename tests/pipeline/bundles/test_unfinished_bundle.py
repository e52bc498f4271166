"""A bundle whose writer was killed is written again; files of others are never replaced."""

from pathlib import Path

import pytest

from savs.foundation import whole_files
from savs.pipeline.bundles.bundle import CARD, MARK, _require_free
from savs.pipeline.errors import ExportError
from savs.stores.results import unfinished_result


def test_files_are_replaced_only_where_an_export_was_killed(tmp_path, monkeypatch) -> None:
    with unfinished_result(tmp_path / MARK):
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
    with unfinished_result(tmp_path / "a/b" / MARK):
        assert len(list((tmp_path / "a/b").iterdir())) == 1
