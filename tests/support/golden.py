"""The store in `tests/data/format-1`, value by value: read by every release from the first on.

`python tests/support/golden.py FOLDER` wrote it. Once a release is out, do not write it again: a
reader that no longer reads it has broken format 1.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from savs.stores import Identity, LayerGrid, PlannedRow, ShardContent, ShardSpec, open_writer
from savs.stores.format.layout import digest
from stores import to_stored

IDENTITY = Identity(
    model={"name": "golden", "revision": "r1", "class": "Toy", "config": "c", "weights": "w"},
    processor={"class": "ToyProcessor", "settings": "s", "max_pixels": 4096},
    dtype="bfloat16",
    benchmark={"name": "general", "options": {"été": [1, None]}},
    prompt="p",
    grid=(LayerGrid(0, (0, 1), 4), LayerGrid(2, (0, 2), 3)),
    outputs={"answers": {"un chat": 11, "собака": 7, "鳥": 300}, "ranks": {}},
)
RUN = {"made": "by hand", "batch_size": 2, "device": "naïve"}
SHARD_ROWS = 3

FEATURES = {  # exact in bfloat16; one line a head, one row of numbers an example
    ("train", 0): """
        0 -0.0 1 -1   0.5 0.25 -0.125 2   3.3895314e38 -3.3895314e38 1e0 4   5 6 7 8   9 -9 10 -10
        1.5 2.5 3.5 4.5   0.333984375 0 0 0   9.1835e-41 1 1 1   -2 -4 -8 -16   32 64 128 -256
    """,
    ("train", 2): """
        1 0 0   0 1 0   0 0 1   -1 0 0   0 -1 0
        0.75 0.5 0.25   1.25 1.5 1.75   2.25 2.5 2.75   3.25 3.5 3.75   4.25 4.5 4.75
    """,
    ("test", 0): """
        11 12 13 14   15 16 17 18   -11 -12 -13 -14
        0.0625 0.125 0.1875 0.25   -3 -5 -7 -9   20 22 24 26
    """,
    ("test", 2): """
        0.5 -0.5 0.5   7 8 9   -7 -8 -9
        100 101 102   103 104 105   106 107 108
    """,
}
ROWS = {"train": 5, "test": 3}
"""Examples with features; one more of the test split is skipped."""

ANSWERS = {
    "train": [[1.5, -2, 0.1], [0, 3.25, -1], [9, 8, 7], [-0.5, 0.5, 1e-3], [2, 2, 2]],
    "test": [[0.25, 1, -4], [6, -6, 0.3], [1, 2, 4]],
}


def _row(
    number: int, label: str, prompt: str, *media: str, extra: str = "{}", **more: Any
) -> dict[str, Any]:
    return {
        "index": number,
        "label": label,
        "prompt": prompt,
        "media": list(media),
        "extra": extra,
        **more,
    }


EXAMPLES = {
    "train": [
        _row(
            0,
            "un chat",
            "Qu'est-ce donc ?",
            "a b.png",
            group="g 1",
            subtask="one",
            category="x",
        ),
        _row(
            1, "собака", "Что это?", "кот.png", "z.png", extra='{"n":1,"ключ":[null]}', group="g 1"
        ),
        _row(2, "鳥", "これは\n二行目", "鳥.png", subtask="two", category=""),
        _row(3, "un chat", "", category="y z"),
        _row(4, "  two  spaces ", 'a "quote" \\ and \t tab', extra='{"s":"😀"}', subtask="one"),
    ],
    "test": [
        _row(0, "un chat", "?", "t0.png", group="g 2", subtask="one", category="x"),
        _row(1, "собака", "??", "broken.png", subtask="two"),
        _row(2, "鳥", "???", "t2.png", extra='{"k":"v"}', group="g 2"),
        _row(4, "un chat", "????", category="y z"),
    ],
}
SKIPPED = {"train": {}, "test": {1: "broken.png: the image is truncated (ß)"}}
"""Place in the split's plan -> why it has no features."""


def cells(split: str, place: int) -> dict[str, Any]:
    """Return all columns of one example, as a shard holds them."""
    row = EXAMPLES[split][place]
    return {
        "index": row["index"],
        "id": f"{split}:{row['index']}",
        "split": split,
        **{name: row.get(name) for name in ("label", "group", "subtask", "category", "prompt")},
        "media": row["media"],
        "media_sha256": [f"{split}-{place}"] * len(row["media"]),
        "extra": row["extra"],
        "thumbnail": b"\xff\xd8" + bytes([place, 0, 255]) if row["media"] else None,
    }


def kept(split: str, *, skipped: bool = False) -> list[int]:
    """Return the places of the examples with features, or of those without."""
    return [p for p in range(len(EXAMPLES[split])) if (p in SKIPPED[split]) == skipped]


def features(split: str, layer: int) -> np.ndarray:
    """Return `(heads, rows, head_dim)` float32."""
    values = np.array(FEATURES[split, layer].split(), np.float32)
    return values.reshape(2, ROWS[split], -1)


def outputs(split: str) -> dict[str, np.ndarray]:
    """Return what is kept in addition to the heads."""
    rows = np.arange(ROWS[split], dtype=np.int32)[:, None, None]
    return {
        "answers": np.array(ANSWERS[split], np.float32),
        "ranks": 1000 * (rows + 1) + np.arange(6, dtype=np.int32).reshape(2, 3),
    }


def _content(spec: ShardSpec) -> ShardContent:
    here = range(spec.start, spec.stop)
    rows = [row for row, place in enumerate(kept(spec.split)) if place in here]
    examples = [cells(spec.split, place) for place in kept(spec.split) if place in here]
    gone = [place for place in kept(spec.split, skipped=True) if place in here]
    skipped = [cells(spec.split, p) | {"reason": SKIPPED[spec.split][p]} for p in gone]
    beside = {name: values[rows] for name, values in outputs(spec.split).items()}
    names = list(cells("test", 0))
    return ShardContent(
        layers={n: to_stored(features(spec.split, n)[:, rows], "bfloat16") for n in (0, 2)},
        examples={name: [row[name] for row in examples] for name in names},
        skipped={name: [row[name] for row in skipped] for name in [*names, "reason"]},
        run=RUN,
        outputs=beside,
    )


def write_golden(folder: Path) -> None:
    """Write the store that this file describes."""
    plan = {
        split: [PlannedRow(f"{split}:{row['index']}", digest(row)) for row in rows]
        for split, rows in EXAMPLES.items()
    }
    with open_writer(folder, IDENTITY, plan, shard_rows=SHARD_ROWS) as writer:
        for spec in writer.missing():
            writer.write(spec, _content(spec))
        writer.seal()


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]))
