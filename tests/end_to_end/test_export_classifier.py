"""`savs export --to classifier` on the command line."""

import json

import pytest
from saved_selections import two_task_store


@pytest.fixture
def store(savs, tmp_path) -> None:
    two_task_store(tmp_path / "store")
    assert savs("select", "store", "--heads", "2", "--readout", "lda").returncode == 0


def test_a_readout_is_exported_by_its_name(savs, store, tmp_path) -> None:
    given = ("export", "store", "--to", "classifier", "--readout", "lda", "--out", "bundle")
    done = savs(*given, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["path"] == "bundle"
    assert sorted(found["files"]) == sorted(path.name for path in (tmp_path / "bundle").iterdir())
    assert "2 subtasks" in found["note"]
    assert "no predict.py: it answers one question" in done.stderr


def test_what_cannot_be_is_told(savs, store) -> None:
    given = ("export", "store", "--to", "classifier", "--out", "bundle")
    for more, code, message in (
        ((), 1, "results/vote does not exist; run `savs select`"),
        (("--selection", "none"), 1, "none does not exist"),
        (("--heads", "all"), 2, "a classifier has its own heads"),
        (("--splits", "train"), 2, "a classifier has its own heads"),
        (("--readout", "none"), 1, "no readout is called 'none'"),
    ):
        done = savs(*given, *more)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
    done = savs("export", "store", "--to", "parquet", "--readout", "lda", "--out", "x.parquet")
    assert done.returncode == 2
    assert "--readout is for --to classifier" in done.stderr
    done = savs("export", "store", "--heads", "all", "--to", "x", "--out", "y")
    assert "or, for the command, classifier" in done.stderr
