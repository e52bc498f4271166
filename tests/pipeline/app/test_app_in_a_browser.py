"""`savs app` as a person uses it, in Chromium: drop, look, label, and what goes wrong."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Tab, look
from reported import ATTACK
from served_app import ServedApp, served_app

import savs

pytest.importorskip("torch")
pytest.importorskip("gradio")
pytestmark = [pytest.mark.browser, pytest.mark.thorough]

PHONE = 390
DROP = "#savs-drop input[type=file]"
NOTICES = "[...document.querySelectorAll('.savs-notice')].map(e => e.innerText).join(' ')"
TEXT = "document.body && document.body.innerText"


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
    with served_app(
        tmp_path_factory.mktemp("served"), pets, "--media-root", made.root, "--device", "cpu"
    ) as app:
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


def opened(tab: Tab, app: ServedApp, *, width: int = 1280, tab_name: str = "Classify") -> None:
    """Open the page, and one of its tabs."""
    tab.open(app.address, width=width)
    tab.wait(f"document.querySelector('{DROP}') !== null")
    if tab_name != "Classify":
        tab.click(one("button[role=tab]", tab_name))


def chosen(tab: Tab, label: str, value: str) -> None:
    """Choose from a dropdown with the mouse."""
    field = f"document.querySelector('input[aria-label=\"{label}\"]')"
    tab.wait(f"!!{field}")
    tab.click(field)
    option = one("[role=option]", value)
    tab.wait(f"!!{option}")
    tab.click(option)


def dropped(tab: Tab, *files: Path) -> str:
    """Drop files, and return the text of the answers."""
    tab.choose_files(DROP, files)
    return tab.wait_in_frame("iframe[title=answers]", TEXT)


def own_requests(tab: Tab, app: ServedApp) -> set[str]:
    """Return what the page asked others for."""
    return {
        url for url in tab.requests if not url.startswith((app.address, "data:", "blob:", "about:"))
    }


def test_a_dropped_image_is_answered_with_votes_a_set_and_a_map(tab, app, made) -> None:
    opened(tab, app)
    chosen(tab, "Question", "animal")
    text = dropped(tab, *made.images[:2])
    assert "2 files in" in text
    assert "At risk 0.1" in text
    assert "Votes of the heads" in text
    thumbs = f"document.querySelectorAll('.thumb').length == {2 * 8 * 3}"
    tab.wait_in_frame("iframe[title=answers]", thumbs)
    # at the greatest risk sets are smaller
    risk = "document.querySelector('input[type=range]')"
    tab.run(f"{risk}.focus()")
    tab("Input.dispatchKeyEvent", type="keyDown", key="End", windowsVirtualKeyCode=35)
    tab("Input.dispatchKeyEvent", type="keyUp", key="End", windowsVirtualKeyCode=35)
    tab.run(f"{risk}.dispatchEvent(new PointerEvent('pointerup', {{bubbles: true}}))")
    tab.wait_in_frame("iframe[title=answers]", f"{TEXT}.includes('At risk 0.5')")
    tab.click(one("button", "Show where it looks"))
    seen = tab.wait_in_frame("iframe[title='where a head looks']", TEXT)
    assert "of 10 random masks" in seen
    assert tab.run(NOTICES) == ""
    assert own_requests(tab, app) == set()


def test_bad_files_are_named_and_the_server_lives_on(tab, app, made, tmp_path) -> None:
    tab("Page.addScriptToEvaluateOnNewDocument", source="hacked = () => { ran = true }")
    hostile = tmp_path / f"{ATTACK.replace('/', '')}.png"
    hostile.write_bytes(made.images[0].read_bytes())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    opened(tab, app)
    chosen(tab, "Question", "animal")
    text = dropped(tab, broken, hostile)
    assert "broken.jpg is not an image of a known format" in text
    assert "onerror=hacked()" in text
    assert tab.run("typeof ran") == "undefined"
    assert tab.in_frame("iframe[title=answers]", "typeof ran") == "undefined"
    # 300 MB: refused before they are read
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(300_000_000)
    opened(tab, app)
    tab.choose_files(DROP, [large])
    tab.wait("document.body.innerText.includes('exceed the maximum allowed size of 100')")
    opened(tab, app)
    chosen(tab, "Question", "animal")
    assert "1 file in" in dropped(tab, made.images[0])


def test_pasted_images_are_dropped(tab, app, made) -> None:
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
    assert "pasted.png" in tab.wait_in_frame("iframe[title=answers]", TEXT)


@pytest.mark.parametrize("tab_name", ["Classify", "Results"])
def test_a_phone_in_the_dark_shows_every_tab(tab, app, made, tab_name) -> None:
    tab.media(dark=True)
    opened(tab, app, width=PHONE, tab_name=tab_name)
    if tab_name == "Classify":
        chosen(tab, "Question", "animal")
        dropped(tab, made.images[0])
    frame = {"Classify": "iframe[title=answers]", "Results": "iframe[title=results]"}[tab_name]
    tab.wait_in_frame(frame, TEXT)
    assert tab.run("document.documentElement.scrollWidth") == PHONE
    inner = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    tab.wait_in_frame(frame, f"{inner} == 0")
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    tab.wait_in_frame(frame, f"{shade} < 60")
    assert tab.run(shade) < 60
    assert look(tab)["faint"] == []
    tab.wait(f"parseInt(document.querySelector({json.dumps(frame)}).style.height) > 300")


def test_a_wrong_example_leads_to_why(tab, app) -> None:
    opened(tab, app, tab_name="Results")
    assert "Wrong test examples" in tab.wait_in_frame("iframe[title=results]", TEXT)
    first = "document.querySelector('[data-choose]')"
    name = tab.in_frame("iframe[title=results]", f"JSON.parse({first}.dataset.choose).id")
    tab.in_frame("iframe[title=results]", f"{first}.click()")
    why = tab.wait_in_frame("iframe[title=why]", TEXT)
    assert name in why
    assert "What would have changed" in why
    assert own_requests(tab, app) == set()


def test_ctrl_c_ends_it_and_takes_the_uploads(pets, made, tmp_path) -> None:
    with served_app(tmp_path, pets) as app:
        assert [path.name for path in tmp_path.glob("savs-app-*")]
        assert app.stop(signal.SIGINT) == 130
    assert list(tmp_path.glob("savs-app-*")) == []
    assert app.log.read_text().endswith(
        "interrupted: the app is closed; all labels are in the store\n"
    )
    assert "Traceback" not in app.log.read_text()
