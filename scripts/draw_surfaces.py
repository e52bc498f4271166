"""Classify photographs of three surfaces with the demo model: the example of README.

    pip install scikit-image
    python scripts/draw_surfaces.py --work build/surfaces
    python scripts/draw_surfaces.py --work build/surfaces --picture docs/surfaces.png

Cuts photographs that scikit-image ships under CC0 into patches, runs the commands of README on
them, and prints what they print. Chromium or Google Chrome draws the picture, a view of the report.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import draw_report_pictures
from method_comparison.tasks import PATCH, PHOTOGRAPHS
from PIL import Image

SIDE = 224
"""Pixels of a patch's side as it is saved."""
TRAIN, NEW = 20, 12
"""Patches of each photograph with a label, and without one."""
COMMANDS = (
    'train photos --question "Which surface is this?" --model demo --out surfaces',
    "classify surfaces new --out new.csv",
    "report surfaces --media-root photos --out report.html",
)
QUESTION = """
import savs
surfaces = savs.load("surfaces")
print(surfaces("new/06.jpg"))
print(surfaces.predict_sets(["new/06.jpg"], risk=0.1))
"""
VIEWS = ("header", "#result", "#examples")
"""Parts of the report in the picture, one below the other."""
EXAMPLES_PX = 594
"""Greatest height of the last part."""


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder to fill")
    parser.add_argument("--picture", type=Path, help="picture of the report to write")
    arguments = parser.parse_args()
    work: Path = arguments.work
    write_patches(work)
    savs = Path(sys.executable).with_name("savs")
    for command in COMMANDS:
        print(_output([os.fspath(savs), *shlex.split(command)], work))
    print(_output([sys.executable, "-c", QUESTION], work))
    if arguments.picture is not None:
        draw(work / "report.html", arguments.picture)


def write_patches(work: Path) -> None:
    """Write `photos`, a folder per surface, and `new`, in an order that tells no surface."""
    from skimage import data

    rng, new = random.Random(0), []
    for name in PHOTOGRAPHS:
        photograph = Image.fromarray(getattr(data, name)()).convert("RGB")
        corners = [
            (x, y)
            for x in range(0, photograph.width, PATCH)
            for y in range(0, photograph.height, PATCH)
        ]
        rng.shuffle(corners)
        patches = [
            photograph.crop((x, y, x + PATCH, y + PATCH)).resize((SIDE, SIDE)) for x, y in corners
        ]
        (work / "photos" / name).mkdir(parents=True, exist_ok=True)
        for number, patch in enumerate(patches[:TRAIN]):
            patch.save(work / "photos" / name / f"{number:02}.jpg", quality=90)
        new += patches[TRAIN : TRAIN + NEW]
    rng.shuffle(new)
    (work / "new").mkdir(exist_ok=True)
    for number, patch in enumerate(new):
        patch.save(work / "new" / f"{number:02}.jpg", quality=90)


def _output(words: list[str], work: Path) -> str:
    return subprocess.run(words, cwd=work, stdout=subprocess.PIPE, text=True, check=True).stdout


def draw(page: Path, out: Path) -> None:
    """Draw the picture: the first parts of the report and its first wrong examples."""
    pictures = draw_report_pictures
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        pictures.started_browser(Path(folder) / "profile") as browser,
    ):
        tab = browser.tab()
        tab.media()
        tab.open(page.resolve(), width=pictures.WIDTH)
        parts = [pictures.photograph(tab, part) for part in VIEWS]
    *first, examples = parts
    height = min(EXAMPLES_PX, examples.height)
    pictures.save([*first, examples.crop((0, 0, examples.width, height))], out)


if __name__ == "__main__":
    main()
