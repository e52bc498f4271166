"""New images get what `evaluate` predicts of the same images, whatever they come in."""

import fcntl
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from web import served

from savs.datasets import RowError, SourceError
from savs.pipeline import Selection, classify, evaluate, load_selection, save_selection, select
from savs.pipeline.classifying.csv_rows import csv_bytes, read_csv
from savs.pipeline.classifying.kept_heads import KeptHeads
from savs.pipeline.classifying.prediction_file import PredictionFile
from savs.pipeline.classifying.scoring import CLASSIFIED_SCHEMA
from savs.pipeline.errors import OutputError, SelectionError
from savs.pipeline.extraction.engine import Engine
from savs.pipeline.extraction.model.load import load
from savs.pipeline.readouts import READOUTS
from savs.pipeline.running.progress import Reporting
from savs.stores import Head, LayerGrid, ShardSpec

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."

COMPARED = ["id", "subtask", "prediction", "margin"]


def table_of(made, names, path: Path, **columns) -> Path:
    """Write a table of images by their names below the root."""
    rows = [{"image": str(name), **columns} for name in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "readout",
    [pytest.param(r, marks=[] if r == "vote" else [pytest.mark.thorough]) for r in READOUTS],
)
def test_every_readout_predicts_what_evaluate_predicts(made, tmp_path, readout) -> None:
    selection = select(made.store, heads=5, readout=readout)
    saved = save_selection(selection, tmp_path / "saved")
    expected = evaluate(made.store, selection).predictions
    for batch_size in (1, 3, 32):
        found = classify(saved, made.table, batch_size=batch_size).predictions
        assert found["id"].to_list() == expected["id"].to_list()
        assert_frame_equal(found.select(COMPARED), expected.select(COMPARED), abs_tol=1e-4)
        assert_frame_equal(found.select("votes"), expected.select("votes"), abs_tol=1e-4)


def test_an_image_is_put_to_every_subtask_by_its_own_question(made, tmp_path) -> None:
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


def test_folders_patterns_names_and_tables_give_the_same(made, animals, tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for place, image in enumerate(made.images[:4]):
        shutil.copy(image, folder / "deep" / f"{place}.jpg")
    (folder / "notes.txt").write_text("no image")
    (folder / "deep" / ".hidden.jpg").write_text("no image")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    whole = classify(animals, "photos", reporting=Reporting(said.append)).predictions
    assert whole["id"].to_list() == [f"photos/deep/{n}.jpg" for n in range(4)]
    assert any("1 files in photos are no images by name" in line for line in said)
    stdin = io.TextIOWrapper(io.BytesIO("\n".join([*whole["id"], ""]).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    names = list(whole["id"])
    table = table_of(made, names, tmp_path / "rows.jsonl")
    pl.DataFrame({"id": names, "file": names}).write_csv(tmp_path / "rows.csv")
    packed = [{"bytes": (tmp_path / name).read_bytes(), "path": None} for name in names]
    pl.DataFrame({"image": packed}).write_parquet(tmp_path / "rows.parquet")
    given = {
        "pattern": classify(animals, "photos/*/*.jpg"),
        "twice": classify(animals, [*names, "photos"]),
        "stdin": classify(animals, "-"),
        "table": classify(animals, table),
        "columns": classify(animals, "rows.csv", columns={"image": "file"}),
        "packed": classify(animals, "rows.parquet"),
    }
    for name, done in given.items():
        columns = ["prediction", "probability", "margin", "votes"]
        assert_frame_equal(done.predictions.select(columns), whole.select(columns)), name
    assert given["table"].predictions["id"].to_list() == [f"rows:{n}" for n in range(4)]
    assert given["stdin"].predictions["id"].to_list() == names
    assert whole.columns == [name for name in CLASSIFIED_SCHEMA if name != "subtask"]


def test_images_at_addresses_are_fetched_once_and_only_if_asked(animals, made, tmp_path) -> None:
    shutil.copy(made.images[0], tmp_path / "a.jpg")
    with served(tmp_path) as address:
        given = f"{address}/a.jpg"
        refused = classify(animals, given)
        assert "was read without --fetch-urls" in refused.skipped[0][1]
        fetch = {"fetch_urls": True, "allow_private_addresses": True}
        found = classify(animals, given, out=tmp_path / "out.jsonl", **fetch)
    assert found.predictions["id"].to_list() == [given]
    assert not found.skipped
    assert len(list((tmp_path / "out.jsonl.fetched").iterdir())) == 1
    columns = ["prediction", "margin"]
    expected = classify(animals, made.images[0]).predictions.select(columns)
    assert_frame_equal(read(tmp_path / "out.jsonl").select(columns), expected, check_dtypes=False)


def test_equal_images_are_computed_once_in_whatever_shard(made, animals, tmp_path, monkeypatch):
    monkeypatch.setattr("savs.pipeline.classifying.classified_run.ROWS", 2)
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


def test_no_layer_runs_behind_the_deepest_chosen_head(made, tmp_path, monkeypatch) -> None:
    early = replace_heads(load_selection(made.classifier), ((0, 1), (2, 0)))
    selection = select(made.store, heads_from=early, readout="lda")
    saved = save_selection(selection, tmp_path / "saved")
    ran: list[int] = []

    def load_and_watch(*given):
        model = load(*given)
        for point in model.hook_points:
            number = point.grid.layer
            point.projection.register_forward_hook(lambda *_, n=number: ran.append(n))
        return model

    monkeypatch.setattr("savs.pipeline.classifying.classified_run.load", load_and_watch)
    said: list[str] = []
    found = classify(saved, made.table, reporting=Reporting(said.append)).predictions
    assert set(ran) == {0, 1}  # the pass ends at the projection of layer 2
    assert any(line.startswith("the model runs up to layer 2, which has") for line in said)
    expected = evaluate(made.store, selection).predictions
    assert_frame_equal(found.select(COMPARED), expected.select(COMPARED), abs_tol=1e-4)


def replace_heads(selection: Selection, heads: tuple[Head, ...]) -> Selection:
    """Return a selection of other heads; only its heads can be used."""
    zeros = (0.0,) * len(heads)
    tasks = [replace(task, heads=heads, scores=zeros, margins=zeros) for task in selection.tasks]
    return replace(selection, tasks=tuple(tasks))


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


def test_another_question_is_refused_or_noted(animals, made) -> None:
    image = made.images[0]
    other = "Is it big?"
    message = r"1 of 1 examples have another prompt than in training, 'What animal.*'Is it big\?'"
    with pytest.raises(SelectionError, match=message):
        classify(animals, image, question=other)
    done = classify(animals, image, question=other, allow_other_prompt=True)
    assert "another prompt" in done.notes[0]
    same = load_selection(animals).tasks[0].question
    assert not classify(animals, image, question=same).notes


def test_more_images_than_in_training_are_refused(animals, made, tmp_path) -> None:
    names = [str(image) for image in made.images[:2]]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"images": names}) + "\n")
    with pytest.raises(SelectionError, match=r"with 1 images; 'rows:0' has 2"):
        classify(animals, tmp_path / "rows.jsonl", allow_outside=True)


def test_a_classifier_of_several_questions_needs_one(made, tmp_path) -> None:
    selection = load_selection(made.classifier)
    tasks = tuple(replace(task, question=None) for task in selection.tasks)
    saved = save_selection(replace(selection, tasks=tasks), tmp_path / "saved")
    with pytest.raises(SelectionError, match="pass --question TEXT"):
        classify(saved, made.images[0])
    assert classify(saved, made.images[0], question="Which is it?").rows == len(tasks)


def changed(folder: Path, classifier: Path, **fields) -> Path:
    """Save a classifier with another source."""
    selection = load_selection(classifier)
    source = replace(selection.source, **fields)
    return save_selection(replace(selection, source=source), folder)


def test_another_model_is_refused_by_what_differs(animals, made, tmp_path) -> None:
    facts = dict(load_selection(animals).source.model)
    other = changed(tmp_path / "a", animals, model=facts | {"weights": "0" * 64})
    with pytest.raises(SelectionError, match=r"another model, .*\n  model\.weights: '0000"):
        classify(other, made.images[0])
    named = changed(tmp_path / "b", animals, model=facts | {"name": "mine"})
    with pytest.raises(SelectionError, match=r"was a local folder called 'mine'; pass --model"):
        classify(named, made.images[0])
    done = classify(named, made.images[0], model="demo")
    assert done.notes == ("model.name: 'mine' in the classifier, 'demo' now",)


def test_processor_and_template_are_compared_before_the_weights_are_loaded(
    animals, made, tmp_path, monkeypatch
) -> None:
    def load(*given):
        raise AssertionError

    monkeypatch.setattr("savs.pipeline.classifying.classified_run.load", load)
    facts = dict(load_selection(animals).source.processor)
    other = changed(tmp_path / "a", animals, processor=facts | {"settings": "0" * 64})
    with pytest.raises(SelectionError, match=r"processor\.settings: '0000"):
        classify(other, made.images[0])
    worded = changed(tmp_path / "b", animals, prompt="0" * 64)
    with pytest.raises(SelectionError, match=r"prompt: '0000"):
        classify(worded, made.images[0])


def test_another_dtype_and_an_allowed_template_are_noted(animals, made, tmp_path) -> None:
    worded = changed(tmp_path / "b", animals, prompt="0" * 64)
    done = classify(worded, made.images[0], dtype="bfloat16", allow_other_prompt=True)
    assert any(note.startswith("prompt: '0000") for note in done.notes)
    assert "dtype: 'float32' in the classifier, 'bfloat16' now" in done.notes


@pytest.mark.parametrize(
    ("part", "fact"),
    [
        ("model", {"name": ["demo"]}),
        ("model", {"placeholders": 1}),
        ("processor", {"max_pixels": "all"}),
        ("processor", {"min_pixels": 0}),
        ("processor", {"video_frames": True}),
    ],
    ids=str,
)
def test_a_strangers_facts_are_checked(animals, made, tmp_path, part, fact) -> None:
    source = load_selection(animals).source
    other = changed(tmp_path / "a", animals, **{part: {**getattr(source, part), **fact}})
    with pytest.raises(SelectionError, match=rf"records {next(iter(fact))} as .*, expected a "):
        classify(other, made.images[0])


def test_a_classifier_passes_no_keywords_to_the_loader(animals, made, tmp_path) -> None:
    facts = dict(load_selection(animals).source.model) | {"kwargs": {"weights_only": False}}
    other = changed(tmp_path / "a", animals, model=facts)
    with pytest.raises(SelectionError, match=r"model\.kwargs\.weights_only: False in the class"):
        classify(other, made.images[0])


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".csv":
        return pl.read_csv(path)
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_ndjson(path, infer_schema_length=None)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_killed_run_goes_on_where_it_was(animals, made, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("savs.pipeline.classifying.classified_run.ROWS", 2)
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


def test_two_processes_do_not_write_one_output(animals, made, tmp_path) -> None:
    out = tmp_path / "out.jsonl"
    classify(animals, made.images[0], out=out)
    with out.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process writes"):
            classify(animals, made.images[1], out=out)


def test_csv_holds_names_with_commas_brackets_and_line_breaks(tmp_path) -> None:
    names = [["a,b.jpg"], ["[x].jpg"], ["a\nb.jpg", 'c"d.jpg']]
    rows = pl.DataFrame(
        {"id": ["1", "2", "3"], "media": names, "reason": ["x", None, "a\nb"]},
    ).with_columns(
        pl.lit(None, kind).alias(name)
        for name, kind in CLASSIFIED_SCHEMA.items()
        if name not in ("id", "media", "reason")
    ).select(list(CLASSIFIED_SCHEMA))  # fmt: skip
    (tmp_path / "rows.csv").write_bytes(csv_bytes(rows, with_header=True))
    found = read_csv(tmp_path / "rows.csv", pl.Schema(CLASSIFIED_SCHEMA))
    assert found["media"].to_list() == names
    assert found["reason"].to_list() == ["x", None, "a\nb"]


def test_chosen_heads_are_kept_and_others_are_not() -> None:
    grid = (LayerGrid(0, (0, 1), 2), LayerGrid(3, (0, 2), 4))
    rng = np.random.default_rng(0)
    specs = [ShardSpec("test", n, 0, 5, "") for n in range(2)]
    layers = [
        {0: rng.normal(size=(2, 5, 2)).astype("f2"), 3: rng.normal(size=(2, 5, 4)).astype("f2")}
        for _ in specs
    ]
    with KeptHeads(grid, [(0, 1), (3, 2)], "float16", None) as kept:
        for spec, found in zip(specs, layers, strict=True):
            kept.keep(spec, found)
        for spec, found in zip(specs, layers, strict=True):
            again = kept.read(spec, [4, 1])
            for layer in (0, 3):
                np.testing.assert_array_equal(again[layer][1], found[layer][1][[4, 1]])
                assert not again[layer][0].any()  # not chosen


def test_a_full_disk_is_one_line(tmp_path) -> None:
    class Full(io.BytesIO):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    values = {0: np.zeros((1, 2, 2), np.float32)}
    with KeptHeads([LayerGrid(0, (0,), 2)], [(0, 0)], "float32", tmp_path) as kept:
        kept._file.close()
        kept._file = Full()
        with pytest.raises(OutputError, match=r"cannot be written: No space left .*; free"):
            kept.keep(ShardSpec("test", 0, 0, 2, ""), values)
