"""What commands printed and wrote, as text that is kept and compared.

A text of `tests/data/outputs` has every command of a case, its exit code and what it printed, and
after these every file that was written: tables row by row, JSON field by field, pages tag by tag,
arrays by what sums them up. Numbers may differ by one unit of the last digit shown, since
processors round in different orders.
"""

import difflib
import html.parser
import json
import math
import re
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from safetensors.numpy import load_file

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
SHORTENED = [
    (r"data:[\w/+.-]+;base64,[\w+/=]+", "data:..."),
    (r"\b[0-9a-f]{40,64}\b", "DIGEST"),
    (r"savs-[0-9a-f]{12,}", "savs-DIGEST"),
]
"""Pattern and what stands for it: pictures, and digests that hold times or versions."""
TEXT_RULES: list[tuple[str, str, str]] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE", "when a run started"),
    (r"[\d.]+ [kMGT]?B are free", "N GB are free", "other programs use the disk"),
    (r"examples? in \d+:\d\d, [\d.]+ per second", "examples in TIME", "a duration"),
    (r"^peak memory .*", "peak memory", "differs by some MB from run to run"),
    (r"^(general,.*),[\d.]+$", r"\1,SECONDS", "compare --format csv: what a result cost"),
    (r"^(\| .* \| demo.*) \| [\d.]+ \|$", r"\1 | SECONDS |", "the same, --format markdown"),
    (r"^(.* & demo.*) & [\d.]+ \\\\$", r"\1 & SECONDS", "the same, --format latex"),
    (r"(digest of the results</dt><dd>)\w+", r"\1DIGEST", "of metrics.json, which has seconds"),
    (r"savs \d+\.\d+\.\d+\S*( torch \d.*)?", "savs VERSION", "others may be installed"),
    (r"^(.* demo .*) [\d.]+ +([\d.]+ k?B)$", r"\1 SECONDS \2", "the same, a table"),
    (r"distance is \S+ in (\w+), where one bit of the inputs makes [^)]+", r"in \1", "rounding"),
    (r"(differ from whole passes by) \S+", r"\1 LITTLE", "rounding"),
    (r"^(\w+( \w+)+|free in \S+)  +([\d.]+( .?B)?)$", r"\1 \3", "--dry-run: width of FOLDER"),
]
"""Pattern, what replaces it in each line or value, and why; the folder is FOLDER before."""
DROPPED_LINES = [
    (r"^(free in|examples per second|estimated time) ", "--dry-run: the machine's speed and disk"),
    (r"examples \(\d+ %\), [\d.]+ per second", "progress is printed by the clock"),
    (r"^\d\.(directions|offsets|ties|precisions?|decision)", "of covariances near singular"),
]
"""Pattern of a line that is left out, and why."""
DROPPED_FIELDS = [
    (r"(@run|runs/\d+)/(command|folder|cwd|host)", "where it ran"),
    (r"(@run|runs/\d+)/(writer|started|rank)$", "host, process and date of a run"),
    (r"(@run|cost|\.out:.*)/seconds$|\.out:seconds$", "durations"),
    (r":versions/|(@run|runs/\d+)/versions/", "versions of programs"),
    (r":savs$", "the version that wrote a file"),
    (r"store\.json:(check|shards/\d+/sha256)$", "digests of what holds times: shards, runs"),
    (r"metrics\.json:(run|files/.*)$", "digests of the results, which hold seconds"),
]
"""Pattern of `FILE:FIELD` (of JSON, HDF5 attributes ...) that is left out, and why."""
FIRST_ROWS = 4
FLOAT32 = 1e-6
"""Numbers of stage 2 that differ by less are the same."""
DECIMAL = re.compile(r"-?\d+(\.\d+)?")
"""A text that is a number, as predictions of numbers are."""


def number(value: float) -> str:
    """Return a number with four digits that count; all digits of a whole one."""
    return f"{value:#.4g}" if value != int(value or 0) or abs(value) > 1e15 else f"{value:.1f}"


def worded(value: Any) -> Any:
    """Return a value of a table or of JSON with short numbers."""
    if isinstance(value, float):
        return number(value) if np.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {name: worded(part) for name, part in value.items()}
    if isinstance(value, list | tuple | pl.Series):
        return [worded(part) for part in value]
    return value


def array_line(values: Any) -> str:
    """Return what sums up an array: type, shape, and for numbers mean, spread, first and last."""
    array = np.asarray(values)
    about = f"{array.dtype}{list(array.shape)}"
    if array.dtype.kind not in "iufb" or not array.size:
        return f"{about} {array.tolist()!r:.200}"
    flat = array.astype(np.float64).ravel()
    weights = np.linspace(1, 2, len(flat))  # so that an order counts, too
    there = np.isfinite(flat)
    if not there.any():
        return f"{about}, no number is finite"
    of_all = [part.mean() for part in (flat[there], (flat * weights)[there])]
    numbers = [*of_all, flat[there].std(), *flat[:3], flat[-1]]
    return f"{about}, {there.mean():.3f} finite, {' '.join(worded([*map(float, numbers)]))}"


def cells_line(cells: Any) -> str:
    """Return what sums up a column: as an array if it has numbers, else its texts and order."""
    cells = list(cells.values()) if isinstance(cells, dict) else list(cells)
    numbers = [cell for cell in cells if isinstance(cell, float)]
    if numbers:
        return f"{len(cells) - len(numbers)} empty, {array_line(numbers)}"
    texts = [str(worded(cell)).replace(str(Path.cwd()), "FOLDER") for cell in cells]
    if all(map(DECIMAL.fullmatch, texts)) and any("." in text for text in texts):
        return f"texts of numbers: {array_line([float(text) for text in texts])}"
    if any(isinstance(cell, list | dict) for cell in cells):  # may hold numbers that are rounded
        return f"{len(texts)} cells, the first {texts[0]:.200}, the last {texts[-1]:.200}"
    order = zlib.crc32("\n".join(texts).encode())
    return (
        f"{len(set(texts))} of {len(texts)} differ, in order {order:08x}: {sorted(set(texts))[:3]}"
    )


class Tags(html.parser.HTMLParser):
    """Collect a page tag by tag: names, attributes that a reader can see or follow, and texts."""

    SEEN = ("title", "href", "alt", "id", "class", "name", "value", "aria-label", "checked", "open")

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.lines: list[str] = []
        self.skips = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what can be seen of a tag."""
        self.skips = tag if tag in ("style", "script") else ""
        seen = [f"{name}={value}" for name, value in attrs if name in self.SEEN]
        if seen:
            self.lines.append(f"<{tag} {' '.join(seen)}>")

    def handle_endtag(self, tag: str) -> None:
        """Read on after a style or script."""
        self.skips = ""

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if data.strip() and not self.skips:
            self.lines.append(" ".join(data.split()))


def lines_of(path: Path) -> Iterator[str]:
    """Yield the content of a file, a line each part."""
    if path.suffix in (".json", ".out") and path.read_text()[:1] in ("{", "["):
        yield from flat(worded(json.loads(path.read_text())))
    elif path.suffix == ".parquet":
        table = pl.read_parquet(path)
        for row in table.head(FIRST_ROWS).iter_rows():
            yield " | ".join(str(worded(cell)) for cell in row)
        for name in table.columns:
            yield f"{name} {table.schema[name]}: {cells_line(table[name].to_list())}"
    elif path.suffix == ".html":
        page = Tags()
        page.feed(path.read_text("utf-8"))
        yield from page.lines
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            for name in sorted(arrays):
                yield f"{name}: {array_line(arrays[name])}"
    elif path.suffix == ".safetensors":
        for name, array in sorted(load_file(path).items()):
            yield f"{name}: {array_line(array)}"
    elif path.suffix == ".h5":
        yield from shard_lines(path)
    elif path.suffix in (".csv", ".jsonl", ".txt", ".md", ".toml", ".svg", ".out", ".err", ".json"):
        yield from path.read_text("utf-8").splitlines()
    else:
        yield f"{path.stat().st_size > 0}"


def flat(value: Any, place: str = "") -> Iterator[str]:
    """Yield places and values in lists and objects of JSON; a list of plain values is one line."""
    for name, part in value.items() if isinstance(value, dict) else enumerate(value):
        where = f"{place}/{name}" if place else str(name)
        is_plain = isinstance(part, list) and not any(isinstance(p, dict | list) for p in part)
        if isinstance(part, dict | list) and part and not is_plain:
            yield from flat(part, where)
        else:
            yield f"{where}: {part}"


def shard_lines(path: Path) -> Iterator[str]:
    """Yield attributes and datasets of a shard, columns of JSON as those of a table."""
    with h5py.File(path) as file:
        for name, item in [("", file), *visited(file)]:
            for key, value in item.attrs.items():
                text = value.decode() if isinstance(value, bytes) else str(value)
                fields = flat(json.loads(text), key) if text[0] == "{" else [f"{key}: {text}"]
                yield from (f"{name}@{field}" for field in fields)
            if isinstance(item, h5py.Dataset) and name != "index":  # offsets and sums of the others
                is_json = name.startswith(("examples/", "skipped/"))
                cells = json.loads(item[()].tobytes()) if is_json else None
                yield f"{name}: {array_line(item[()]) if cells is None else cells_line(cells)}"


def visited(file: h5py.File) -> list[tuple[str, Any]]:
    """Return all that a file holds, by name."""
    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((name, item)))
    return found


def told(path: Path, root: Path) -> list[str]:
    """Return the content of a file without what must differ between runs or machines."""
    name, lines = str(path.relative_to(root)), []
    is_field_dropped = re.compile("|".join(pattern for pattern, _ in DROPPED_FIELDS))
    for line in lines_of(path):
        place = line.partition(": ")[0]
        if is_field_dropped.search(f"{name}:{place}"):
            continue
        line = ruled(line.replace("\n", "\\n").replace(str(root), "FOLDER"))
        if line is not None:
            lines.append(line)
    return lines


@cache
def ruled(line: str) -> str | None:
    """Return a line by the rules of texts, none if it is left out; many lines come often."""
    for pattern, instead, _ in TEXT_RULES:
        line = re.sub(pattern, instead, line)
    for pattern, instead in SHORTENED:
        line = re.sub(pattern, instead, line)
    is_dropped = any(re.search(pattern, line) for pattern, _ in DROPPED_LINES)
    return None if is_dropped else line.rstrip()


def same(one: str, two: str, is_run: bool) -> bool:
    """Return whether two lines say the same, up to rounding of numbers."""
    if one == two:
        return True
    if NUMBER.sub("#", one).split() != NUMBER.sub("#", two).split():
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    return all(near(first, second, is_run) for first, second in pairs)


def near(one: str, two: str, is_run: bool) -> bool:
    """Return whether two texts of numbers differ by rounding alone; whole ones are equal."""
    if one == two:
        return True
    if "." not in one or "." not in two:
        return False
    if is_run:
        return math.isclose(float(one), float(two), rel_tol=0.02, abs_tol=0.001)
    if math.isclose(float(one), float(two), rel_tol=FLOAT32):
        return True
    units = [
        10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        for mantissa, _, exponent in (text.partition("e") for text in (one, two))
    ]
    return abs(float(one) - float(two)) <= 1.01 * max(units)


def differences(kept: list[str], now: list[str], is_run: bool) -> list[str]:
    """Return a diff of lines that say something else; none if all say the same.

    Numbers may differ by a unit of the last digit or in the seventh, as processors round in other
    ways, and by 2 % where a model was run: one right example of 24 more or less is told.
    """
    pairs = list(zip(range(len(kept)), range(len(now)), strict=False))
    if len(kept) != len(now):
        shapes = [[NUMBER.sub("#", line) for line in lines] for lines in (kept, now)]
        blocks = difflib.SequenceMatcher(None, *shapes).get_matching_blocks()
        pairs = [(b.a + n, b.b + n) for b in blocks for n in range(b.size)]
    now = [*now]
    for old, new in pairs:
        if same(kept[old], now[new], is_run):
            now[new] = kept[old]
    return [line.rstrip() for line in difflib.unified_diff(kept, now, "kept", "now", n=1)]
