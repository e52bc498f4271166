"""Draw scenes of one to four things: `scenes` has a list of labels each, `things` a number each."""

import json
import random
from pathlib import Path

from savs.datasets.benchmarks.shapes.scenes import draw, random_scene

COUNTS = {"train": 200, "test": 200}


def write(folder, label_of):
    rng = random.Random(0)
    folder.mkdir(exist_ok=True)
    for split, count in COUNTS.items():
        rows = []
        for number in range(count):
            scene = random_scene(rng, part=split)
            draw(scene).save(folder / f"{split}{number}.png")
            rows.append({"image": f"{split}{number}.png", "label": label_of(scene)})
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))


write(Path("scenes"), lambda scene: sorted({word for kind in scene.kinds for word in kind}))
write(Path("things"), lambda scene: len(scene.kinds))
