"""The built site, page by page in a browser: nothing is fetched, nothing is too wide.

`just docs` builds it and runs this; `scripts/docs` has checked links and anchors.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PHONE, LAPTOP = 390, 1280

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def pages() -> list[Path]:
    found = sorted(SITE.rglob("*.html"))
    assert len(found) > 25, "run scripts/docs first"
    return found


def test_pages_load_nothing_from_elsewhere_and_fit_the_window(pages, chrome):
    tab = chrome.tab()
    for page in pages:
        for width in (PHONE, LAPTOP):
            tab.open(page, width=width)
            assert tab.run("document.documentElement.scrollWidth") <= width, page
            broken = "[...document.images].filter(image => !image.naturalWidth).length"
            assert tab.run(broken) == 0, page
    assert not [url for url in tab.requests if not url.startswith(("file:", "data:"))]


def test_no_markup_is_left_over(pages):
    for page in pages:
        text = page.read_text("utf-8")
        for left in (":::", "<!-- scripts/docs", "][savs."):
            assert left not in text, f"{page}: {left}"
        glued = re.search(r"<p>(?:(?!</p>).)*\n\* ", text, re.DOTALL)
        assert not glued, f"{page}: a list is part of a paragraph: {glued and glued[0][-80:]}"
