"""Draw cards with a shape, and write a row about each: train.jsonl, test.jsonl."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

COLORS = ("red", "blue", "green", "yellow")
Path("cards").mkdir(exist_ok=True)
for split, count, left in (("train", 16, 4), ("test", 24, 9)):
    rows = []
    for i in range(count):
        shape = ("circle", "square")[i // 4 % 2]
        card = Image.new("RGB", (64, 64), "white")
        paint = ImageDraw.Draw(card)
        box = (left, 6, left + 24 + i, 30 + i)
        (paint.ellipse if shape == "circle" else paint.rectangle)(box, fill=COLORS[i % 4])
        name = f"cards/{split}-{i:02}.png"
        card.save(name)
        true, false = COLORS[i % 4], COLORS[(i + 1 + i // 4 % 3) % 4]
        rows.append({"picture": name, "shape": shape, "true": true, "false": false})
    Path(f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
