"""The page of predictions: least sure first, bounded, with the images that the model read."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from browser import look
from PIL import Image
from random_stores import draw_problem, write_problem
from reported import ATTACK

from savs import classify, open_store, select
from savs.datasets import MediaFolder
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.classified_run import ClassifiedRun
from savs.pipeline.classifying.prediction_table import Predicted
from savs.pipeline.errors import OutputError
from savs.pipeline.reports.predictions import predictions
from savs.pipeline.reports.predictions.predictions import PredictionPage, page_content

PHONE, LAPTOP = 390, 1280


@pytest.fixture
def predicted(tmp_path):
    """Return a function that makes predictions, as a store and a table have them."""
    problem = draw_problem(3, counts=(4, 4))
    store = write_problem(tmp_path / "store", problem)
    selection = select(store, heads=2)

    def make(rows: list[dict], folders=None) -> Predicted:
        blank = {
            "media": [], "subtask": None, "prompt": "?", "prediction": "cat", "probability": 0.5,
            "margin": 1.0, "votes": [{"class": "cat", "score": 2.0, "soft": 1.0}],
            "prediction_set": None, "unsure": None, "typicality": None, "atypical": False,
            "reason": None,
        }  # fmt: skip
        schema = {"prediction_set": pl.List(pl.String), "unsure": pl.Boolean} | {
            "media": pl.List(pl.String), "typicality": pl.Float32, "subtask": pl.String,
            "reason": pl.String,
        }  # fmt: skip
        frame = pl.DataFrame([blank | row for row in rows], schema_overrides=schema)
        return Predicted(frame.lazy(), selection, store, folders or {})

    return make


def shown(content) -> list[str]:
    return [row.id for row in content.cards]


def test_the_least_probable_come_first_and_the_others_are_counted(predicted) -> None:
    rows = [
        {"id": f"{n}.jpg", "probability": p, "prediction": "cat" if n % 2 else "dog"}
        for n, p in enumerate([0.9, 0.4, 0.6, 0.5])
    ]
    rows.append({"id": "bad.jpg", "prediction": None, "probability": None, "reason": "no image"})
    content = page_content(predicted(rows), Path("new.html"), 3)
    assert shown(content) == ["1.jpg", "3.jpg", "2.jpg"]
    assert (content.predictions, content.all_skipped, content.unsure) == (4, 1, None)
    assert content.skipped == (("bad.jpg", "no image"),)
    assert content.counts == ((None, "cat", 2), (None, "dog", 2))
    assert content.source == "new.html.store"


@pytest.mark.parametrize(
    ("prompts", "title"),
    [
        (["?"], "?"),
        (["x" * 120], "x" * 120),
        (["x" * 121], "new"),
        ([""], "new"),
        (["a?", "b?"], "new"),
    ],
    ids=["short", "longest", "too long", "empty", "two"],
)
def test_the_title_is_the_question_where_all_have_one_that_is_short(
    predicted, prompts, title
) -> None:
    rows = [{"id": f"{n}", "prompt": prompt} for n, prompt in enumerate(prompts)]
    content = page_content(predicted(rows), Path("new.html"), 3)
    assert content.title == title
    assert content.subtasks == ()


def test_the_lines_of_a_video_are_the_predicted_classes_most_often_first(predicted) -> None:
    votes = [{"class": name, "score": 1.0, "soft": 0.5} for name in ("bird", "cat", "dog")]
    names = ["v.mp4@0.0..2.0", "v.mp4@2.0..4.0", "v.mp4@4.0..6.0"]
    rows = [
        {"id": name, "media": [name], "prediction": said, "votes": votes}
        for name, said in zip(names, ["dog", "cat", "cat"], strict=True)
    ]
    (timeline,) = page_content(predicted(rows), Path("new.html"), 3).timelines
    assert [series.name for series in timeline.chart.series] == ["cat", "dog"]


def test_with_a_risk_the_unsure_come_first(predicted) -> None:
    rows = [
        {"id": name, "probability": p, "unsure": unsure, "prediction_set": names}
        for name, p, unsure, names in [
            ("sure", 0.2, False, ["cat"]),
            ("both", 0.9, True, ["cat", "dog"]),
            ("none", 0.8, True, []),
        ]
    ]
    content = page_content(predicted(rows), Path("new.html"), 9)
    assert shown(content) == ["none", "both", "sure"]
    assert content.unsure == 2
    assert [row.kinds for row in content.cards] == ["unsure", "unsure", ""]


def test_of_numbers_the_widest_intervals_come_first(predicted) -> None:
    rows = [
        {"id": f"{high} wide", "probability": None, "margin": None, "low": 0.0, "high": high}
        for high in (2.0, 4.0, 1.0)
    ]
    content = page_content(predicted(rows), Path("new.html"), 2)
    assert shown(content) == ["4.0 wide", "2.0 wide"]


def test_a_page_is_bounded_however_many_predictions_there_are(predicted, tmp_path) -> None:
    rows = [{"id": f"{n}", "prediction": f"class {n}"} for n in range(2000)]
    rows += [{"id": f"bad {n}", "prediction": None, "reason": "r" * 50} for n in range(2000)]
    PredictionPage(10).write(predicted(rows), Path("new.html"), tmp_path / "page")
    text = (tmp_path / "page").read_text()
    assert len(text) < 120_000
    for line in (
        "The 10 least sure of 2,000 predictions are shown.",
        "and 1,940 less frequent ones",
        "and 1,800 more examples",
        "savs evaluate new.html.store",
    ):
        assert line in text
    assert text.count("<tr data-place") == 10


def test_pictures_have_a_limit_too(predicted, tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    names = [f"{n}.png" for n in range(4)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (50, 50, 3), dtype=np.uint8)).save(tmp_path / name)
    folders = dict.fromkeys(names, MediaFolder(tmp_path))
    monkeypatch.setattr(predictions, "MOST_BYTES", 6000)  # two of them
    made = predicted([{"id": name, "media": [name]} for name in names], folders)
    content = page_content(made, Path("new.html"), 9)
    assert [bool(row.pictures[0].jpeg) for row in content.cards] == [True, True, False, False]
    assert content.notes == ("2 images are not shown, to keep the page small.",)


def test_hostile_names_are_text(predicted, tmp_path) -> None:
    row = {"id": ATTACK, "prediction": ATTACK, "prompt": ATTACK, "prediction_set": [ATTACK]}
    row |= {"unsure": True, "votes": [{"class": ATTACK, "score": 1.0, "soft": 1.0}]}
    skipped = {"id": ATTACK + "2", "prediction": None, "reason": ATTACK}
    PredictionPage().write(predicted([row, skipped]), Path("n.html"), tmp_path / "page")
    text = (tmp_path / "page").read_text()
    assert "<img src=x" not in text
    assert text.count("<script>") == 1
    assert "script-src &#39;sha256-" in text


def test_names_and_numbers_that_cannot_be_are_refused(tmp_path) -> None:
    with pytest.raises(ParameterError, match=r"ends in \.html"):
        PredictionPage().require_name(tmp_path / "page.txt")
    with pytest.raises(ParameterError, match=r"ends in \.html"):
        PredictionPage().require_name(tmp_path)
    with pytest.raises(ParameterError, match="`n` is 0"):
        PredictionPage(0)


@pytest.fixture
def photos(made, tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for place, image in enumerate(made.images):
        shutil.copy(image, folder / f"{place}.jpg")
    return folder


@pytest.mark.thorough
def test_a_page_resumes_and_takes_more_images(animals, photos, tmp_path, monkeypatch) -> None:
    out = tmp_path / "new.html"
    monkeypatch.chdir(tmp_path)
    first = sorted(photos.iterdir())[:2]
    assert classify(animals, first, out=out).rows == 2
    (photos / "bad.jpg").write_bytes(b"no image")
    write = ClassifiedRun._write

    def stop(*given):
        monkeypatch.setattr(ClassifiedRun, "_write", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassifiedRun, "_write", stop)
    with pytest.raises(KeyboardInterrupt):
        classify(animals, photos, out=out)
    assert out.read_text().count("<tr data-place") == 2  # the page of before
    done = classify(animals, photos, out=out)
    known = done.predictions.height - 1
    text = out.read_text()
    assert text.count("<tr data-place") == known > 2
    assert text.count("data:image/jpeg") == known
    assert "bad.jpg is not an image of a known format" in text
    before = out.stat().st_mtime_ns
    assert classify(animals, photos, out=out).rows == 0
    assert out.stat().st_mtime_ns == before  # nothing is new, so it is not written
    assert classify(animals, photos, out=out, n=1).rows == 0
    assert out.read_text().count("<tr data-place") == 1
    order = open_store(tmp_path / "new.html.store").examples("test").height
    assert order == known


@pytest.mark.thorough
def test_a_page_of_others_and_an_edited_one_stay(animals, made, photos, tmp_path) -> None:
    out = tmp_path / "new.html"
    classify(animals, photos, out=out)
    with pytest.raises(OutputError, match=r"made otherwise \(classifier"):
        classify(made.classifier, photos, out=out, subtask="animal")
    text = out.read_text()
    out.write_text(text + " ")
    with pytest.raises(OutputError, match="was changed since"):
        classify(animals, photos, out=out)
    assert out.read_text() == text + " "
    other = tmp_path / "other.html"
    other.write_text("mine")
    with pytest.raises(OutputError, match=r"exists and has no other\.html\.store"):
        classify(animals, photos, out=other)
    assert other.read_text() == "mine"


@pytest.mark.thorough
def test_an_image_that_is_gone_is_not_shown(animals, photos, tmp_path) -> None:
    out = tmp_path / "new.html"
    classify(animals, photos, out=out)
    count = out.read_text().count("data:image/jpeg")
    (photos / "0.jpg").unlink()
    given = sorted(photos.iterdir())
    classify(animals, given, out=out, n=400)
    text = out.read_text()
    assert text.count("data:image/jpeg") == count - 1
    assert "1 example is shown without an image." in text


@pytest.mark.thorough
def test_several_tasks_are_told_apart(calibrated, made, tmp_path) -> None:
    out = tmp_path / "new.html"
    classify(calibrated, made.table, out=out, risk=0.3)
    text = out.read_text()
    names = {json.loads(line)["subtask"] for line in made.table.read_text().splitlines()}
    rows = re.findall(r'data-subtask="(\d+)"', text)
    assert len(set(rows)) == len(names) > 1
    assert "data:image/jpeg" in text


@pytest.mark.browser
@pytest.mark.thorough
def test_the_page_sorts_and_filters_in_a_browser(predicted, tmp_path, chrome) -> None:
    rng = np.random.default_rng(1)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (90, 60, 3), dtype=np.uint8)).save(tmp_path / name)
    folder = MediaFolder(tmp_path)
    rows = [
        {"id": f"{n}{ATTACK}", "media": ["ab"[n % 2] + ".png"], "probability": p, "margin": m,
         "prediction": name, "unsure": unsure, "prediction_set": ["cat", ATTACK],
         "typicality": typical, "votes": [{"class": name, "score": 3.0, "soft": 1.0}]}
        for n, (p, m, name, unsure, typical) in enumerate(
            [(0.9, 2.0, "cat", False, 0.5), (0.5, 3.0, ATTACK, True, None),
             (0.4, 1.0, "cat", True, 0.9), (0.95, 4.0, "cat" * 30, False, 0.1)]
        )
    ]  # fmt: skip
    made = predicted(rows, {row["id"]: folder for row in rows})
    page = tmp_path / "page.html"
    PredictionPage().write(made, page, page)
    tab = chrome.tab()
    for width, dark in ((PHONE, False), (LAPTOP, True)):
        tab.media(dark=dark)
        tab.open(page, width=width)
        found = look(tab)
        assert found["scroll_width"] == width, found["wide"]
        assert found["wide"] == []
        assert found["contrast"] >= 4.5, found["faint"]
        assert [size[:2] for size in found["images"]] == [[60, 90]] * 4
    order = (
        "[...document.querySelectorAll('.predictions tbody tr')].filter(r => !r.hidden)"
        ".map(r => r.dataset.id[0]).join('')"
    )
    assert tab.run(order) == "2103"  # unsure by probability, then the others
    pick = "document.querySelector('[data-sort=id]').click()"
    for ids in ("0123", "3210"):
        tab.run(pick)
        assert tab.run(order) == ids
        assert tab.run("document.querySelector('[data-sort=id]').closest('th').ariaSort")
    choose = (
        "form.elements.sort.value = '{}', form.elements.order.value = '{}',"
        " form.dispatchEvent(new Event('change'))"
    )
    for key, up, down in (("probability", "2103", "3012"), ("typicality", "3021", "2031")):
        for direction, ids in (("up", up), ("down", down)):
            tab.run(choose.format(key, direction))
            assert tab.run(order) == ids
    tab.run("document.querySelector('[name=kind]').value = 'unsure'")
    tab.run("document.getElementById('filter').dispatchEvent(new Event('change'))")
    assert tab.run(order) == "21"
    assert tab.run("document.querySelector('#filter output').textContent") == "2 of 4 shown"
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requests} <= {"file", "data"}


@pytest.mark.browser
def test_eighty_images_fit_on_a_phone(predicted, tmp_path, chrome) -> None:
    """Less than 100 px each: the picture, the class with its probability, what else it may be."""
    rows = [
        {"id": f"holiday/2026/DSC{n:05}.jpg", "probability": 0.5, "prediction": "cat",
         "unsure": True, "prediction_set": ["cat", "dog", "ocelot", "margay", "serval", "lynx"],
         "votes": [{"class": "cat", "score": 0.5, "soft": 0.5}]}
        for n in range(80)
    ]  # fmt: skip
    page = tmp_path / "page.html"
    PredictionPage().write(predicted(rows, {}), page, page)
    tab = chrome.tab()
    tab.open(page, width=PHONE)
    assert tab.run("document.documentElement.scrollHeight") < 8000
    assert "cat 50.0 %" in look(tab)["text"]


def test_settings_are_those_that_change_the_page() -> None:
    assert PredictionPage(3).settings != replace(PredictionPage(3), examples=4).settings
