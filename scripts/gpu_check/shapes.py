"""What is measured: prompts with photos of some size, as others publish figures for."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from extraction_bench.cases import photo

WORDS = "Say which of the things that people use every day you can see in the picture, and where."
BODIES = 6
"""Different photos; each file has content of its own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Prompts that are alike."""

    name: str
    size: tuple[int, int]
    images: int = 1
    """Photos of a prompt."""
    questions: int = 1
    """Prompts about the same photos."""
    words: int = 6
    """Words of a question."""
    rows: int = 1000
    batch: int = 32
    max_pixels: int | None = 448 * 448
    published: str = ""
    """What others measured, and where."""

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return self.name.replace(" ", "-").replace(",", "")


SHAPES = (
    Shape("448 x 448", (448, 448)),
    Shape("HD, shrunk to 448 x 448 pixels", (1920, 1080)),
    Shape(
        "1260 x 700, 150 text tokens, batch 1",
        (1260, 700),
        words=110,
        rows=200,
        batch=1,
        max_pixels=None,
        published="Qwen2.5-VL-7B with FlashAttention 2: 102.85 ms an example (verl issue 4670)",
    ),
    Shape(
        "8 x 224 x 224 in a prompt",
        (224, 224),
        images=8,
        rows=200,
        published="Qwen2.5-VL-7B, one token of output: vLLM issue 41736",
    ),
    Shape("448 x 448, ten questions an image", (448, 448), questions=10),
)


def narrowed(shape: Shape) -> Shape:
    """Return a shape that a CPU runs in a second; its name stays."""
    size = (shape.size[0] // 8, shape.size[1] // 8)
    return replace(shape, size=size, rows=8, words=6, batch=min(shape.batch, 4))


def write_shape(shape: Shape, work: Path) -> Path:
    """Write photos and the rows that name them, and return their folder."""
    folder = work / shape.folder
    folder.mkdir(parents=True, exist_ok=True)
    bodies = [photo(shape.size, seed) for seed in range(BODIES)]
    words = (WORDS.split() * (shape.words // 10 + 1))[: shape.words]
    for split, rows in (("train", 8), ("test", shape.rows)):
        with (folder / f"{split}.jsonl").open("w") as lines:
            for row in range(rows):
                group = row // shape.questions
                names = [f"{split}-{group}-{n}.jpg" for n in range(shape.images)]
                for n, name in enumerate(names):
                    body = bodies[(group + n) % BODIES]
                    (folder / name).write_bytes(body + name.encode())  # decoders stop before it
                question = f"Question {row}: {' '.join(words)}"
                fields = {"images": names, "question": question, "label": "ab"[row % 2]}
                lines.write(json.dumps(fields) + "\n")
    return folder
