"""The page of images to label next, as a person at the keyboard uses it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from savs import select, suggest
from stores import make_store

CLASSES = "abcdefghij"
PHONE, LAPTOP = 390, 1280


@pytest.fixture
def page(tmp_path):
    """Return the page of a store with ten classes and twelve images that wait."""
    rng = np.random.default_rng(0)
    media = tmp_path / "media"
    media.mkdir()
    rows = [{"label": None, "media": json.dumps([f"{n}.png"]), "prompt": "?"} for n in range(12)]
    for n in range(12):
        buffer = io.BytesIO()
        Image.new("RGB", (600, 300), (20 * n, 0, 90)).save(buffer, "PNG")
        (media / f"{n}.png").write_bytes(buffer.getvalue())
    train = rng.normal(size=(2, 20, 8)).astype("f4")
    test = rng.normal(size=(2, 12, 8)).astype("f4")
    store = make_store(tmp_path / "birds", train, CLASSES * 2, test, [None] * 12, test_rows=rows)
    out = tmp_path / "next.html"
    suggest(store, select(store, heads=1), 12, out=out, media_root=media)
    return out


def test_the_page_says_that_images_are_not_there(page) -> None:
    (page.parent / "media" / "3.png").unlink()
    out = page.with_name("again.html")
    store = page.parent / "birds"
    suggest(store, select(store, heads=1), 12, out=out, media_root=page.parent / "media")
    assert "1 example is shown without an image." in out.read_text()


@pytest.mark.browser
def test_ten_keys_label_and_the_legend_and_save_stay_in_view(page, chrome) -> None:
    tab = chrome.tab()
    for width in (PHONE, LAPTOP):
        tab.open(page, width=width)
        assert tab.run("document.title") == "Label next: birds: ?"
        sizes = "[...document.images].map(i => [i.width, i.height])"
        assert {*map(tuple, tab.run(sizes))} == {(240, 120)}
        tab.run("scrollTo(0, document.documentElement.scrollHeight)")
        tab.wait("scrollY > 0")
        for part in ("#save", ".keys [data-key='0']"):
            place = tab.run(f'document.querySelector("{part}").getBoundingClientRect().top')
            assert 0 <= place < 200
    tab.run("document.querySelector('.label-of').focus()")
    tab.press("0", "0")
    tab.press("1", "1")
    values = tab.run("[...document.querySelectorAll('.label-of')].map(i => i.value)")
    assert values[:3] == ["j", "a", ""]
    tab("Page.close")
