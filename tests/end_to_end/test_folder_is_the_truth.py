"""`savs train FOLDER` again: the training examples are the files that are in the folder now."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs import label, open_store, train
from savs.datasets import SourceError
from savs.pipeline.classifying.training import default_store
from savs.stores import FeatureStore

pytestmark = pytest.mark.thorough

PHOTOS = Path("Bilder für Müller")
"""Umlauts and spaces are in names of folders and files."""
CLASSES = ("Bär", "Fuchs groß")
EACH = 5
ASK = ("--question", "Which animal is this?", "--model", "demo", "--readout", "vote")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(colours).resize((64, 64), Image.Resampling.NEAREST).save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Return a place with a folder of photos and a store that was trained on it."""
    place = tmp_path_factory.mktemp("place")
    for number in range(EACH):
        for row, name in enumerate(CLASSES):
            draw(place / PHOTOS / name / f"Bild {number}.png", 10 * row + number)
    draw(place / PHOTOS / "unlabelled" / "neu.png", 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        train(PHOTOS, question=ASK[1], model="demo", readout="vote", out="store")
    return place


@pytest.fixture
def again(trained, tmp_path, savs) -> Callable[..., str]:
    """Return a function that trains on the folder once more and returns what that says."""
    for name in (PHOTOS, "store"):
        shutil.copytree(trained / name, tmp_path / name)
    # a copy elsewhere is the same source, since its contents are the same

    def run(*options: str, source: Path = PHOTOS, code: int = 0) -> str:
        done = savs("train", source, *ASK, "--out", "store", *options)
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


def labels(split: str = "train") -> dict[str, str]:
    store = open_store("store")
    if split not in store.splits:
        return {}
    return dict(store.examples(split).select("id", "label").iter_rows())


def files() -> dict[str, str]:
    """Return what the folder says: path of each file in a class folder -> class."""
    names = [p.relative_to(PHOTOS).as_posix() for p in sorted(PHOTOS.glob("*/*.png"))]
    return {n: n.split("/")[0] for n in names if not n.startswith("unlabelled/")}


def features(store: FeatureStore) -> dict[str, bytes]:
    values = store.features("train", raw=True)
    return {n: values[:, row].tobytes() for row, n in enumerate(store.examples("train")["id"])}


def move(old: str, new: str) -> None:
    (PHOTOS / new).parent.mkdir(exist_ok=True)
    (PHOTOS / old).rename(PHOTOS / new)


BEAR, FOX = (f"{name}/Bild 0.png" for name in CLASSES)


def test_what_moves_comes_back_or_goes_is_as_the_folder_says_and_no_model_is_loaded(again) -> None:
    before = features(open_store("store"))
    assert "nothing changed" in again()
    move(BEAR, "Fuchs groß/falsch.png")
    said = again()
    assert "1 moved\n" in said
    assert "0 examples to do: the model is not loaded" in said
    assert labels() == files()
    assert features(open_store("store"))["Fuchs groß/falsch.png"] == before[BEAR]
    move("Fuchs groß/falsch.png", BEAR)
    assert "1 moved\n" in again()
    assert labels() == files()
    assert features(open_store("store")) == before

    move("unlabelled/neu.png", "Bär/neu.png")
    said = again()
    assert "1 moved\n" in said
    assert "not loaded" in said
    assert labels() == files()
    assert "unlabelled" not in open_store("store").splits

    aside = Path("aside.png")
    (PHOTOS / FOX).rename(aside)
    assert "1 removed\n" in again()
    assert labels() == files()
    aside.rename(PHOTOS / "Fuchs groß/zurück.png")
    said = again()
    assert "1 returned\n" in said
    assert "not loaded" in said
    assert labels() == files()


def test_what_is_new_edited_or_mended_is_read_and_nothing_else_is(again) -> None:
    draw(PHOTOS / "Bär/mehr.png", 60)
    (PHOTOS / "Bär/kaputt.png").write_bytes(b"")
    said = again(code=4)
    assert "2 new\n" in said
    assert "2 examples to do" in said
    assert "skipped train Bär/kaputt.png" in said
    assert "not loaded" in again(code=4)  # it is as broken as before
    move("Bär/kaputt.png", "Fuchs groß/kaputt.png")
    again(code=4)
    draw(PHOTOS / "Fuchs groß/kaputt.png", 61)
    said = again()
    assert "1 edited\n" in said
    assert "1 example to do" in said
    assert labels() == files()
    assert not open_store("store").skipped("train").height

    old, first = (PHOTOS / BEAR).read_bytes(), features(open_store("store"))[BEAR]
    draw(PHOTOS / BEAR, 62)
    said = again()
    assert "1 edited\n" in said
    assert "1 example to do" in said
    assert labels() == files()
    assert features(open_store("store"))[BEAR] != first
    (PHOTOS / BEAR).write_bytes(old)
    assert "not loaded" in again()
    assert features(open_store("store"))[BEAR] == first
    (PHOTOS / FOX).write_bytes(b"no image")
    assert "1 edited\n" in again(code=4)
    assert FOX not in labels()
    assert open_store("store").skipped("train")["id"].to_list() == [FOX]


def test_corrections_stay_with_a_renamed_folder_and_go_with_a_file_that_moves(again) -> None:
    label("store", {BEAR: "Fuchs groß", FOX: "Bär", "unlabelled/neu.png": "Bär"})
    (PHOTOS / "Bär").rename(PHOTOS / "Braunbär")
    said = again()
    assert f"{EACH} moved\n" in said
    assert "dropped" not in said
    corrected = {"Braunbär/Bild 0.png": "Fuchs groß", FOX: "Braunbär"}
    assert labels() == files() | corrected | {"unlabelled/neu.png": "Braunbär"}
    assert set(labels().values()) == {"Braunbär", "Fuchs groß"}

    move(FOX, "Braunbär/Fuchs.png")  # as it was corrected
    assert "dropped" not in again()
    move("Braunbär/Bild 0.png", "Dachs/Bild 0.png")
    move("unlabelled/neu.png", "Dachs/neu.png")
    said = again()
    assert (
        "2 corrections dropped: Braunbär/Bild 0.png has moved to Dachs, and was corrected" in said
    )
    assert labels() == files()
    assert not open_store("store").manifest.labels


def test_corrections_stay_where_two_classes_take_the_names_of_each_other(again) -> None:
    label("store", {BEAR: "Fuchs groß"})
    (PHOTOS / "Bär").rename(PHOTOS / "x")
    (PHOTOS / "Fuchs groß").rename(PHOTOS / "Bär")
    (PHOTOS / "x").rename(PHOTOS / "Fuchs groß")
    assert "dropped" not in again()
    assert labels() == files() | {BEAR.replace("Bär", "Fuchs groß"): "Bär"}


def test_a_correction_waits_for_its_file(again) -> None:
    label("store", {BEAR: "Fuchs groß"})
    (PHOTOS / BEAR).rename("aside.png")
    again()
    assert BEAR not in labels()
    Path("aside.png").rename(PHOTOS / BEAR)
    again()
    assert labels()[BEAR] == "Fuchs groß"
    draw(PHOTOS / BEAR, 63)
    assert f"1 correction dropped: {BEAR} was edited, and was corrected to Fuchs groß" in again()
    assert labels() == files()


@pytest.mark.parametrize("first", [True, False], ids=["at once", "later"])
def test_equal_bytes_in_two_classes_are_a_conflict_and_neither_is_used(again, first) -> None:
    shutil.copy(PHOTOS / BEAR, PHOTOS / "Fuchs groß/Zwilling.png")
    if first:
        shutil.rmtree("store")
    said = again()
    assert f"{BEAR} and Fuchs groß/Zwilling.png have the same bytes and different classes" in said
    assert "removed" not in said
    expected = {n: c for n, c in files().items() if n not in (BEAR, "Fuchs groß/Zwilling.png")}
    assert labels() == expected
    (PHOTOS / BEAR).unlink()
    said = again()
    assert "conflict" not in said
    assert labels() == files()


@pytest.mark.parametrize("lost", ["everything", "a class", "most"])
def test_a_folder_that_lost_much_changes_nothing_until_that_is_confirmed(again, lost) -> None:
    gone = {"everything": "*/*.png", "a class": "Bär/*.png", "most": "*/Bild [1-9].png"}[lost]
    draw(PHOTOS / "Dachs/1.png", 70)  # two classes stay
    again()
    before = Path("store/store.json").read_bytes()
    for path in list(PHOTOS.glob(gone)):
        path.unlink()
    for folder in list(PHOTOS.iterdir()):
        if not any(folder.iterdir()):
            folder.rmdir()
    said = again(code=1)
    first = {"everything": "12 of 12", "a class": f"all {EACH}", "most": "8 of 12"}[lost]
    assert f"lacks {first} examples" in said
    assert "the store is unchanged: mount the disk" in said
    assert "pass --allow removed if they were removed on purpose" in said
    assert Path("store/store.json").read_bytes() == before
    again("--allow", "removed", code=1 if lost == "everything" else 0)
    assert lost == "everything" or labels() == files()


def test_half_of_a_folder_may_go_and_half_of_another_one_is_no_moved_folder(again) -> None:
    draw(PHOTOS / BEAR.replace("0", "5"), 60)
    again()
    for path in PHOTOS.glob("*/Bild [0-2].png"):  # of twelve, one of which waits for a label
        path.unlink()
    assert "6 removed\n" in again()
    PHOTOS.rename("anderswo")
    for name in ("Bär/Bild 5.png", "Bär/Bild 4.png", "Fuchs groß/Bild 3.png"):
        Path("anderswo", name).unlink()
    said = again(source=Path("anderswo"), code=1)
    assert "and so has another source of the store; give it another id" in said


def test_rows_of_another_source_stay(again) -> None:
    for number in range(3):
        draw(Path("zweiter Ordner") / f"Bär/x {number}.png", 80 + number)
        draw(Path("zweiter Ordner") / f"Dachs/x {number}.png", 90 + number)
    said = again(source=Path("zweiter Ordner"))
    assert "6 new\n" in said
    second = {f"{c}/x {n}.png": c for c in ("Bär", "Dachs") for n in range(3)}
    assert labels() == files() | second
    (PHOTOS / BEAR).unlink()
    assert "1 removed\n" in again()
    assert labels() == files() | second
    Path("zweiter Ordner").rename("umbenannt")
    Path("umbenannt/Dachs/x 0.png").unlink()
    assert "1 removed\n" in again(source=Path("umbenannt"))
    del second["Dachs/x 0.png"]
    assert labels() == files() | second


def test_a_table_that_is_given_again_is_followed_too(trained, tmp_path, savs) -> None:
    shutil.copytree(trained / PHOTOS, tmp_path / PHOTOS)
    draw(PHOTOS / "Bär/neu.png", 70)
    table = Path("meine Fotos.csv")
    rows = [(f"{PHOTOS}/{name}", kind) for name, kind in files().items() if "neu" not in name]

    def again(source: object = None) -> str:
        lines = ["image,label", *(f"{image},{kind}" for image, kind in rows)]
        table.write_text("\n".join(lines), "utf-8")
        done = savs("train", table, *ASK, "--out", "store")
        assert done.returncode == 0, done.stderr
        examples = open_store("store").examples("train")
        assert dict(zip(examples["media"].list.first(), examples["label"], strict=True)) == dict(
            rows
        )
        return done.stderr

    assert "10 new\n" in again()
    label("store", {"meine Fotos:9": "Bär"})
    del rows[0]  # the others have other row numbers, and so other ids
    rows[0] = (rows[0][0], "Fuchs groß")
    rows[-1] = (rows[-1][0], "Dachs")
    rows.append((f"{PHOTOS}/Bär/neu.png", "Bär"))
    said = again()
    assert "meine Fotos.csv: 1 new, 2 changed, 1 removed\n" in said
    assert "1 example to do" in said
    assert "1 correction dropped: meine Fotos:9 has moved to Dachs" in said
    assert open_store("store").ids("train") == tuple(f"meine Fotos:{n}" for n in range(10))


def test_rows_in_memory_that_are_given_again_are_followed_too(trained, tmp_path, savs) -> None:
    shutil.copytree(trained / PHOTOS, tmp_path / PHOTOS)
    rows = [{"image": str(PHOTOS / name), "label": kind} for name, kind in files().items()]
    options = {"question": "What?", "model": "demo", "readout": "vote", "out": "store"}
    train(rows, **options)
    kept = rows[2:]
    store = train(kept, **options).store
    media = store.examples("train")["media"].list.first().to_list()
    assert sorted(media) == sorted(row["image"] for row in kept)
    assert len(list(Path("store").glob("*.h5"))) == 1  # nothing was read again


def test_an_exported_store_says_that_it_has_what_left_the_folder(again, savs) -> None:
    (PHOTOS / CLASSES[0] / "Bild 0.png").unlink()
    again()
    done = savs("export", "store", "--to", "store", "--heads", "chosen", "--out", "small")
    assert done.returncode == 0, done.stderr
    assert "note: the copy still has 1 example that left the source" in done.stderr


def test_an_exported_store_names_no_folder_of_this_machine(again, savs) -> None:
    def sources(store: str) -> set[str | None]:
        plans = open_store(store).manifest.plan.splits.values()
        return {segment.source for plan in plans for segment in plan.segments}

    done = savs("export", "store", "--to", "store", "--out", "copy")
    assert done.returncode == 0, done.stderr
    assert sources("store") != {None}
    assert sources("copy") == {None}


def test_a_photo_that_waited_and_came_back_is_trained_on(trained, tmp_path, savs) -> None:
    shutil.copytree(trained / PHOTOS, tmp_path / PHOTOS)
    shutil.rmtree(tmp_path / PHOTOS / "unlabelled")
    photo = tmp_path / PHOTOS / CLASSES[0] / "Bild 0.png"
    waiting = tmp_path / PHOTOS / "unlabelled" / photo.name
    for source, target in ((None, None), (photo, waiting), (waiting, photo)):
        if source is not None:
            target.parent.mkdir(exist_ok=True)
            source.rename(target)
        done = savs("train", PHOTOS, *ASK)
        assert done.returncode == 0, done.stderr
    store = open_store(f"{PHOTOS}-savs")
    assert dict(store.examples("train").select("id", "label").iter_rows()) == files()
    assert store.splits == ["train"]
    nothing = savs("suggest", store.path)
    assert nothing.returncode != 0
    assert "waits for a label; add images without one" in nothing.stderr


def test_a_store_may_not_lie_among_the_photos(again, savs) -> None:
    before = sorted(PHOTOS.rglob("*"))
    for place in (PHOTOS / "pets", PHOTOS / CLASSES[0] / "pets"):
        done = savs("train", PHOTOS, *ASK, "--out", place)
        assert done.returncode in (1, 2)
        assert f"lies in {PHOTOS}, whose folders are classes" in done.stderr
    assert sorted(PHOTOS.rglob("*")) == before


def test_the_default_store_lies_next_to_what_is_trained_on(tmp_path, monkeypatch) -> None:
    for folder in ("a/photos", "b/photos", "trip 2024.05"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "labels.csv.gz").touch()
    monkeypatch.chdir(tmp_path / "a" / "photos")
    assert default_store(".") == (tmp_path / "a" / "photos-savs")
    assert default_store(tmp_path / "b" / "photos") == tmp_path / "b" / "photos-savs"
    monkeypatch.chdir(tmp_path)
    assert default_store("a/photos/") == Path("a/photos-savs")  # not that of b/photos
    assert default_store("trip 2024.05") == Path("trip 2024.05-savs")
    assert default_store("labels.csv.gz") == Path("labels-savs")
    assert default_store("hf://owner/name/x.parquet") is None
    with pytest.raises(SourceError, match="gone does not exist; check the path"):
        default_store("gone")
