"""Measure what three prompts cost compared with one. Prints a line.

    python scripts/bench_prompts.py --work build/bench-prompts

The same photos are extracted under one `--question` and under three, in turn; CPU seconds of the
shards count, and of each kind the best run. A random Qwen2-VL of 12 layers; a minute on one core.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

from extraction_bench.cases import photo
from extraction_bench.questions import build_model, time_shards

IMAGES = {"train": 4, "test": 16}
PAIRS = 2
PROMPTS = (
    "Look at the whole of the photo, and say which of the two kinds of things it shows.",
    "Which kind of thing is this? Answer with one word, and with nothing else beside it.",
    "Describe the main thing in this photo to somebody who cannot see it, in one sentence.",
)


def main() -> None:
    """Extract under one prompt and under three, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the files")
    work: Path = parser.parse_args().work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    build_model(work / "model")
    files = {split: _write(work, split, count) for split, count in IMAGES.items()}
    spent: dict[int, list[float]] = {1: [], len(PROMPTS): []}
    for count in tuple(spent) * PAIRS:
        measured = time_shards(work, question=PROMPTS[:count], **files)
        assert measured["rows"] == count * sum(IMAGES.values()), measured
        spent[count].append(measured["seconds"])
    one, several = (min(times) for times in spent.values())
    print(
        f"{sum(IMAGES.values())} images: 1 prompt {one:.2f} CPU s, {len(PROMPTS)} prompts"
        f" {several:.2f} CPU s, {several / one:.2f} times"
    )


def _write(work: Path, split: str, count: int) -> Path:
    """Write photos of 448 x 448 and the rows that name them."""
    rows = []
    for number in range(count):
        name = f"{split}-{number}.jpg"
        (work / name).write_bytes(photo((448, 448), number + 100 * (split == "test")))
        rows.append({"image": name, "label": "ab"[number % 2]})
    path = work / f"{split}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


if __name__ == "__main__":
    main()
