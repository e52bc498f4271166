"""Draw docs/shapes.png: examples of every task of the shapes benchmark, with question and label.

python scripts/draw_contact_sheet.py --out docs/shapes.png
"""

import argparse
import random
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from savs.datasets.benchmarks.shapes import TASKS
from savs.datasets.benchmarks.shapes.scenes import CANVASES, draw
from savs.datasets.benchmarks.shapes.tasks import Item, drawer

COLUMNS = 3
CELL = (460, 268)
MARGIN = 12
FONT_PX = 15
SEED = 1


def main() -> None:
    """Draw one unit of each task and save the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = -(-len(TASKS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], rows * CELL[1]), "white")
    for number, name in enumerate(TASKS):
        place = (number % COLUMNS * CELL[0], number // COLUMNS * CELL[1])
        sheet.paste(_cell(name, random.Random(f"sheet {SEED} {name}")), place)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out, optimize=True)


def _cell(name: str, rng: random.Random) -> Image.Image:
    unit: tuple[Item, ...] = ()
    while not unit:
        unit = TASKS[name].ask(rng, drawer(rng, canvas=rng.choice(CANVASES)))
    cell = Image.new("RGB", CELL, "white")
    pen = ImageDraw.Draw(cell)
    font = ImageFont.load_default(FONT_PX)
    weak = ", weak" if TASKS[name].weak else ""
    pen.text((MARGIN, MARGIN), f"{name} ({TASKS[name].family}{weak})", fill="black", font=font)
    scenes = list({id(scene): scene for item in unit for scene in item.scenes}.values())
    x = MARGIN
    for scene in scenes:
        picture = draw(scene)
        if unit[0].grey:
            picture = picture.convert("L").convert("RGB")
        cell.paste(picture, (x, MARGIN + 24))
        x += picture.width + 8
    y = MARGIN + 24 + max(scene.canvas[1] for scene in scenes) + 8
    questions = list(dict.fromkeys(item.question for item in unit))
    answers = " / ".join(item.label for item in unit)
    for line in [*questions, f"-> {answers}"]:
        for part in textwrap.wrap(line, 62):
            pen.text((MARGIN, y), part, fill=(60, 60, 60), font=font)
            y += FONT_PX + 3
    return cell


if __name__ == "__main__":
    main()
