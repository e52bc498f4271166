"""A test of some seconds: a tiny store is written, read, selected from, and evaluated."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, features

from savs.datasets import Example
from savs.foundation.errors import SavsError
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.inputs.stored_rows import example_columns, planned_rows
from savs.pipeline.selection.readouts import READOUTS
from savs.pipeline.selection.selection import select
from savs.stores import (
    Identity,
    LayerGrid,
    ShardContent,
    open_store,
    open_writer,
)
from savs.stores.format.layout import digest

FORMATS = {"JPEG": "jpg", "PNG": None, "WEBP": "webp", "AVIF": "avif", "GIF": None, "TIFF": None}
"""Image format -> the part of Pillow that decodes it, where one is needed."""
ROWS, HEADS, WIDTH = 12, 4, 8
CLASSES = ("a", "b")
SPLITS = ("train", "test")
IDENTITY = Identity(
    model={"name": "self-test", "revision": None, "class": "None", "config": "", "weights": ""},
    processor={"class": "None", "settings": ""},
    dtype="float32",
    benchmark={"name": "general", "options": {}},
    prompt="",
    grid=(LayerGrid(0, tuple(range(HEADS)), WIDTH),),
)


def decoders() -> dict[str, bool]:
    """Return which image formats are decoded, each tried on an image of two colours."""
    return {
        name: (part is None or features.check(part) is True) and _decodes(name)
        for name, part in FORMATS.items()
    }


def _decodes(name: str) -> bool:
    drawn = Image.new("RGB", (16, 16), "red")
    drawn.paste("blue", (8, 0, 16, 16))
    file = io.BytesIO()
    try:
        drawn.save(file, name)
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"), np.int64)
    except (OSError, KeyError, ValueError):
        return False
    left, right = pixels[8, 3], pixels[8, 12]
    return bool(left[0] > left[2] and right[2] > right[0])


def problems() -> list[str]:
    """Return what fails: each built-in readout must classify separate classes without a mistake."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="savs-") as folder:
        try:
            _write(Path(folder) / "store")
            store = open_store(Path(folder) / "store")
        except (SavsError, OSError) as error:
            return [f"a small store cannot be written and read: {error}"]
        for readout in READOUTS:
            try:
                result = evaluate(store, select(store, heads=2, readout=readout))
                accuracy = result.metrics[0].value
            except Exception as error:  # whatever is broken is to be told
                failures.append(f"readout {readout} fails: {error!r}")
                continue
            if accuracy != 1:
                failures.append(
                    f"readout {readout} is right in {accuracy:.0%} of a test of all right"
                )
    return failures


def _write(folder: Path) -> None:
    """Write a store whose classes lie far apart in every head."""
    examples = {
        split: [
            Example(f"{split}:{n}", split, n, CLASSES[n % 2], "?", (f"{split}-{n}.png",))
            for n in range(ROWS)
        ]
        for split in SPLITS
    }
    rows = {split: planned_rows(of_split) for split, of_split in examples.items()}
    with open_writer(folder, IDENTITY, rows) as writer:
        for spec in writer.missing():
            writer.write(spec, _content(examples[spec.split]))
        writer.seal()


def _content(examples: Sequence[Example]) -> ShardContent:
    rng = np.random.default_rng(SPLITS.index(examples[0].split))
    features_of_heads = rng.normal(0, 0.1, (HEADS, ROWS, WIDTH)).astype(np.float32)
    features_of_heads[:, 0::2, 0] += 5
    features_of_heads[:, 1::2, 1] += 5
    return ShardContent(
        layers={0: features_of_heads},
        examples=example_columns(examples, [(digest(example.id),) for example in examples]),
        skipped=example_columns([], []) | {"reason": []},
        run={},
    )
