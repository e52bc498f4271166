"""New images get what `evaluate` predicts of the same images, whatever they come in."""

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from web import serve

from savs import classify, evaluate, load_selection, save_selection, select
from savs.datasets import RowError, SourceError
from savs.datasets.media_kinds.images import IMAGES
from savs.pipeline.classifying.new_images import MediaNames
from savs.pipeline.extraction.line.engine import Engine
from savs.pipeline.readouts import READOUTS
from savs.pipeline.running.progress import Reporting
from savs.pipeline.targets.one import CLASSIFIED_SCHEMA

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."
COMPARED = ["id", "subtask", "prediction", "margin"]


def table_of(made, names, path: Path, **columns) -> Path:
    """Write a table of images by their names below the root."""
    rows = [{"image": str(name), **columns} for name in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


MARKS = {"vote": (), **dict.fromkeys(("lda", "posterior", "neurons"), pytest.mark.thorough)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "readout",
    [pytest.param(r, marks=MARKS.get(r, pytest.mark.costly)) for r in READOUTS],
)
def test_every_readout_predicts_what_evaluate_predicts(made, tmp_path, readout) -> None:
    selection = select(made.store, heads=5, readout=readout)
    saved = save_selection(selection, tmp_path / "saved")
    expected = evaluate(made.store, selection).predictions
    for batch_size in (1, 3, 32) if readout == "vote" else (3,):  # batches come before readouts
        found = classify(saved, made.table, batch_size=batch_size).predictions
        assert found["id"].to_list() == expected["id"].to_list()
        assert_frame_equal(found.select(COMPARED), expected.select(COMPARED), abs_tol=1e-4)
        assert_frame_equal(found.select("votes"), expected.select("votes"), abs_tol=1e-4)


@pytest.mark.thorough
def test_an_image_is_put_to_every_subtask_by_its_own_question(made, animals, tmp_path) -> None:
    selection = load_selection(made.classifier)
    exists, animal = selection.tasks
    assert animal.question == QUESTION
    assert exists.question is None  # each scene has a statement of its own
    given = replace(selection, tasks=(replace(exists, question="Is it red?"), animal))
    saved = save_selection(given, tmp_path / "saved")
    found = classify(saved, made.images[0]).predictions
    assert found["subtask"].to_list() == ["exists", "animal"]
    assert found["id"].unique().len() == 1
    assert found["prediction"][0] in exists.classes
    assert found["prediction"][1] in animal.classes
    one = classify(saved, made.images[0], subtask="animal").predictions
    assert_frame_equal(one, found[1:])
    with pytest.raises(RowError, match="no subtask 'plant'; its subtasks are exists, animal"):
        classify(saved, made.images[0], subtask="plant")
    with pytest.raises(RowError, match="no subtask 'plant'; its subtasks are none"):
        classify(animals, made.images[0], subtask="plant")


@pytest.mark.thorough
def test_folders_patterns_names_and_tables_give_the_same(made, animals, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for place, image in enumerate(made.images[:4]):
        shutil.copy(image, folder / "deep" / f"{place}.jpg")
    (folder / "notes.txt").write_text("no image")
    for hidden in (folder / "deep" / ".hidden.jpg", folder / ".trash" / "old.jpg"):
        hidden.parent.mkdir(exist_ok=True)
        hidden.write_text("no image")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    whole = classify(animals, "photos", reporting=Reporting(said.append)).predictions
    assert whole["id"].to_list() == [f"photos/deep/{n}.jpg" for n in range(4)]
    shutil.rmtree(folder / ".trash")  # a pattern may look into hidden folders
    assert any("Ignored 1 file in photos, no images" in line for line in said)
    lines = "deep/0.jpg\n\ndeep/1.jpg\n \ndeep/2.jpg\ndeep/3.jpg\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    names = list(whole["id"])
    table = table_of(made, names, tmp_path / "rows.jsonl")
    pl.DataFrame({"id": names, "file": names}).write_csv(tmp_path / "rows.csv")
    packed = [{"bytes": (tmp_path / name).read_bytes(), "path": None} for name in names]
    pl.DataFrame({"image": packed}).write_parquet(tmp_path / "rows.parquet")
    given = {
        "pattern": classify(animals, "photos/*/*.jpg"),
        "twice": classify(animals, [*names, "photos"]),
        "stdin": classify(animals, "-", media_root="photos"),
        "table": classify(animals, table),
        "columns": classify(animals, "rows.csv", columns={"image": "file"}),
        "packed": classify(animals, "rows.parquet"),
    }
    for name, done in given.items():
        columns = ["prediction", "probability", "margin", "votes"]
        assert_frame_equal(done.predictions.select(columns), whole.select(columns)), name
    assert given["table"].predictions["id"].to_list() == [f"rows:{n}" for n in range(4)]
    assert given["stdin"].predictions["id"].to_list() == lines.split()
    with pytest.raises(SourceError, match="- names no image; pass images"):
        classify(animals, "-")  # all was read
    around = classify(animals, [names[0], table, *names[:2]]).predictions  # the first is known
    assert around["id"].to_list() == [names[0], *(f"rows:{n}" for n in range(4)), names[1]]
    assert whole.columns == [name for name in CLASSIFIED_SCHEMA if name != "subtask"]


def test_a_folder_below_a_hidden_one_has_its_images(tmp_path) -> None:
    folder = tmp_path / ".kept" / "photos"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    assert [*MediaNames(IMAGES).of(str(folder))] == [str(folder / "a.jpg")]


def test_images_in_linked_folders_are_named_as_in_training(tmp_path):
    photos = tmp_path / "photos"
    for folder in (photos, tmp_path / "far"):
        folder.mkdir()
        (folder / "a.jpg").touch()
    (photos / "link").symlink_to(tmp_path / "far")
    (photos / "link" / "back").symlink_to(photos)
    found = [*MediaNames(IMAGES).of(str(photos))]
    assert found == [str(photos / name) for name in ("a.jpg", "link/a.jpg")]


@pytest.mark.thorough
def test_images_at_addresses_are_fetched_once_and_only_if_asked(animals, made, tmp_path) -> None:
    shutil.copy(made.images[0], tmp_path / "a.jpg")
    with serve(tmp_path) as (address, _):
        given = f"{address}/a.jpg"
        refused = classify(animals, given)
        assert "was read without `fetch_urls`" in refused.skipped[0][1]
        fetch = {"fetch_urls": True, "allow_private_addresses": True}
        found = classify(animals, given, out=tmp_path / "out.jsonl", **fetch)
    assert found.predictions["id"].to_list() == [given]
    assert not found.skipped
    assert len(list((tmp_path / "out.jsonl.fetched").iterdir())) == 1
    columns = ["prediction", "margin"]
    expected = classify(animals, made.images[0]).predictions.select(columns)
    assert_frame_equal(
        pl.read_ndjson(tmp_path / "out.jsonl").select(columns), expected, check_dtypes=False
    )


@pytest.mark.thorough
def test_equal_images_are_computed_once_in_whatever_shard(made, animals, tmp_path, monkeypatch):
    run = "savs.pipeline.classifying.classified_run"
    monkeypatch.setattr(f"{run}.FEWEST", 2)
    monkeypatch.setattr(f"{run}.default_shard_rows", lambda rows: 2)
    names = [tmp_path / f"{n}.jpg" for n in range(6)]
    for place, name in enumerate(names):
        shutil.copy(made.images[place % 2], name)
    run: list[int] = []
    job = Engine._run_job

    def note(self, given, done):
        run.append(len(given.requests))
        job(self, given, done)

    monkeypatch.setattr(Engine, "_run_job", note)
    found = classify(animals, names).predictions
    assert sum(run) == 2
    columns = ["prediction", "margin", "votes"]
    for part in (found[2:4], found[4:6]):
        assert_frame_equal(part.select(columns), found[:2].select(columns))


@pytest.mark.thorough
def test_probability_is_the_share_of_heads_that_vote_so(animals, made) -> None:
    found = classify(animals, made.images).predictions
    for row in found.iter_rows(named=True):
        votes = {vote["class"]: vote["score"] for vote in row["votes"]}
        assert sum(votes.values()) == 8
        assert row["probability"] == votes[row["prediction"]] / 8


def test_unreadable_images_have_a_reason(animals, made, tmp_path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    table = table_of(made, ["bad.jpg", "none.jpg", made.images[0]], tmp_path / "rows.jsonl")
    done = classify(animals, table, allow_outside=True)
    assert done.predictions["prediction"].is_null().to_list() == [True, True, False]
    assert done.counts == [(done.predictions["prediction"][2], 1)]
    assert [identifier for identifier, _ in done.skipped] == ["rows:0", "rows:1"]
    assert "not an image of a known format" in done.skipped[0][1]
    assert "is not in the media root" in done.skipped[1][1]


WRONG = {
    "no file": (["none.jpg"], {}, SourceError, "none.jpg does not exist"),
    "no match": (["*.jpg"], {}, SourceError, "matches"),
    "empty folder": (["."], {}, SourceError, "holds no image or video"),
    "no image": (["rows.jsonl"], {"file": "x"}, RowError, "names no image"),
    "marks": (
        ["rows.jsonl"],
        {"image": "x", "question": "<image> or <image>?"},
        RowError,
        "2 <image> placeholders for 1 images",
    ),
    "no inputs": ([], {}, SourceError, "nothing names no image"),
}


@pytest.mark.parametrize(("inputs", "row", "error", "message"), WRONG.values(), ids=WRONG)
def test_inputs_that_cannot_be(animals, tmp_path, monkeypatch, inputs, row, error, message):
    monkeypatch.chdir(tmp_path)
    if row:
        Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(error, match=message):
        classify(animals, inputs)


def test_ids_are_unique_over_all_tables(animals, made, tmp_path) -> None:
    for name in ("a", "b"):
        table_of(made, ["x.jpg"], tmp_path / f"{name}.jsonl", id="one")
    with pytest.raises(RowError, match=r"b\.jsonl line 1: id 'one' is taken by .*a\.jsonl line 1"):
        classify(animals, [tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
