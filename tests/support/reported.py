"""Results for reports: large ones made of random predictions, and hostile names."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
from small_results import save_table

from savs.pipeline.targets.one import PREDICTION_SCHEMA
from savs.pipeline.targets.target import in_schema

ATTACK = "<img src=x onerror=hacked()><script>hacked()</script>\"'</td></script>&amp;"
"""A name that runs a script wherever it is taken as HTML, or ends an attribute."""


def save_random_result(
    folder: Path,
    examples: int,
    classes: int,
    *,
    accuracy: float = 0.7,
    seed: int = 0,
    name: str = "class {}",
) -> Path:
    """Write the results of random predictions; most mistakes are of the next class."""
    rng = np.random.default_rng(seed)
    names = [name.format(number) for number in range(classes)]
    labels = rng.integers(classes, size=examples)
    shifts = np.where(rng.random(examples) < accuracy, 0, rng.geometric(0.5, size=examples))
    said = (labels + shifts) % classes
    votes = rng.integers(8, 20, size=examples)
    columns = {
        "id": [f"test:{i}" for i in range(examples)],
        "split": "test",
        "label": [names[i] for i in labels],
        "prediction": [names[i] for i in said],
        "correct": labels == said,
        "margin": (2.0 * votes - 20).tolist(),
        "votes": [
            [{"class": names[b], "score": float(n), "soft": n / 20},
             {"class": names[(b + 1) % classes], "score": float(20 - n), "soft": 1 - n / 20}]
            for b, n in zip(said, votes, strict=True)
        ],
        "group": None,
        "subtask": None,
        "category": [name.format(i % 3) for i in range(examples)],
        "cluster": [str(i) for i in range(examples)],
        "leak": None,
        "media": [[f"images/{name.format(i)}.png"] for i in range(examples)],
        "prompt": name.format("prompt"),
        "extra": "{}",
    }  # fmt: skip
    given = {column: PREDICTION_SCHEMA[column] for column in columns}
    return save_table(
        folder,
        in_schema(pl.LazyFrame(columns, schema_overrides=given), PREDICTION_SCHEMA),
        {None: names},
        model={"name": name.format("model"), "class": "Toy"},
        notes=(name.format("note"),),
    )


EMPTY = {"meta", "img", "br", "input", "link"}
"""Tags without an end."""


@dataclass(slots=True)
class Table:
    """One table."""

    caption: str = ""
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def records(self) -> list[dict[str, str]]:
        """Return the rows by column."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]

    def cells(self, *columns: str) -> list[tuple[str, ...]]:
        """Return some columns, row by row."""
        return [tuple(row[name] for name in columns) for row in self.records()]


class Page(HTMLParser):
    """A page; `tables` are in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self.feed(path.read_text("utf-8"))
        assert self._open == [], f"tags without an end: {self._open}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each tag of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def table(self, caption: str) -> Table:
        """Return the only table whose caption begins so."""
        (found,) = (table for table in self.tables if table.caption.startswith(caption))
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(Table())
        elif tag == "tr" and "tbody" in self._open:
            self.tables[-1].rows.append([])
        elif tag in ("td", "th", "caption"):
            self._cell = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> ends another tag"
        if tag in ("td", "th", "caption") and self._cell is not None:
            text, self._cell = " ".join("".join(self._cell).split()), None
            table = self.tables[-1]
            if tag == "caption":
                table.caption = text
            elif "tbody" in self._open:
                table.rows[-1].append(text)
            else:
                table.header.append(text)

    def handle_data(self, data: str) -> None:
        if "style" not in self._open and "script" not in self._open:
            self.text += data
        if self._cell is not None:
            self._cell.append(data)
