"""`savs app` as a person uses it, in Chromium: drop, look, label, and what goes wrong."""

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Tab, look
from number_stores import make_numbers
from PIL import Image
from reported import ATTACK
from served_app import AppHere, app_here, served_app

import savs

pytest.importorskip("torch")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.thorough,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs gradio"),
]

PHONE = 390
DROP = "#savs-drop input[type=file]"
LABEL = "iframe[title='the example to label']"
STATUS = "iframe[title='accuracy to expect']"
EXAMPLE = "document.querySelector('#example').innerText"
OPENED = ".savs-note, .savs-notice"
NOTICES = "[...document.querySelectorAll('.savs-notice')].map(e => e.innerText).join(' ')"
TEXT = "document.body && document.body.innerText"
RAN = "document.documentElement.dataset.ran || 'no'"


@pytest.fixture(scope="module")
def pets(made, tmp_path_factory) -> Path:
    """Return a store with a classifier of two subtasks and its results."""
    store = made.store
    folder = store.path / "results" / "vote"
    selection = savs.calibrate(store, savs.select(store, heads=8)).selection
    savs.save_evaluation(savs.evaluate(store, selection), folder)
    return Path(store.path)


@pytest.fixture(scope="module")
def app(pets, made, tmp_path_factory):
    with app_here(tmp_path_factory.mktemp("served"), pets, media_root=made.root) as app:
        yield app


@pytest.fixture
def tab(chrome) -> Iterator[Tab]:
    """Return a tab that is closed again: a browser keeps six connections to a server."""
    tab = chrome.tab()
    yield tab
    tab("Page.close")


def one(selector: str, words: str) -> str:
    """Return the expression of the first element that has these words."""
    return (
        f"[...document.querySelectorAll({selector!r})].find(e => e.innerText.includes({words!r}))"
    )


def opened(tab: Tab, app: AppHere, *, width: int = 1280, tab_name: str = "Classify") -> None:
    """Open the page, and one of its tabs."""
    tab.open(app.address, width=width)
    tab.wait(f"document.querySelector('{DROP}') !== null")
    tab.wait(f"!!document.querySelector({OPENED!r})")  # the server was asked: the page listens
    to_tab(tab, tab_name)


def to_tab(tab: Tab, name: str) -> None:
    button = one("button[role=tab]", name)
    tab.click(button, until=f"{button}.ariaSelected == 'true'")


def chosen(tab: Tab, label: str, value: str) -> None:
    """Choose from a dropdown with the mouse."""
    field = f"document.querySelector('input[aria-label=\"{label}\"]')"
    option = one("[role=option]", value)
    tab.click(field, until=f"!!{option}")
    tab.click(option)
    tab.wait(f"{field}.value.includes({value!r})")


def hears(frame: str) -> str:
    """Return the expression of whether a frame and the page hear each other: it has its height."""
    return f"!!document.querySelector({json.dumps(frame)})?.style.height"


def press(tab: Tab, key: str, text: str = "") -> None:
    """Press a key for the example to label."""
    tab("Page.bringToFront")  # a page in the background is not drawn, and its frames have no height
    tab.wait(hears(LABEL))
    tab.press(key, text or key)


def dropped(tab: Tab, *files: Path) -> str:
    """Drop files, and return the text of the answers."""
    tab.choose_files(DROP, files)
    return tab.wait_in_frame("iframe[title=answers]", TEXT)


def own_requests(tab: Tab, app: AppHere) -> set[str]:
    """Return what the page asked others for."""
    return {
        url for url in tab.requests if not url.startswith((app.address, "data:", "blob:", "about:"))
    }


def test_a_dropped_image_is_answered_with_votes_a_set_and_a_map(tab, app, made) -> None:
    opened(tab, app)
    chosen(tab, "Question", "animal")
    text = dropped(tab, *made.images[:2])
    assert "2 files in" in text
    assert "At an error rate of 10 %" in text
    assert "Head by head" in text
    thumbs = f"document.querySelectorAll('.thumb').length == {2 * 8 * 3}"
    tab.wait_in_frame("iframe[title=answers]", thumbs)
    places = "[...document.querySelectorAll('article')].map(e => e.getBoundingClientRect().top)"
    tops = tab.wait_in_frame("iframe[title=answers]", places)
    assert tops[0] == tops[1], "cards stand side by side"
    # at the greatest risk sets are smaller; the slider is moved again until it is heard
    risk = "document.querySelector('input[type=range]')"
    at_most = f"{TEXT}.includes('At an error rate of 50 %')"
    while not tab.in_frame("iframe[title=answers]", at_most):
        tab.run(f"{risk}.focus()")
        tab.press("End")
        tab.run(f"{risk}.dispatchEvent(new PointerEvent('pointerup', {{bubbles: true}}))")
        tab.run("new Promise(done => setTimeout(done, 1000))")
    tab.click(one("button", "Show where it looks"))
    seen = tab.wait_in_frame("iframe[title='where a head looks']", TEXT)
    assert "of 10 random masks" in seen
    assert tab.run(NOTICES) == ""
    assert own_requests(tab, app) == set()


def test_bad_files_are_named_and_the_server_lives_on(tab, app, made, tmp_path) -> None:
    leave_in_uploads(app)
    vast = tmp_path / "vast.png"
    Image.new("1", (8000, 8000)).save(vast)
    # the frame is read from a world that shares the document, not the variables, of its scripts
    mark = "hacked = () => { document.documentElement.dataset.ran = 'yes' }"
    tab("Page.addScriptToEvaluateOnNewDocument", source=mark)
    hostile = tmp_path / f"{ATTACK.replace('/', '')}.png"
    hostile.write_bytes(made.images[0].read_bytes())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    opened(tab, app)
    chosen(tab, "Question", "animal")
    text = dropped(tab, broken, hostile, vast)
    assert "broken.jpg is not an image of a known format" in text
    limit = "vast.png has 8000 x 8000 pixels, more than 33,554,432: scale it down, or run savs"
    assert limit in text
    assert "onerror=hacked()" in text
    assert tab.run(RAN) == "no"
    assert tab.wait_in_frame("iframe[title=answers]", RAN) == "no"
    # 300 MB: refused before they are read
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(300_000_000)
    opened(tab, app)
    tab.choose_files(DROP, [large])
    tab.wait("document.body.innerText.includes('exceed the maximum allowed size of 100')")
    # a pasted image is one that is dropped
    opened(tab, app)
    chosen(tab, "Question", "animal")
    data = ",".join(map(str, made.images[0].read_bytes()))
    tab.run(
        f"""(() => {{
          const file = new File([new Uint8Array([{data}])], "pasted.png", {{type: "image/png"}});
          const clipboard = new DataTransfer();
          clipboard.items.add(file);
          document.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: clipboard}}));
        }})()"""
    )
    text = tab.wait_in_frame("iframe[title=answers]", TEXT)
    assert "1 file in" in text
    assert "pasted.png" in text
    assert urllib.request.urlopen(app.address).status == 200


def leave_in_uploads(app: AppHere) -> None:
    """Connect as browsers do, and leave in the middle of an upload."""
    host, port = urlsplit(app.address).hostname, urlsplit(app.address).port
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        'Content-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    )
    for _ in range(3):
        with socket.create_connection((host, port)) as left:
            left.sendall(head.encode() + b"x" * 50_000)


def test_a_page_of_another_site_is_refused(app) -> None:
    for header in ("Host", "Origin"):
        request = urllib.request.Request(app.address, headers={header: "http://evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
    for path in ("/etc/hostname", app.log):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{app.address}gradio_api/file={path}")


def test_a_phone_in_the_dark_shows_every_tab(tab, app, made) -> None:
    tab.media(dark=True)
    opened(tab, app, width=PHONE)
    chosen(tab, "Question", "animal")
    dropped(tab, made.images[0])
    frames = {"Classify": "iframe[title=answers]", "Label": LABEL,
              "Results": "iframe[title=results]"}  # fmt: skip
    for name, frame in frames.items():
        to_tab(tab, name)
        tab.wait_in_frame(frame, TEXT)
        tab.wait(f"document.documentElement.scrollWidth == {PHONE}")
        inner = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        tab.wait_in_frame(frame, f"{inner} == 0")
        shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
        tab.wait_in_frame(frame, f"{shade} < 60")
        tab.wait(f"{shade} < 60")
        assert look(tab)["faint"] == []
        tab.wait(f"parseInt(document.querySelector({json.dumps(frame)}).style.height) > 100")


def test_a_wrong_example_leads_to_why(tab, app) -> None:
    opened(tab, app, tab_name="Results")
    assert "Wrong test examples" in tab.wait_in_frame("iframe[title=results]", TEXT)
    first = "document.querySelector('[data-choose]')"
    name = tab.wait_in_frame("iframe[title=results]", f"JSON.parse({first}.dataset.choose).id")
    tab.wait(hears("iframe[title=results]"))
    tab.in_frame("iframe[title=results]", f"{first}.click()")
    why = tab.wait_in_frame("iframe[title=why]", TEXT)
    assert name in why
    assert "What would have changed" in why
    assert own_requests(tab, app) == set()


@pytest.fixture(scope="module")
def photos(made, tmp_path_factory) -> Path:
    """Return class folders of drawn animals, and images without a label, which names tell."""
    folder = tmp_path_factory.mktemp("photos")
    rows = [json.loads(line) for line in (made.root / "train.jsonl").read_text().splitlines()]
    rows += [json.loads(line) for line in (made.root / "test.jsonl").read_text().splitlines()]
    counts: dict[str, int] = {}
    for row in rows:
        if row["subtask"] == "animal":
            label, image = row["label"], made.root / row["images"][0]
            counts[label] = counts.get(label, 0) + 1
            place = label if counts[label] <= 3 else "unlabelled"
            (folder / place).mkdir(exist_ok=True)
            shutil.copy(image, folder / place / f"{label}-{counts[label]}{image.suffix}")
    return folder


@pytest.fixture
def unlabelled(photos, tmp_path) -> Path:
    """Return a store with nine or more examples that wait, and a classifier."""
    out = tmp_path / "animals"
    savs.extract(
        *("image-folder",),
        test=photos, shots=2, question="Which animal is this?", model="demo", out=out,
    )  # fmt: skip
    selection = savs.calibrate(out, savs.select(out, heads=8)).selection
    savs.save_selection(selection, out / "results" / "vote")
    return out


def truth(name: str) -> str:
    return Path(name).name.split("-")[0]


def label_by_key(tab: Tab) -> str:
    """Press the key of the class that the name of the shown image tells; return its id."""
    name = tab.wait_in_frame(LABEL, EXAMPLE)
    classes = "[...document.querySelectorAll('[data-key]')]"
    label = json.dumps(truth(name))
    key = tab.wait_in_frame(
        LABEL, f"{classes}.find(e => e.innerText.includes({label})).dataset.key[0]"
    )
    assert key.isdigit()
    press(tab, key)
    tab.wait_in_frame(LABEL, f"!document.body.innerText.includes({json.dumps(name)})")
    return name


def labels_of(store: Path, mark: str = "/") -> dict[str, str]:
    rows = savs.open_store(store).examples("train")
    return {name: label for name, label in rows.select("id", "label").iter_rows()
            if name.startswith(f"unlabelled{mark}")}  # fmt: skip


@pytest.mark.costly
def test_ten_labels_by_keys_survive_a_kill(chrome, unlabelled, photos, tmp_path) -> None:
    waits = len(savs.open_store(unlabelled).ids("unlabelled"))
    assert waits > 12
    run = (unlabelled / "results" / "vote" / "config.json").read_bytes()
    tab, given = chrome.tab(), []
    with served_app(tmp_path, unlabelled, "--media-root", photos) as app:
        opened(tab, app, tab_name="Label")
        for count in range(10):
            given.append(label_by_key(tab))
            assert f"{count + 1} label" in tab.wait_in_frame(LABEL, TEXT)
        assert labels_of(unlabelled) == {name: truth(name) for name in given}
        # heads are chosen again, and the curve has a point before and one after the labels
        tab.wait_in_frame(STATUS, "document.querySelectorAll('svg circle').length == 2")
        assert (unlabelled / "results" / "vote" / "config.json").read_bytes() != run
        # undo takes the last one back and shows it again
        press(tab, "u")
        tab.wait_in_frame(LABEL, f"{EXAMPLE} == {json.dumps(given[-1])}")
        assert set(labels_of(unlabelled)) == set(given[:-1])
        label_by_key(tab)
        assert own_requests(tab, app) == set()
        app.stop(signal.SIGKILL)
    tab("Page.close")
    tab = chrome.tab()
    port = app.address.rstrip("/").rpartition(":")[2]  # the same: nothing is left that holds it
    with served_app(tmp_path, unlabelled, "--media-root", photos, port=port) as app:
        opened(tab, app, tab_name="Label")
        name = tab.wait_in_frame(LABEL, EXAMPLE)
        assert name not in given
        assert labels_of(unlabelled) == {name: truth(name) for name in given}
        assert "Traceback" not in app.log.read_text()
    tab("Page.close")
    assert savs.verify(unlabelled).problems == ()


@pytest.mark.slow
def test_two_browsers_share_the_work_and_a_class_is_typed(
    chrome, unlabelled, photos, tmp_path
) -> None:
    one_, two = chrome.tab(), chrome.tab()
    with served_app(tmp_path, unlabelled, "--media-root", photos) as app:
        for tab in (one_, two):
            opened(tab, app, tab_name="Label")
        first, second = (tab.wait_in_frame(LABEL, EXAMPLE) for tab in (one_, two))
        assert first != second
        two("Page.bringToFront")
        two.wait(hears(LABEL))
        field = "document.getElementById('new-class')"
        two.run(f"document.querySelector({json.dumps(LABEL)}).focus()")
        two.in_frame(LABEL, f"{field}.focus()")
        two("Input.insertText", text="axolotl")
        # a digit in the field is text, and labels nothing
        two.press("1", "1")
        two.wait_in_frame(LABEL, f"{field}.value == 'axolotl1'")
        assert labels_of(unlabelled) == {}
        two.press("Enter", "\r")
        two.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(second)}")
        assert "axolotl1" in two.in_frame(LABEL, TEXT)
        assert labels_of(unlabelled) == {second: "axolotl1"}
        label_by_key(one_)
        assert labels_of(unlabelled) == {second: "axolotl1", first: truth(first)}
    for tab in (one_, two):
        tab("Page.close")


def test_keys_mark_many_labels_enter_saves_them_and_ctrl_c_ends_it(
    chrome, of_many, tmp_path
) -> None:
    tab = chrome.tab()
    with served_app(tmp_path, of_many.path) as app:
        opened(tab, app, tab_name="Label")
        name = tab.wait_in_frame(LABEL, EXAMPLE)
        tab.wait(hears(LABEL))
        marks = "document.querySelectorAll(':checked').length"
        assert tab.in_frame(LABEL, marks)  # the guess
        unmark = "document.querySelectorAll(':checked').forEach(e => e.click())"
        tab.in_frame(LABEL, unmark)
        press(tab, "Enter", "\r")  # nothing is marked: nothing happens
        for key, count in (("1", 1), ("2", 2), ("4", 3), ("2", 2)):
            press(tab, key)
            tab.wait_in_frame(LABEL, f"{marks} == {count}")
        press(tab, "Enter", "\r")
        tab.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(name)}")
        second = tab.wait_in_frame(LABEL, EXAMPLE)
        press(tab, "n")
        tab.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(second)}")
        assert labels_of(of_many.path, ":") == {name: '["l00","l03"]', second: "[]"}
        press(tab, "u")
        tab.wait_in_frame(LABEL, f"{EXAMPLE} == {json.dumps(second)}")
        assert labels_of(of_many.path, ":") == {name: '["l00","l03"]'}
        tab("Page.close")
        assert [path.name for path in tmp_path.glob("savs-app-*")]  # uploads go there
        assert app.stop(signal.SIGINT) == 130
    assert list(tmp_path.glob("savs-app-*")) == []
    assert app.log.read_text().endswith(
        "interrupted: the app is closed; all labels are in the store\n"
    )
    assert "Traceback" not in app.log.read_text()


def test_enter_takes_the_guess_and_a_key_labels_all_that_are_selected(
    chrome, unlabelled, photos, tmp_path
) -> None:
    tab = chrome.tab()
    with app_here(tmp_path, unlabelled, media_root=photos) as app:
        opened(tab, app, tab_name="Label")
        name = tab.wait_in_frame(LABEL, EXAMPLE)
        guess = tab.in_frame(LABEL, "JSON.parse(document.querySelector('.guess').dataset.choose)")
        wide = "Math.max(...[...document.images].map(i => i.width))"
        assert 470 <= tab.in_frame(LABEL, wide) <= 480
        press(tab, "Enter", "\r")
        tab.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(name)}")
        assert labels_of(unlabelled) == {name: guess["label"]}
        tab.click("document.querySelector('input[type=radio][value=many]')")
        picks = "[...document.querySelectorAll('.pick input')]"
        tab.wait_in_frame(LABEL, f"{picks}.length > 4")
        tab.run("document.activeElement.blur()")
        tab.in_frame(LABEL, "document.querySelector('[data-key=\"1\"]').click()")  # of none
        tab.in_frame(LABEL, f"{picks}.slice(0, 3).forEach(e => e.click())")
        ids = tab.in_frame(LABEL, f"{picks}.slice(0, 3).map(e => e.value)")
        label = "JSON.parse(document.querySelector('[data-key=\"2\"]').dataset.choose).label"
        label = tab.in_frame(LABEL, label)
        press(tab, "2")
        tab.wait_in_frame(LABEL, "document.body.innerText.includes('4 labels given')")
        assert labels_of(unlabelled) == {name: guess["label"], **dict.fromkeys(ids, label)}
        press(tab, "a")
        tab.wait_in_frame(LABEL, f"{picks}.every(e => e.checked)")
        press(tab, "u")
        tab.wait_in_frame(LABEL, "document.body.innerText.includes('1 label given')")
        assert labels_of(unlabelled) == {name: guess["label"]}
        assert "Traceback" not in app.log.read_text()
    tab("Page.close")


@pytest.mark.parametrize("kind", ["regression", pytest.param("ordinal", marks=pytest.mark.costly)])
def test_numbers_are_typed_and_levels_have_keys(chrome, tmp_path, kind) -> None:
    store, _, _ = make_numbers(tmp_path / "numbers", kind, unlabelled=8)
    savs.train(store)
    tab = chrome.tab()
    with app_here(tmp_path, store.path) as app:
        opened(tab, app, tab_name="Label")
        name = tab.wait_in_frame(LABEL, EXAMPLE)
        kinds = "[...document.querySelectorAll('input[type=radio]')].map(e => e.value).join()"
        # many images at once have a level, but no number
        offered = "unsure,doubtful" if kind == "regression" else "unsure,many,doubtful"
        tab.wait(f"{kinds} == '{offered}'")
        if kind == "ordinal":
            keys = "[...document.querySelectorAll('.buttons kbd:first-child')]"
            keys += ".map(k => k.textContent).join()"
            assert tab.in_frame(LABEL, keys).startswith("1,2,3,4,5")
            tab.run("document.activeElement.blur()")
            press(tab, "4")
            expected = "4"
        else:
            tab.in_frame(LABEL, "document.getElementById('number').value = '2013.5'")
            tab.in_frame(LABEL, "document.querySelector('[data-field=number]').click()")
            expected = "2013.5"
        tab.wait_in_frame(LABEL, f"{EXAMPLE} != {json.dumps(name)}")
        labels = dict(savs.open_store(store.path).examples().select("id", "label").iter_rows())
        assert labels[name] == expected
        expects = "iframe[title='MAE to expect']"
        tab.wait_in_frame(expects, f"({TEXT} || '').includes('Expected MAE')", seconds=60)
        assert "%" not in tab.in_frame(expects, "document.querySelector('#expected b').innerText")
        opened(tab, app, tab_name="Results")
        assert "less is better" in tab.wait_in_frame("iframe[title=results]", TEXT)
        assert "Traceback" not in app.log.read_text()
    tab("Page.close")


@pytest.mark.costly
def test_without_torch_labels_and_results_work(chrome, unlabelled, tmp_path) -> None:
    savs.save_evaluation(
        savs.evaluate(unlabelled, savs.load_selection(unlabelled / "results" / "vote")),
        unlabelled / "results" / "vote",
    )
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    names = ("torch", "transformers", "accelerate")
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in names)]
    (hidden / "sitecustomize.py").write_text("\n".join(lines))
    tab = chrome.tab()
    with served_app(tmp_path, unlabelled, PYTHONPATH=str(hidden)) as app:
        opened(tab, app)
        tab.wait(f"{NOTICES}.includes('install with: pip install')")
        opened(tab, app, tab_name="Label")
        label_by_key(tab)
        assert len(labels_of(unlabelled)) == 1
        opened(tab, app, tab_name="Results")
        assert "accuracy" in tab.wait_in_frame("iframe[title=results]", TEXT)
    tab("Page.close")


@pytest.mark.slow
def test_a_store_in_the_making_says_so_and_is_shown_when_it_is_done(
    chrome, unlabelled, tmp_path
) -> None:
    """No classifier, no results, and a shard that is not there yet."""
    shutil.rmtree(unlabelled / "results")
    shard = next(unlabelled.glob("train*.h5"))
    shard.rename(tmp_path / "shard")
    tab = chrome.tab()
    with served_app(tmp_path, unlabelled) as app:
        opened(tab, app)
        tab.wait(f"{NOTICES}.includes('has no classifier yet')")
        opened(tab, app, tab_name="Label")
        tab.wait(f"{NOTICES}.includes('or wait')")
        opened(tab, app, tab_name="Results")
        tab.wait(f"{NOTICES}.includes('has no results yet; press Evaluate')")
        (tmp_path / "shard").rename(shard)
        opened(tab, app, tab_name="Label")
        tab.wait_in_frame(LABEL, EXAMPLE)
        tab.click(one("button", "Retrain"))
        tab.wait_in_frame(STATUS, "document.body.innerText.includes('Expected accuracy with 8')")
        opened(tab, app)
        tab.wait("document.body.innerText.includes('Question: Which animal is this?')")
        opened(tab, app, tab_name="Results")
        tab.click(one("button", "Evaluate"))
        assert "accuracy" in tab.wait_in_frame("iframe[title=results]", TEXT)
        # what is shown stays where it cannot be made again, and the button works once it can
        assert tab.run(NOTICES) == ""
        manifest = (unlabelled / "store.json").rename(tmp_path / "store.json")
        tab.click(one("button", "Evaluate"), until=f"{NOTICES} != ''")
        assert "accuracy" in tab.in_frame("iframe[title=results]", TEXT)
        manifest.rename(unlabelled / "store.json")
        tab.click(one("button", "Evaluate"), until=f"{NOTICES} == ''")
        assert "Traceback" not in app.log.read_text()
    tab("Page.close")


@pytest.mark.slow
def test_the_small_clip_answers_too(chrome, photos, tmp_path) -> None:
    out = tmp_path / "clip"
    savs.extract(
        *("image-folder",),
        test=photos, shots=2, question="Which animal is this?", model="demo-clip", out=out,
    )  # fmt: skip
    selection = savs.calibrate(out, savs.select(out)).selection
    savs.save_selection(selection, tmp_path / "alone")
    tab = chrome.tab()
    with served_app(tmp_path, tmp_path / "alone") as app:
        opened(tab, app)
        assert "Head by head" in dropped(tab, next((photos / "cat").iterdir()))
        tab.click(one("button", "Show where it looks"))
        tab.wait(f"{NOTICES}.includes('no maps to draw')")
        opened(tab, app, tab_name="Label")
        tab.wait(f"{NOTICES}.includes('a classifier without its store')")
        assert "Traceback" not in app.log.read_text()
    tab("Page.close")
