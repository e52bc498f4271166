"""Draw docs/report.png and two more pictures: views of a report on the demo's store.

    store=build/report-demo/features
    savs demo --out build/report-demo
    savs select $store --heads 10 && savs evaluate $store --risk 0.1
    savs select $store --readout lda && savs evaluate $store --readout lda --risk 0.1
    savs sweep $store --readout vote,lda --heads 1,5,20 --shots 1,4,16 --draws 5
    python scripts/draw_report_pictures.py build/report-demo

Chromium or Google Chrome draws them, driven as the tests drive it.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from savs import report

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import Tab, started_browser  # type: ignore  # noqa: E402

MOST_BYTES = 150_000
"""Largest size of a picture."""
WIDTH = 1000
VIEWS = {
    "report.png": ("header", "#result", "#heads", "#sweep"),
    "report-sure.png": ("#calibration",),
    "report-examples.png": ("#examples",),
}
"""File -> the parts of the page that it shows, one below the other."""
MOST_PX = 800
"""Greatest height of a part."""
ABOVE_PX = 16


def main() -> None:
    """Write the report and draw its views."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="the folder that `savs demo --out` filled")
    demo = parser.parse_args().demo
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "report.html"
        report(demo / "features", out=page, media_root=demo / "data")
        with started_browser(Path(folder) / "profile") as browser:
            tab = browser.tab()
            tab.media()
            tab.open(page, width=WIDTH)
            for name, parts in VIEWS.items():
                save([photograph(tab, part) for part in parts], ROOT / "docs" / name)


def photograph(tab: Tab, part: str) -> Image.Image:
    """Return a part of the page."""
    box = tab.run(f"document.querySelector('{part}').getBoundingClientRect().toJSON()")
    height = min(box["height"] + ABOVE_PX, MOST_PX)
    view = {"x": 0, "y": box["y"] - ABOVE_PX, "width": WIDTH, "height": height}
    return Image.open(io.BytesIO(tab.screenshot(clip=view))).convert("RGB")


def save(parts: list[Image.Image], out: Path) -> None:
    """Write a picture with a palette; one that is too large ends the program."""
    whole, top = Image.new("RGB", (WIDTH, sum(part.height for part in parts))), 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    whole.quantize(256).save(out, optimize=True)
    size = out.stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{out} has {size:,} bytes, expected at most {MOST_BYTES:,}; draw a smaller view")
    print(f"{out}: {size:,} bytes")


if __name__ == "__main__":
    main()
