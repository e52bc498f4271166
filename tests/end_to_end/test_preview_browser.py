"""The page of an extraction's inputs in a browser, at two widths, in light and dark."""

import pytest
from browser import look

from savs.pipeline.reports.preview.preview import preview

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

LONG = "averyveryverylongword" * 20


@pytest.fixture
def page(inputs):
    inputs.image("wide.png", 1, (300, 1500))
    (inputs.root / "junk.png").write_bytes(b"junk")
    rows = [
        {"image": "wide.png", "question": f"What is\n\t{LONG}?", "label": "<script>x()</script>"},
        {"images": ["wide.png", inputs.image("a.png", 2)], "question": "Is <image> like <image>?",
         "label": LONG, "group": LONG, "category": "c"},
        {"image": "junk.png", "question": "Broken?", "label": "b"},
        *({"image": inputs.image(f"{n}.png", n), "question": f"{n}?", "label": "b"}
          for n in range(10, 40)),
    ]  # fmt: skip
    path = inputs.rows("rows.jsonl", rows)
    preview("general", train=path, test=path, out=inputs.root / "page.html", model="demo")
    return inputs.root / "page.html"


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1400, True)])
def test_a_person_sees_every_image_and_never_scrolls_sideways(chrome, page, width, dark):
    tab = chrome.tab()
    tab.media(dark=dark)
    tab.open(page, width=width)
    found = look(tab)
    assert found["scroll_width"] == found["width"] == width, found["wide"]
    assert found["wide"] == []
    assert len(found["images"]) == 2 * (1 + 2 + 17)
    assert all(w > 0 and h > 0 and alt for w, h, alt, _ in found["images"])
    assert max(shown for *_, shown in found["images"]) == 320
    assert found["scripts"] == 0
    assert "<script>x()</script>" in found["text"]
    assert "skipped: junk.png is not an image of a known format" in found["text"]
    assert found["contrast"] >= 4.5, found["faint"]  # WCAG AA
    assert (found["lang"], found["title"]) == ("en", "Inputs: rows.jsonl")
    assert found["headings"][:3] == ["H1", "H2", "H3"]
    shade = sum(found["background"]) / 3
    assert (shade < 60) if dark else (shade > 200)
    assert tab.complaints == []
