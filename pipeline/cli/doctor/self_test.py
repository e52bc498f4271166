"""A test of some seconds: a tiny store is written, read, selected from, and evaluated."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, features

from savs.foundation.errors import SavsError
from savs.pipeline.evaluation.evaluation import evaluate
from savs.pipeline.selection.readouts import READOUTS
from savs.pipeline.selection.selection import select
from savs.stores import (
    Identity,
    LayerGrid,
    PlannedRow,
    ShardContent,
    ShardSpec,
    open_store,
    open_writer,
)
from savs.stores.format.layout import digest

FORMATS = {"JPEG": "jpg", "PNG": None, "WEBP": "webp", "AVIF": "avif", "GIF": None, "TIFF": None}
"""Image format -> the part of Pillow that decodes it, where one is needed."""
ROWS, HEADS, WIDTH = 12, 4, 8
CLASSES = ("a", "b")


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
    rows = {split: [PlannedRow(f"{split}:{n}", digest(n)) for n in range(ROWS)] for split in SPLITS}
    with open_writer(folder, IDENTITY, rows) as writer:
        for spec in writer.missing():
            writer.write(spec, _content(spec))
        writer.seal()


SPLITS = ("train", "test")
IDENTITY = Identity(
    model={"name": "self-test", "revision": None, "class": "None", "config": "", "weights": ""},
    processor={"class": "None", "settings": ""},
    dtype="float32",
    benchmark={"name": "general", "options": {}},
    prompt="",
    grid=(LayerGrid(0, tuple(range(HEADS)), WIDTH),),
)


def _content(spec: ShardSpec) -> ShardContent:
    rng = np.random.default_rng(SPLITS.index(spec.split))
    features_of_heads = rng.normal(0, 0.1, (HEADS, ROWS, WIDTH)).astype(np.float32)
    features_of_heads[:, 0::2, 0] += 5
    features_of_heads[:, 1::2, 1] += 5
    return ShardContent(
        layers={0: features_of_heads},
        examples={name: list(values) for name, values in _columns(spec.split)},
        skipped={name: [] for name, _ in [*_columns(spec.split), ("reason", None)]},
        run={},
        outputs={},
    )


def _columns(split: str) -> Iterator[tuple[str, list[object]]]:
    numbers = range(ROWS)
    yield "index", [*numbers]
    yield "id", [f"{split}:{n}" for n in numbers]
    yield "split", [split] * ROWS
    yield "label", [CLASSES[n % 2] for n in numbers]
    yield "prompt", ["?"] * ROWS
    yield "media", [[f"{split}-{n}.png"] for n in numbers]
    yield "media_sha256", [[digest([split, n])] for n in numbers]
    yield "extra", ["{}"] * ROWS
    for name in ("group", "subtask", "category"):
        yield name, [None] * ROWS
