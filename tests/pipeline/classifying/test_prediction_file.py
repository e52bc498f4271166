"""A file of predictions grows, resumes, and is never mixed with another."""

import fcntl
import json
import os
import resource
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from savs.pipeline import classify
from savs.pipeline.classifying.csv_rows import csv_bytes, read_csv
from savs.pipeline.classifying.prediction_file import PredictionFile, open_predictions
from savs.pipeline.classifying.scoring import CLASSIFIED_SCHEMA
from savs.pipeline.errors import OutputError

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".csv":
        return pl.read_csv(path)
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_ndjson(path, infer_schema_length=None)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_killed_run_goes_on_where_it_was(animals, made, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("savs.pipeline.classifying.example_parts.ROWS", 2)
    images, whole, out = made.images[:6], tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    classify(animals, images, out=whole)
    append, calls = PredictionFile._append, []

    def die(self, rows):
        if len(calls) == 2:
            self._file.write(b'{"id": "half a ro')
            self._file.flush()
            raise KeyboardInterrupt
        calls.append(rows.height)
        append(self, rows)

    monkeypatch.setattr(PredictionFile, "_append", die)
    with pytest.raises(KeyboardInterrupt):
        classify(animals, images, out=out)
    monkeypatch.setattr(PredictionFile, "_append", append)
    done = classify(animals, images, out=out)
    assert done.rows == 2
    assert done.predictions.height == 6
    assert_frame_equal(read(out), read(whole))
    assert not list(tmp_path.glob("*.parquet.jsonl"))


def test_new_images_are_added_and_skipped_ones_are_tried_again(animals, made, tmp_path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out.parquet"
    photos.mkdir()
    shutil.copy(made.images[0], photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"no image")
    first = classify(animals, photos, out=out)
    assert [first.rows, len(first.skipped)] == [2, 1]
    shutil.copy(made.images[1], photos / "b.jpg")
    shutil.copy(made.images[2], photos / "c.jpg")
    second = classify(animals, photos, out=out)
    assert [second.rows, len(second.skipped)] == [1, 1]
    third = classify(animals, photos, out=out, retry_skipped=True)
    assert [third.rows, len(third.skipped)] == [1, 0]
    assert classify(animals, photos, out=out).rows == 0
    found = pl.read_parquet(out).sort("id")
    assert found["id"].to_list() == [str(photos / name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    expected = classify(animals, photos).predictions
    assert_frame_equal(found, expected)


def test_an_output_of_something_else_is_kept(animals, made, tmp_path) -> None:
    out, image = tmp_path / "out.csv", made.images[0]
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"has no out\.csv\.run\.json"):
        classify(animals, image, out=out)
    assert out.read_text() == "mine"
    classify(animals, image, out=out, force=True)
    with pytest.raises(OutputError, match=r"made otherwise \(classifier, question differ\)"):
        classify(made.classifier, image, out=out, question=QUESTION)
    with pytest.raises(OutputError, match=r"ends in \.csv"):
        classify(animals, image, out=tmp_path / "out.txt")
    out.write_text("")
    with pytest.raises(OutputError, match="expected at least"):
        classify(animals, image, out=out)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_answer_to_another_question_is_not_taken(animals, made, tmp_path, suffix) -> None:
    out, table = tmp_path / f"out{suffix}", tmp_path / "rows.jsonl"
    shutil.copy(made.images[0], tmp_path / "a.jpg")
    row = {"id": "1", "image": "a.jpg", "question": QUESTION}
    table.write_text(json.dumps(row) + "\n")
    first = classify(animals, table, out=out)
    assert [first.rows, classify(animals, table, out=out).rows] == [1, 0]
    assert read(out)["prompt"].to_list() == [QUESTION]
    table.write_text(json.dumps(row | {"question": "Is it?"}) + "\n")
    with pytest.raises(OutputError, match=r"id '1' with .*fish\.', and now .*, 'Is it\?'; pass"):
        classify(animals, table, out=out, allow_other_prompt=True)


def test_two_processes_do_not_write_one_output(animals, made, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    classify(animals, made.images[0], out=out)
    with out.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process writes"):
            classify(animals, made.images[1], out=out)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_force_does_not_take_a_file_from_the_process_that_writes_it(tmp_path, suffix) -> None:
    out, kinds = tmp_path / f"out{suffix}", pl.Schema(CLASSIFIED_SCHEMA)
    empty = pl.DataFrame(schema=kinds)
    rows = [empty.clear(1).with_columns(id=pl.lit(name), media=["x"]) for name in "abc"]
    with open_predictions(out, kinds, {}, retry_skipped=False, force=False) as first:
        first.take(0, rows[0])
        with (
            pytest.raises(OutputError, match="another process writes"),
            open_predictions(out, kinds, {}, retry_skipped=False, force=True),
        ):
            pass
        first.take(1, rows[1])
        first.finish()
    assert read(out)["id"].to_list() == ["a", "b"]
    with open_predictions(out, kinds, {}, retry_skipped=False, force=False) as second:
        assert second.done["id"].to_list() == ["a", "b"]
    with open_predictions(out, kinds, {"x": 1}, retry_skipped=False, force=True) as third:
        assert third.done.is_empty()
        third.take(0, rows[2])
        third.finish()
    assert read(out)["id"].to_list() == ["c"]


def test_a_file_that_was_replaced_before_its_lock_is_not_written(tmp_path, monkeypatch) -> None:
    out, kinds = tmp_path / "out.csv", pl.Schema(CLASSIFIED_SCHEMA)
    given = {"retry_skipped": False, "force": False}
    with open_predictions(out, kinds, {}, **given):
        pass
    lock = fcntl.flock

    def replaced(file, how):
        shutil.copy(out, tmp_path / "other.csv")
        (tmp_path / "other.csv").rename(out)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with (
        pytest.raises(OutputError, match="another process writes"),
        open_predictions(out, kinds, {}, **given),
    ):
        pass


def classified(ids, media, reasons) -> pl.DataFrame:
    """Return rows of predictions that have nothing else."""
    rows = pl.DataFrame({"id": ids, "media": media, "reason": reasons})
    others = {name: kind for name, kind in CLASSIFIED_SCHEMA.items() if name not in rows.columns}
    found = rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in others.items())
    return found.select(list(CLASSIFIED_SCHEMA))


def test_csv_holds_names_with_commas_brackets_and_line_breaks(tmp_path) -> None:
    names = [["a,b.jpg"], ["[x].jpg"], ["a\nb.jpg", 'c"d.jpg']]
    rows = classified(["1", "2", "3"], names, ["x", None, "a\nb"])
    (tmp_path / "rows.csv").write_bytes(csv_bytes(rows, with_header=True))
    found = read_csv(tmp_path / "rows.csv", pl.Schema(CLASSIFIED_SCHEMA))
    assert found["media"].to_list() == names
    assert found["reason"].to_list() == ["x", None, "a\nb"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_names_the_output(tmp_path, suffix) -> None:
    rows, out = classified(["a" * 600], [["a.jpg"]], [None]), tmp_path / f"out{suffix}"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        with (
            pytest.raises(OutputError, match=rf"out{suffix} cannot be written: File too large"),
            open_predictions(out, rows.schema, {}, retry_skipped=False, force=False) as file,
        ):
            file.take(0, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with open_predictions(out, rows.schema, {}, retry_skipped=False, force=False) as file:
        assert file.done.height == 0


def test_a_disk_that_is_full_when_parquet_is_made_says_so_and_keeps_the_rows(tmp_path) -> None:
    rows, out = classified(["a"], [["a.jpg"]], [None]), tmp_path / "out.parquet"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_predictions(out, rows.schema, {}, retry_skipped=False, force=False) as file:
        file.take(0, rows)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
            with pytest.raises(
                OutputError, match=r"parquet cannot be written: File too large; pass"
            ):
                file.finish()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not out.exists()
    with open_predictions(out, rows.schema, {}, retry_skipped=False, force=False) as file:
        assert file.done["id"].to_list() == ["a"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_run_that_was_killed_before_it_said_of_what_is_begun_again(
    tmp_path, monkeypatch, suffix
) -> None:
    path, name = tmp_path / f"out{suffix}", "savs.pipeline.classifying.prediction_file._write_state"
    given = {"schema": CLASSIFIED_SCHEMA, "made": {"a": 1}, "retry_skipped": False, "force": False}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(name, killed)
        with pytest.raises(KeyboardInterrupt), open_predictions(path, **given):
            pass
    assert [file.stat().st_size for file in tmp_path.iterdir()] == [0]
    with open_predictions(path, **given) as opened:
        assert opened.done.height == 0


def test_a_pipe_is_refused_before_the_run(tmp_path) -> None:
    os.mkfifo(tmp_path / "out.parquet")
    given = {"schema": CLASSIFIED_SCHEMA, "made": {}, "retry_skipped": False, "force": True}
    with (
        pytest.raises(OutputError, match="no folder, pipe or device"),
        open_predictions(tmp_path / "out.parquet", **given),
    ):
        pass
