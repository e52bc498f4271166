"""New images are in a store next to the table: runs resume, share it, and mix nothing up."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from savs import classify, open_store
from savs.pipeline.classifying.classified_run import ClassifiedRun
from savs.pipeline.classifying.classified_store import (
    RECORD,
    TableRecord,
    read_store_record,
    remove_store,
    store_beside,
)
from savs.pipeline.errors import OutputError
from savs.pipeline.running.progress import Reporting
from savs.stores import FeatureWriter
from savs.stores.errors import StoreLockedError
from savs.stores.format.layout import CLAIMS

pytestmark = pytest.mark.thorough

QUESTION = "What animal is this? Choose from cat, dog, bird, fish."
SUFFIXES = [".csv", ".jsonl", ".parquet"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch) -> None:
    """Let a shard have two rows."""
    run = "savs.pipeline.classifying.classified_run"
    monkeypatch.setattr(f"{run}.FEWEST", 2)
    monkeypatch.setattr(f"{run}.default_shard_rows", lambda rows: 2)


@pytest.fixture(scope="module")
def whole(animals, made, tmp_path_factory) -> Path:
    """Return the folder of tables of six images that one run made; tests read them alone."""
    folder = tmp_path_factory.mktemp("whole")
    classify(animals, made.images[:6], out=[folder / f"whole{suffix}" for suffix in SUFFIXES])
    return folder


@pytest.fixture
def photos(made, tmp_path) -> Path:
    """Return a folder with three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in zip("abc", made.images, strict=False):
        shutil.copy(image, folder / f"{name}.jpg")
    return folder


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".csv":
        return pl.read_csv(path)
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_ndjson(path, infer_schema_length=None)


def apart(folder: Path) -> Path:
    """Make a folder whose outputs share no features with those of others."""
    folder.mkdir()
    return folder


def names_in(out: Path) -> list[str]:
    return [Path(name).stem for name in read(out)["id"]]


def ask_again(classifier, images, out: Path, **options) -> list[str]:
    """Run a command that has nothing to do; return what it says."""
    said: list[str] = []
    done = classify(classifier, images, out=out, reporting=Reporting(said.append), **options)
    assert done.rows == 0
    return said


def once(monkeypatch, owner, name: str, act) -> None:
    """Call a function before the first call of a method."""
    method = getattr(owner, name)

    def first(self, *given, **more):
        monkeypatch.setattr(owner, name, method)
        act()
        return method(self, *given, **more)

    monkeypatch.setattr(owner, name, first)


def stop_at(monkeypatch, owner, name: str, call: int) -> None:
    """Interrupt the process at one of the calls of a method."""
    method, calls = getattr(owner, name), []

    def stop(self, *given, **more):
        calls.append(name)
        if len(calls) == call:
            monkeypatch.setattr(owner, name, method)
            raise KeyboardInterrupt
        return method(self, *given, **more)

    monkeypatch.setattr(owner, name, stop)


def classify_until(monkeypatch, shard: int, classifier, images, out: Path) -> None:
    """Interrupt a command when it writes one of its shards."""
    stop_at(monkeypatch, FeatureWriter, "write", shard)
    with pytest.raises(KeyboardInterrupt):
        classify(classifier, images, out=out)


@pytest.mark.parametrize(
    "suffix", [".csv", *(pytest.param(s, marks=pytest.mark.costly) for s in SUFFIXES[1:])]
)
@pytest.mark.parametrize(
    ("owner", "method", "call", "left"),
    [
        pytest.param(FeatureWriter, "write", 3, 2, id="reading"),
        pytest.param(TableRecord, "write", 1, 6, id="beginning"),
        pytest.param(ClassifiedRun, "_write", 1, 0, id="before the table"),
        pytest.param(TableRecord, "write", 2, 0, id="naming the table"),
        pytest.param(TableRecord, "write", 3, 0, id="after the table"),
    ],
)
def test_a_stopped_run_goes_on(
    animals, made, whole, tmp_path, monkeypatch, suffix, owner, method, call, left
) -> None:
    images, out = made.images[:6], tmp_path / f"out{suffix}"
    stop_at(monkeypatch, owner, method, call)
    with pytest.raises(KeyboardInterrupt):
        classify(animals, images, out=out)
    done = classify(animals, images, out=out)
    assert [done.rows, done.predictions.height] == [left, 6]
    assert_frame_equal(read(out), read(whole / f"whole{suffix}"))
    assert not list(tmp_path.glob("*.partial"))


def test_a_stopped_run_goes_on_among_more_images(animals, photos, tmp_path, monkeypatch) -> None:
    out = tmp_path / "out.csv"
    classify_until(monkeypatch, 2, animals, photos, out)
    shutil.copy(photos / "a.jpg", photos / "0.jpg")  # before the others
    assert classify(animals, photos, out=out).rows == 2
    assert names_in(out) == ["a", "b", "c", "0"]


def test_a_stopped_run_needs_the_images_that_it_did_not_come_to(
    animals, photos, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "out.csv"
    classify_until(monkeypatch, 2, animals, photos, out)
    with pytest.raises(OutputError, match=r"stopped before it came to 1 images .*c\.jpg' first"):
        classify(animals, photos / "a.jpg", out=out)
    assert classify(animals, photos / "a.jpg", out=out, force=True).rows == 1
    assert names_in(out) == ["a"]


def test_the_table_is_written_again_without_the_model(animals, photos, tmp_path) -> None:
    out = tmp_path / "out.csv"
    classify(animals, photos, out=out)
    before = out.read_bytes()
    out.unlink()
    assert "0 examples to do: the model is not loaded" in ask_again(animals, photos, out)
    assert out.read_bytes() == before
    written = out.stat().st_mtime_ns
    ask_again(animals, photos, out)
    assert out.stat().st_mtime_ns == written


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
    assert [third.rows, len(third.skipped)] == [2, 0]  # its shard has two rows
    ask_again(animals, photos, out, retry_skipped=True)
    assert names_in(out) == ["a", "b", "c"]
    expected = classify(animals, photos).predictions
    assert_frame_equal(read(out), expected, abs_tol=1e-5)


def test_equal_names_in_two_folders_are_two_images(animals, made, tmp_path) -> None:
    for name, image in zip("ab", made.images, strict=False):
        (tmp_path / name).mkdir()
        shutil.copy(image, tmp_path / name / "1.jpg")
        (tmp_path / name / f"{name}.jsonl").write_text(json.dumps({"image": "1.jpg"}) + "\n")
    tables = [tmp_path / name / f"{name}.jsonl" for name in "ab"]
    found = classify(animals, tables, out=tmp_path / "out.jsonl")
    assert found.predictions["id"].to_list() == ["a:0", "b:0"]
    digests = open_store(store_beside(tmp_path / "out.jsonl")).examples("test")["media_sha256"]
    assert digests.n_unique() == 2
    ask_again(animals, tables, tmp_path / "out.jsonl")


def test_an_output_of_something_else_is_kept(animals, made, tmp_path) -> None:
    out, image = tmp_path / "out.csv", made.images[0]
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"has no out\.csv\.store that made it"):
        classify(animals, image, out=out)
    assert out.read_text() == "mine"
    classify(animals, image, out=out, force=True)
    with pytest.raises(OutputError, match=r"made otherwise \(classifier, question differ\)"):
        classify(made.classifier, image, out=out, question=QUESTION)
    with pytest.raises(OutputError, match=r"ends in \.csv"):
        classify(animals, image, out=tmp_path / "out.txt")
    out.write_text("changed")
    with pytest.raises(OutputError, match=r"was changed since .* wrote it; move it away"):
        classify(animals, image, out=out)
    assert out.read_text() == "changed"


def test_a_store_of_other_features_is_refused_before_the_model_is_loaded(
    made, animals, tmp_path
) -> None:
    out = tmp_path / "out.csv"
    classify(animals, made.images[0], out=out)
    (store_beside(out) / "results" / "classify.json").unlink()
    out.unlink()
    said: list[str] = []
    with pytest.raises(OutputError, match=r"(?s)with other settings:\n .*question.*`force` to"):
        classify(
            *(made.classifier, made.images[0]),
            out=out,
            question=QUESTION,
            allow_other_prompt=True,
            reporting=Reporting(said.append),
        )
    assert not any("loading" in line for line in said)
    shutil.rmtree(store_beside(out))
    store_beside(out).mkdir()
    (store_beside(out) / "thesis.tex").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.tex but no store\.json"):
            classify(animals, made.images[0], out=out, force=force)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_answer_to_another_question_is_not_taken(animals, made, tmp_path, suffix) -> None:
    out, table = tmp_path / f"out{suffix}", tmp_path / "rows.jsonl"
    shutil.copy(made.images[0], tmp_path / "a.jpg")
    row = {"id": "1", "image": "a.jpg", "question": QUESTION}
    table.write_text(json.dumps(row) + "\n")
    assert classify(animals, table, out=out).rows == 1
    ask_again(animals, table, out)
    assert read(out)["prompt"].to_list() == [QUESTION]
    table.write_text(json.dumps(row | {"question": "Is it?"}) + "\n")
    with pytest.raises(OutputError, match=r"id '1' with .*fish\.', and now .*, 'Is it\?'; pass"):
        classify(animals, table, out=out, allow_other_prompt=True)


@pytest.mark.parametrize("is_stopped", [False, True])
def test_other_images_of_the_same_names_get_no_predictions_of_the_old_ones(
    animals, made, photos, tmp_path, monkeypatch, is_stopped
) -> None:
    out = tmp_path / "out.csv"
    if is_stopped:
        classify_until(monkeypatch, 2, animals, photos, out)
    else:
        classify(animals, photos, out=out)
    out.unlink(missing_ok=True)
    shutil.copy(made.images[5], photos / "a.jpg")
    with pytest.raises(OutputError, match=r"other content under the name '.*a\.jpg'"):
        classify(animals, photos, out=out)
    assert classify(animals, photos, out=out, force=True).rows == 3
    expected = classify(animals, photos).predictions["prediction"]
    assert read(out)["prediction"].to_list() == expected.to_list()


def test_the_store_of_a_run_that_was_killed_early_is_removed(tmp_path) -> None:
    """Such a store has claims and no manifest yet; a folder of somebody else has neither."""
    (tmp_path / "out.csv.store" / CLAIMS).mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    for folder in tmp_path.iterdir():
        remove_store(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_record_that_cannot_be_read_is_named(tmp_path) -> None:
    for damage in (lambda path: path.mkdir(), lambda path: path.write_text("{")):
        store = apart(tmp_path / str(len([*tmp_path.iterdir()])))
        assert read_store_record(store) is None
        (store / RECORD).parent.mkdir()
        damage(store / RECORD)
        with pytest.raises(OutputError, match=r"cannot be read \(.*\); pass `force`"):
            read_store_record(store)


def test_force_does_not_take_a_store_from_the_process_that_writes_it(
    animals, photos, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "out.csv"

    def force() -> None:
        with pytest.raises(StoreLockedError, match="is being written by"):
            classify(animals, photos / "a.jpg", out=out, force=True)

    once(monkeypatch, ClassifiedRun, "_write", force)
    classify(animals, photos, out=out)
    assert names_in(out) == ["a", "b", "c"]


@pytest.mark.parametrize("retry_skipped", [False, True])
def test_a_process_that_comes_while_another_is_late_loses_no_rows(
    animals, photos, tmp_path, monkeypatch, retry_skipped
) -> None:
    out = tmp_path / "out.csv"
    (photos / "b.jpg").write_bytes(b"no image")
    shutil.copytree(photos, tmp_path / "more")

    def come() -> None:
        ask_again(animals, photos, out, retry_skipped=retry_skipped)
        classify(animals, [tmp_path / "more", photos], out=out, retry_skipped=retry_skipped)

    once(monkeypatch, ClassifiedRun, "_write", come)
    classify(animals, photos, out=out)
    assert sorted(names_in(out)) == ["a", "a", "b", "b", "c", "c"]
    rows = read(out)
    assert rows["prediction"].is_null().to_list() == [name == "b" for name in names_in(out)]


def be_second(monkeypatch) -> None:
    """Let this process be the second of two."""
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("RANK", "1")):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ranks_say_what_one_process_says(made, calibrated, tmp_path, monkeypatch, suffix) -> None:
    given = {"risk": 0.3, "subtask": "animal"}
    whole, out = apart(tmp_path / "whole") / f"whole{suffix}", tmp_path / f"out{suffix}"
    classify(calibrated, made.images[:5], out=whole, **given)
    be_second(monkeypatch)
    done = classify(calibrated, made.images[:5], out=out, **given)
    assert [done.rows, done.predictions.height] == [5, 5]
    assert_frame_equal(read(out), read(whole), abs_tol=1e-5)
    assert read(out)["unsure"].null_count() == read(out)["typicality"].null_count() == 0
    said = ask_again(calibrated, made.images[:5], out, **given)
    assert "0 examples to do: the model is not loaded" in said
    with pytest.raises(OutputError, match=r"made otherwise \(risk differ\)"):
        classify(calibrated, made.images[:5], out=out, risk=0.2, subtask="animal")
