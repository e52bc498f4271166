"""A report in a browser: three widths, light and dark, the keyboard, paper, hostile names."""

import io
from pathlib import Path

import numpy as np
import pytest
from browser import look
from PIL import Image
from random_stores import draw_problem, write_problem
from reported import ATTACK, save_random_result

from savs import calibrate, evaluate, report, save_evaluation, select, sweep
from savs.pipeline.evaluation.sweep.table import save_sweep

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

PHONE, LAPTOP, PAPER = 390, 1280, 760


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Return a page with every part: subtasks, two results, heads, hostile names, an image."""
    folder = tmp_path_factory.mktemp("report")
    problem = draw_problem(5, counts=(4, 4, 4), subtasks=("one", "two"), tests=90)
    store = write_problem(folder / "s", problem)
    for readout in ("vote", "lda"):
        selection = calibrate(store, select(store, heads=2, readout=readout)).selection
        save_evaluation(evaluate(store, selection, risk=0.3), store.path / "results" / readout)
    save_sweep(
        sweep(store, heads=[2], draws=1, max_layers="each"), store.path / "results" / "depth"
    )
    report(store.path, out=folder / "page.html", compare_heads=True)
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    Image.new("RGB", (300, 200), "teal").save(folder / "image.png")
    save_random_result(folder / "vote", 80, 5, name=ATTACK + "{}")
    report(folder / "vote", out=folder / "page.html", title=ATTACK, media_root=folder)
    return folder / "page.html"


@pytest.fixture
def tab(chrome):
    return chrome.tab()


def requests_of(tab):
    return {url.split(":")[0] for url in tab.requests if url.split(":")[0] != "data"}


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_every_width_fits_and_every_text_can_be_read(tab, which, request):
    page = request.getfixturevalue(which)
    shades = set()
    for width, dark, kind in ((PHONE, False, "screen"), (LAPTOP, True, "screen"),
                              (PAPER, False, "print")):  # fmt: skip
        tab.media(dark=dark, kind=kind)
        tab.open(page, width=width)
        found = look(tab)
        assert found["scroll_width"] == width, found["wide"]
        assert found["wide"] == []
        assert found["contrast"] >= 4.5, found["faint"]  # WCAG AA
        shades.add(dark == (sum(found["background"]) / 3 < 60))
    assert shades == {True}
    assert tab.complaints == []
    assert requests_of(tab) == {"file"}
    assert found["headings"][0] == "H1"
    assert found["lang"] == "en"


def test_intervals_are_whole_on_a_phone(tab, page):
    """Without a scroll to the side, in each table that is open."""
    tab.open(page, width=PHONE)
    ends = tab.run(
        """[...document.querySelectorAll("table")].flatMap(table => {
          const place = [...table.querySelectorAll("thead th")]
            .findIndex(th => th.innerText === "95 % interval");
          const cells = [...table.querySelectorAll("tbody tr")].map(row => row.cells[place]);
          return place < 0 ? [] : cells.filter(cell => cell.checkVisibility())
            .map(cell => cell.getBoundingClientRect().right);
        })"""
    )
    assert len(ends) > 10
    assert max(ends) <= PHONE


def test_dark_and_light_differ(tab, page):
    pixels = []
    for dark in (False, True):
        tab.media(dark=dark)
        tab.open(page)
        pixels.append(np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"), float))
    assert pixels[0].mean() > pixels[1].mean() + 100


def test_hostile_names_do_not_run(tab, hostile):
    tab("Page.addScriptToEvaluateOnNewDocument", source="hacked = () => { ran = true }")
    tab.open(hostile)
    assert tab.run("typeof ran") == "undefined"
    assert ATTACK in look(tab)["text"]
    # The policy refuses scripts that are not the page's own, even where one is put in.
    tab.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=hacked()>')")
    tab.run("new Promise(done => setTimeout(done, 50))")
    assert tab.run("typeof ran") == "undefined"
    assert requests_of(tab) == {"file"}


def test_the_filter_works_by_keyboard(tab, page):
    tab.open(page)
    cards = tab.run("document.querySelectorAll('.examples > li').length")
    told = "document.querySelector('#filter output').textContent"
    assert tab.run(told) == f"{cards} of {cards} shown"
    tab.run("document.querySelector('#examples-title').scrollIntoView()")
    tab.run("document.querySelector('#result .wide:last-of-type').focus()")
    for _ in range(200):  # from the last table before the gallery to the filter
        if tab.run("document.activeElement.name") == "kind":
            break
        tab.press("Tab")
    assert tab.run("document.activeElement.name") == "kind"
    tab.press("ArrowDown")
    wrong = tab.run("document.querySelectorAll('.examples > li[data-kind*=wrong]').length")
    assert 0 < wrong < cards
    assert tab.run(told) == f"{wrong} of {cards} shown"
    shown = "[...document.querySelectorAll('.examples > li')].filter(li => li.checkVisibility())"
    assert tab.run(f"{shown}.length") == wrong
    assert tab.run(f"{shown}.every(li => li.dataset.kind.includes('wrong'))")


def test_a_confusion_leads_to_its_examples(tab, page):
    tab.open(page)
    first = "document.querySelector('#classes .cell a')"
    count = int(tab.run(f"{first}.textContent"))
    tab.run(f"{first}.focus()")
    tab.press("Enter", "\r")
    shown = "[...document.querySelectorAll('.examples > li')].filter(li => li.checkVisibility())"
    assert 0 < tab.run(f"{shown}.length") <= count
    pick = tab.run(f"JSON.parse({first}.dataset.pick)")
    for name, value in pick.items():
        assert tab.run(f"{shown}.every(li => li.dataset.{name} === {value!r})")


def test_everything_is_open_on_paper(tab, page):
    tab.open(page)
    closed = "[...document.querySelectorAll('details')].filter(d => !d.open).length"
    assert tab.run(closed) > 0
    assert tab.pdf().startswith(b"%PDF")
    assert tab.run(closed) == 0


def test_a_screen_reader_finds_names_and_landmarks(tab, page):
    tab.open(page)
    tree = tab("Accessibility.getFullAXTree")["nodes"]
    roles = {}
    for node in tree:
        if not node.get("ignored"):
            roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value"))
    assert roles["banner"]
    assert roles["main"]
    assert "Parts of the page" in roles["navigation"]
    for role in ("table", "image", "combobox", "link", "button", "region", "heading"):
        assert roles[role], role
        assert all(roles[role]), f"a {role} has no name"


def test_a_big_page_opens_quickly_enough(tab, tmp_path):
    folder = save_random_result(tmp_path / "vote", 5000, 100)
    report(folder, out=tmp_path / "page.html")
    tab.open(tmp_path / "page.html")
    assert tab.run("document.querySelectorAll('.examples > li').length") == 120
    assert (
        tab.run("document.querySelector('#classes .plot').querySelectorAll('tbody tr').length")
        == 100
    )
    assert tab.complaints == []
    assert look(tab)["wide"] == []
