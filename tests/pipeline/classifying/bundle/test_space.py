"""A Space: what it holds, what its page answers, and what it refuses."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from browser import Browser, Tab
from other_site import attack
from packaging.requirements import Requirement
from PIL import Image
from saved_selections import two_task_store
from standalone import ask_space, odd_images, running_space

from savs import calibrate, classify, load_selection, open_store, save_selection, select
from savs.foundation import files as whole_files
from savs.pipeline.classifying.bundle.bundle import (
    MARK,
    SHIPPED_MODEL,
    SPACE,
    WRITTEN,
    _require_free,
    space_files,
    write_bundle,
    write_space,
)
from savs.pipeline.classifying.bundle.card import GRADIO
from savs.pipeline.demo import DEMO_MODEL
from savs.pipeline.errors import ExportError
from savs.pipeline.running.result_files import unfinished_result
from savs.stores import ResultError

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[4]
NAMES = {*SPACE, *SHIPPED_MODEL}
RISK = 0.2
QUESTION = "What animal is this? Choose from cat, dog, bird, fish."


@dataclass(frozen=True)
class Running:
    """A Space that runs, and what `savs classify` says of some images."""

    address: str
    images: list[Path]
    expected: pl.DataFrame


@pytest.fixture(scope="module")
def space(animals, made, tmp_path_factory) -> Iterator[Running]:
    work = tmp_path_factory.mktemp("space")
    store = open_store(animals.parent / "s")
    selection = calibrate(store, select(store, heads=8, readout="lda")).selection
    saved = save_selection(selection, work / "saved")
    folder = write_space(store, saved, work / "pets").path
    images = [*made.images[:4], *odd_images(work, made.images[0]), work / "noise.png"]
    Image.effect_noise((96, 96), 200).save(images[-1])
    expected = classify(folder, images, risk=RISK).predictions
    with running_space(folder, RISK=str(RISK)) as address:
        yield Running(address, images, expected)


def test_the_page_answers_as_classify_does_where_savs_cannot_be_imported(space) -> None:
    columns = ("prediction", "probability", "prediction_set", "unsure", "atypical")
    seen = set()
    for image, row in zip(
        space.images, space.expected.select(columns).iter_rows(named=True), strict=True
    ):
        label, verdict = ask_space(space.address, image)
        first = label["confidences"][0]
        assert label["label"] == first["label"] == row["prediction"], image.name
        assert first["confidence"] == pytest.approx(row["probability"], abs=1e-3)
        assert sum(one["confidence"] for one in label["confidences"]) == pytest.approx(1)
        word, _, rest = verdict.splitlines()[0].partition(": ")
        assert word == ("Unsure" if row["unsure"] else "Sure")
        named = rest.removesuffix(", for an error rate of 20 %.").split(" or ")
        assert set(named) == set(row["prediction_set"] or ["no class is likely enough"])
        assert ("Atypical" in verdict) == row["atypical"]
        seen |= {word, "Atypical" in verdict}
    assert seen >= {"Sure", "Unsure", True, False}  # else the words were not tried


def test_what_is_no_image_gets_a_sentence_and_the_page_lives_on(space, tmp_path) -> None:
    bad = {
        "post.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "is unknown"),
        "cut.png": (space.images[0].read_bytes()[:300], "runcated"),
        "page.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "format is unknown"),
    }
    for name, (content, reason) in bad.items():
        (tmp_path / name).write_bytes(content)
        label, verdict = ask_space(space.address, tmp_path / name)
        assert (label, verdict.partition(":")[0]) == ({}, "The image cannot be read")
        assert reason in verdict
    Image.new("1", (8000, 8000)).save(tmp_path / "vast.png")
    assert "more than 33,554,432 pixels" in ask_space(space.address, tmp_path / "vast.png")[1]
    import httpx

    upload = f"{space.address}/gradio_api/upload"
    done = httpx.post(upload, files={"files": ("big.png", bytes(21 * 2**20))}, timeout=60)
    assert done.status_code == 413
    for foreign in (space.images[0], Path("/etc/passwd"), tmp_path / "nothing"):
        found = ask_space(space.address, {"path": str(foreign)})  # not uploaded
        assert found == ({}, "The image cannot be read: it is no upload.")
    assert ask_space(space.address, None) == ({}, "")
    assert ask_space(space.address, space.images[0])[0]["label"] == space.expected["prediction"][0]


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_person_uploads_an_image_and_reads_the_answer(space, chrome: Browser, width, dark):
    tab = chrome.tab()
    tab.media(dark=dark)
    tab("Emulation.setDeviceMetricsOverride", width=width, height=900,
        deviceScaleFactor=1, mobile=False)  # fmt: skip
    tab("Page.navigate", url=space.address)
    until(tab, "document.querySelector('input[type=file]')")
    root = tab("DOM.getDocument")["root"]["nodeId"]
    field = tab("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    tab("DOM.setFileInputFiles", nodeId=field, files=[str(space.images[0])])
    until(tab, "[...document.querySelectorAll('textarea')].some(t => /ure: /.test(t.value))")
    answer = tab.run("document.querySelector('[data-testid=label-output-value]').innerText")
    assert answer == space.expected["prediction"][0]
    assert tab.run("document.querySelector('textarea').value") == QUESTION
    assert tab.run("document.documentElement.scrollWidth") <= width
    ours = (space.address, "data:", "blob:")
    assert [url for url in tab.requests if not url.startswith(ours)] == []


@pytest.mark.browser
def test_a_page_of_another_origin_neither_uploads_nor_frames(space, chrome: Browser) -> None:
    tab = chrome.tab()
    attack(tab, f"{space.address}/")
    tab("Page.close")


def until(tab: Tab, condition: str) -> None:
    """Wait until an expression is true on the page."""
    tab.run(
        f"new Promise(done => {{ const look = () => {condition} ? done(1) : setTimeout(look, 50);"
        " look(); })"
    )


SPACES = """
from pathlib import Path
def GPU(function):
    Path(__file__).with_name("decorated").write_text(function.__name__)
    return function
"""
"""What the Hub has on ZeroGPU."""


@pytest.mark.slow
def test_on_the_hub_its_site_frames_the_page_and_no_other_page_uploads(animals, tmp_path) -> None:
    import httpx

    folder = write_space(open_store(animals.parent / "s"), animals, tmp_path / "space").path
    of_hub = {"SPACE_ID": "owner/pets", "SPACE_HOST": "owner-pets.hf.space"}
    with running_space(folder, TMPDIR=str(tmp_path), **of_hub) as address:
        own = {"Host": "owner-pets.hf.space", "Origin": "https://owner-pets.hf.space"}
        framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        page = httpx.get(address, headers={**own, **framed, "Sec-Fetch-Dest": "iframe"})
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == ("frame-ancestors https://huggingface.co")
        for origin, status in (
            (own["Origin"], 200),
            ("https://huggingface.co", 403),
            ("https://evil.hf.space", 403),
        ):
            done = httpx.post(
                f"{address}/gradio_api/upload",
                files={"files": ("a.png", b"x")},
                headers={"Host": own["Host"], "Origin": origin},
            )
            assert done.status_code == status, origin
        (uploads,) = tmp_path.glob("uploads-*")
        assert [path.read_bytes() for path in uploads.rglob("*.png")] == [b"x"]


@pytest.mark.slow
def test_one_subtask_on_zero_gpu_with_the_model_elsewhere(made, tmp_path) -> None:
    folder = write_space(
        made.store, made.classifier, tmp_path / "space", subtask="animal", title="A: \U0001f43e"
    ).path
    for name in SHIPPED_MODEL:
        (folder / name).unlink()
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "spaces.py").write_text(SPACES)
    expected = classify(folder, made.images[:1]).predictions
    with running_space(folder, MODEL=str(DEMO_MODEL), PYTHONPATH=str(packages)) as address:
        label, verdict = ask_space(address, made.images[0])
    assert (packages / "decorated").read_text() == "run"
    assert label["label"] == expected["prediction"][0]
    assert label["confidences"][0]["confidence"] == pytest.approx(expected["probability"][0])
    assert verdict == "The percentages are shares of the scores. They are not calibrated."
    assert front_matter(folder)["title"] == "A: \U0001f43e"


CASES = """
import json, os, runpy, sys
app, cases = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, os.path.dirname(app))
for case in cases:
    os.environ.pop("MODEL", None), os.environ.pop("RISK", None)
    os.environ.update(case)
    try:
        runpy.run_path(app, run_name="__main__")
    except SystemExit as end:
        print(json.dumps(end.code))
"""


@pytest.mark.costly
def test_wrong_variables_end_the_program_with_a_line(animals, tmp_path) -> None:
    selection = load_selection(animals)
    facts = {"name": "/models/mine", "revision": None}
    saved = save_selection(model(selection, **facts), tmp_path / "saved")
    done = write_space(store_of(animals.parent / "s", **facts), saved, tmp_path / "space")
    assert {path.name for path in done.path.iterdir()} == {*SPACE}
    assert "put its files into" in (done.note or "")
    cases = [{"RISK": "2"}, {"RISK": "x"}, {"MODEL": "demo"}, {}]
    ran = subprocess.run(
        [sys.executable, "-P", "-c", CASES, str(done.path / "app.py"), json.dumps(cases)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[:3] == [
        "RISK is '2', expected a number between 0 and 1, such as 0.1",
        "RISK is 'x', expected a number between 0 and 1, such as 0.1",
        "MODEL is 'demo', expected a folder, OWNER/NAME or OWNER/NAME@COMMIT",
    ]
    assert "made with the local model '/models/mine'; put its files into" in lines[3]


def front_matter(folder: Path) -> dict:
    _, front, _ = (folder / "README.md").read_text("utf-8").split("---\n", 2)
    return yaml.safe_load(front)


def model(selection, **facts):
    source = replace(selection.source, model={**selection.source.model, **facts})
    return replace(selection, source=source)


def store_of(path: Path, **facts):
    """Return a store as if another model had made it."""
    store = open_store(path)
    identity = store.manifest.identity
    identity = replace(identity, model={**identity.model, **facts})
    return replace(store, manifest=replace(store.manifest, identity=identity))


def test_the_folder_has_what_the_hub_reads_and_no_image(animals, tmp_path) -> None:
    store = open_store(animals.parent / "s")
    done = write_space(store, animals, tmp_path / "pets")
    assert {*done.files} == NAMES == {str(p.relative_to(done.path)) for p in space_files(done.path)}
    assert done.note is None
    front = front_matter(done.path)
    assert front["title"] == "pets"
    assert (front["sdk"], front["app_file"], front["sdk_version"]) == ("gradio", "app.py", GRADIO)
    assert "models" not in front  # the demo model is on no hub
    facts = {"name": "owner/model", "revision": "0123abc"}
    hub = save_selection(model(load_selection(animals), **facts), tmp_path / "hub")
    other = write_space(store_of(store.path, **facts), hub, tmp_path / "other")
    assert front_matter(other.path)["models"] == ["owner/model"]
    assert {*other.files} == {*SPACE}
    assert other.note is None
    (done.path / "app.py").unlink()
    with pytest.raises(ResultError, match=r"is not a Space: it has no app\.py"):
        space_files(done.path)


def test_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    ours = [*project["dependencies"], *extras["extract"], *extras["dev"]]
    lowest = {Requirement(text).name: bound(text) for text in ours}
    text = (ROOT / "pipeline/classifying/bundle/files/requirements.txt").read_text()
    for line in text.splitlines():
        assert bound(line) == lowest[Requirement(line).name], line
        assert "<" in line
    assert GRADIO.startswith(lowest["gradio"] + ".")


def bound(text: str) -> str:
    (version,) = [one.version for one in Requirement(text).specifier if one.operator == ">="]
    return version


def test_what_the_page_cannot_run_is_refused(animals, made, tmp_path) -> None:
    out = tmp_path / "space"
    with pytest.raises(ExportError, match="2 subtasks; pass `subtask`, one of exists, animal"):
        write_space(made.store, made.classifier, out)
    store = open_store(animals.parent / "s")
    knn = save_selection(select(store, heads=8, readout="knn"), tmp_path / "knn")
    with pytest.raises(ExportError, match=r"computes vote, posterior, .*, not knn; share it as a"):
        write_space(store, knn, out)
    two = two_task_store(tmp_path / "store")
    saved = save_selection(select(two, heads=2), tmp_path / "two")
    with pytest.raises(ExportError, match="one image for each prompt, and the training"):
        write_space(two, saved, out, subtask="one")
    assert not out.exists()
    out.mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(ExportError, match="has files"):
        write_space(store, animals, out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_killed_export_is_written_again_and_a_users_model_is_not_replaced(
    animals, tmp_path, monkeypatch
) -> None:
    store, out = open_store(animals.parent / "s"), tmp_path / "space"
    with unfinished_result(out / MARK, WRITTEN):
        monkeypatch.setattr(whole_files, "process_has_ended", lambda *_: True)
        (out / "model").mkdir()
        (out / "model/config.json").write_text("half")
        _require_free(out)
        (out / "model/of the user.safetensors").touch()
        with pytest.raises(ExportError, match="has files"):
            _require_free(out)
        (out / "model/of the user.safetensors").unlink()
        (out / "app.py").write_text("half")
        mark = next(path for path in out.iterdir() if path.name.startswith(MARK))
        content = mark.read_bytes()
    mark.write_bytes(content)
    assert {*write_bundle(store, animals, out).files}.isdisjoint({"app.py", *SHIPPED_MODEL})
    assert not (out / "app.py").exists()
    assert not (out / "model/config.json").exists()
