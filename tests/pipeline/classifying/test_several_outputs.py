"""Several outputs of the same images need one pass of the model, in one command or in the next."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from savs import classify, open_store, save_selection, select
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.classified_store import RECORD, read_record, store_beside
from savs.pipeline.classifying.reused_features import find_features
from savs.pipeline.errors import OutputError
from savs.pipeline.extraction.line.engine import Engine
from savs.pipeline.running.progress import Reporting

SUFFIXES = [".csv", ".jsonl", ".parquet", ".html"]
SHARED = "{} of {} examples have features in new.csv.store: the model does not run them again"


@pytest.fixture
def photos(made, tmp_path) -> Path:
    """Return a folder with four photos, and one that is no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in zip("abcd", made.images, strict=False):
        shutil.copy(image, folder / f"{name}.jpg")
    (folder / "e.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture
def run(monkeypatch) -> list[str]:
    """Note the images that go through the model."""
    images: list[str] = []
    job = Engine._run_job

    def note(self, given, done):
        images.extend(Path(request.example).stem for request in given.requests)
        job(self, given, done)

    monkeypatch.setattr(Engine, "_run_job", note)
    return images


@pytest.fixture
def ask(animals, photos):
    """Classify the photos, and return what is said."""

    def classified(*outs: Path, classifier=animals, images=photos, **options) -> list[str]:
        said: list[str] = []
        classify(
            classifier, images, out=list(outs) or None, reporting=Reporting(said.append), **options
        )
        return said

    return classified


def rows_of(out: Path) -> pl.DataFrame:
    """Return what a table says of each image, and the reasons of skipped ones."""
    readers = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}
    names = ["id", "prediction", "margin", "reason"]
    table = readers[out.suffix](out).select(names).sort("id")
    return table.cast({"margin": pl.Float32})


@pytest.mark.thorough
def test_one_command_writes_all_its_outputs_in_one_pass(ask, run, tmp_path, photos) -> None:
    outs = [tmp_path / f"new{suffix}" for suffix in SUFFIXES]
    said = ask(*outs, sort_into=tmp_path / "sorted")
    assert sorted(run) == ["a", "b", "c", "d", "e"]  # e is refused when it is decoded
    assert said.count(SHARED.format(4, 5)) == 3
    whole = rows_of(outs[0])
    assert whole["prediction"].null_count() == 1
    assert "e.jpg" in whole["reason"][4]
    for out in outs[1:3]:
        assert_frame_equal(rows_of(out), whole)
    assert outs[3].read_text().count("<tr data-place") == 4
    copies = (tmp_path / "sorted").rglob("*.jpg")
    assert sorted(path.stem for path in copies) == ["a", "b", "c", "d"]
    run.clear()
    ask(*outs)  # all resume
    assert not run
    shutil.copy(photos / "a.jpg", photos / "again.jpg")  # content that is known
    (photos / "f.jpg").write_bytes((photos / "b.jpg").read_bytes() + b"\0")
    ask(*outs)  # all grow: by an image of known content, and one of another content
    assert run == ["f"]
    for out in outs[:3]:
        assert rows_of(out)["id"].len() == 7
        assert_frame_equal(rows_of(out), rows_of(outs[0]))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "second", [("new.html",), (), ("sorted",)], ids=["page", "printed", "sort"]
)
def test_the_next_command_takes_the_features(
    ask, run, tmp_path, photos, second, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask(tmp_path / "new.csv")
    run.clear()
    (photos / "b.jpg").unlink()
    outs = [tmp_path / name for name in second if "." in name]
    said = ask(*outs, **({"sort_into": tmp_path / "sorted"} if "sorted" in second else {}))
    assert not run
    assert SHARED.format(3, 4) in said
    assert "loading" not in " ".join(said)


@pytest.mark.thorough
def test_only_what_is_the_same_is_taken(ask, run, made, photos, tmp_path) -> None:
    ask(tmp_path / "new.csv")
    run.clear()
    shutil.copy(made.images[7], photos / "b.jpg")  # another image of this name
    ask(tmp_path / "image.csv")
    assert run == ["b"]
    for name, options in {
        "question": {"question": "Which animal?", "allow_other_prompt": True},
        "pixels": {"max_image_pixels": 10**6},
    }.items():
        run.clear()
        ask(tmp_path / f"{name}.csv", **options)
        assert len(run) == 5, name
    record = read_record(tmp_path / "new.csv")
    assert find_features([tmp_path], record.features, tmp_path, None) is not None
    assert find_features([tmp_path], record.features + "0", tmp_path, None) is None


@pytest.mark.thorough
def test_another_classifier_takes_nothing(ask, run, animals, tmp_path) -> None:
    ask(tmp_path / "new.csv")
    run.clear()
    other = save_selection(select(open_store(animals.parent / "s"), heads=2), tmp_path / "other")
    ask(tmp_path / "other.csv", classifier=other)
    assert len(run) == 5


@pytest.mark.thorough
def test_a_damaged_store_gives_nothing_and_breaks_nothing(ask, run, tmp_path) -> None:
    ask(tmp_path / "new.csv")
    store = store_beside(tmp_path / "new.csv")
    for shard in store.glob("*.h5"):
        content = shard.read_bytes()
        start, end = len(content) // 3, len(content) // 2
        shard.write_bytes(content[:start] + bytes(end - start) + content[end:])
    run.clear()
    ask(tmp_path / "next.csv")
    assert len(run) == 5
    (store / RECORD).write_text("{")
    run.clear()
    ask(tmp_path / "third.csv")
    assert not run  # those of next.csv


@pytest.mark.thorough
def test_skipped_images_are_tried_once_for_all_outputs(ask, run, made, photos, tmp_path) -> None:
    outs = [tmp_path / "new.csv", tmp_path / "new.parquet"]
    ask(*outs)
    assert open_store(store_beside(outs[1])).skipped("test")["id"].len() == 1
    (photos / "e.jpg").write_bytes(made.images[5].read_bytes())
    run.clear()
    ask(*outs, retry_skipped=True)
    assert run.count("e") == 1
    assert rows_of(outs[1])["prediction"].null_count() == 0


def test_what_an_earlier_output_skipped_may_be_tried_again(ask, run, tmp_path) -> None:
    ask(tmp_path / "new.csv")
    run.clear()
    ask(tmp_path / "next.csv")
    assert not run
    ask(tmp_path / "third.csv", retry_skipped=True)
    assert run == ["e"]


@pytest.mark.parametrize(
    ("outs", "options", "error", "message"),
    [
        (["a.csv", "./a.csv"], {}, ParameterError, "a.csv twice; pass each file once"),
        (["a.csv", "b.txt"], {}, OutputError, r"b.txt: expected a name that ends in .csv, .jsonl"),
        (["a.csv"], {"n": 3}, ParameterError, "`n` is about a page"),
        ([], {"n": 3}, ParameterError, "`n` is about a page"),
        (["a.html"], {"n": 0}, ParameterError, "`n` is 0"),
        (["a.csv", "theirs.csv"], {}, OutputError, "theirs.csv exists and has no theirs.csv.store"),
        (["a.csv", "theirs.csv"], {"retry_skipped": True}, OutputError, "theirs.csv exists"),
    ],
)
def test_outputs_are_refused_before_the_model_is_loaded(
    animals, made, tmp_path, monkeypatch, outs, options, error, message
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theirs.csv").write_text("mine\n")
    said: list[str] = []
    with pytest.raises(error, match=message) as refused:
        classify(animals, made.images[:1], out=outs, reporting=Reporting(said.append), **options)
    assert "\n" not in str(refused.value)
    assert "loading" not in " ".join(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.csv"]
