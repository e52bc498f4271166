"""Input files that tests write: images of noise, and rows about them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Inputs:
    """A folder of images and JSON Lines files that a test fills."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def image(self, name: str, seed: int = 0, size: tuple[int, int] = (40, 56)) -> str:
        """Save an image of noise and return its name."""
        pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return name

    def rows(self, name: str, rows: list[dict[str, Any]]) -> Path:
        """Write rows as JSON Lines and return the path."""
        path = self.root / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def few_shots(self, train: int = 6, test: int = 5) -> tuple[Path, Path]:
        """Write a two-class train and test file with their images; return the paths."""
        files = []
        for split, count, shift in (("train", train, 0), ("test", test, 100)):
            rows = [
                {
                    "image": self.image(f"images/{split}{i}.png", i + shift),
                    "question": f"What is it{'?' * (i % 3 + 1)}",
                    "label": "ab"[i % 2],
                }
                for i in range(count)
            ]
            files.append(self.rows(f"{split}.jsonl", rows))
        return files[0], files[1]
