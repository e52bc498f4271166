"""A table that people read: a frame, how its columns are worded, and sentences about it.

Terminals, papers, model cards and pages show the same tables, each in its form.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from savs.pipeline.running.formatting import visible

if TYPE_CHECKING:
    import polars as pl

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",  # else it opens a quotation
    "<": r"\textless{}",  # these three are other signs in the default encoding of fonts
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")
_RANGE = re.compile(r"(?<=\d) \.\. (?=[-+\d])")


def plain(value: Any) -> str:
    """Return a text or a count, and a dash for None.

    Examples
    --------
    >>> [plain(value) for value in ("cat", 1200, None)]
    ['cat', '1,200', '-']
    """
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as people read it."""

    heading: str
    of: str | tuple[str, ...]
    """Columns of the frame whose values `show` makes a cell of, such as the ends of an interval."""
    show: Callable[..., str] = plain
    is_text: bool = False
    """Texts and the first column are set to the left, numbers to the right."""
    link: str = ""
    """Column of the frame with the examples that a page's link picks, null for no link."""

    def cell(self, row: Mapping[str, Any]) -> str:
        """Return the text of a row's cell."""
        names = (self.of,) if isinstance(self.of, str) else self.of
        return self.show(*(row[name] for name in names))


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a page draws in each row, after the texts."""

    kind: Literal["track", "apart", "bar"]
    """A value with its interval from 0 to 1, a difference around 0, or a bar of a share."""
    of: tuple[str | None, ...]
    """Columns of the frame: value, low, high, chance and majority, or less; of a bar the share."""
    middle: str = "50"
    """Middle of the scale."""
    reach: float = 0.0
    """Greatest distance from 0 of a difference that is drawn."""
    style: str | None = None
    """Column of the style of each row: `wrong` of a bar; `main`, `other` or `baseline`."""

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """Return what is drawn in a row."""
        return [None if name is None else row[name] for name in self.of]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people: `FORMS` are those of papers, `text` is that of a terminal."""

    frame: "pl.DataFrame"
    columns: Sequence[Column]
    title: str = ""
    notes: tuple[str, ...] = ()
    """Sentences below it."""
    details: tuple[str, ...] = ()
    """More of these, for those who ask for details."""
    drawing: Drawing | None = None

    @classmethod
    def of_cells(
        cls, header: Sequence[str], rows: Sequence[Sequence[Any]], *, are_texts: bool = False
    ) -> "Table":
        """Return a table of cells; `are_texts` sets all to the left, not the first column alone."""
        import polars as pl

        names = [str(number) for number in range(len(header))]
        columns = [
            Column(heading, name, is_text=are_texts)
            for heading, name in zip(header, names, strict=True)
        ]
        # a name that is not UTF-8 is no text of a frame before it is made visible
        cells = {n: [visible(plain(row[place])) for row in rows] for place, n in enumerate(names)}
        return cls(pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String)), columns)

    @property
    def is_left(self) -> list[bool]:
        """Whether each column is set to the left."""
        return [place == 0 or column.is_text for place, column in enumerate(self.columns)]

    @property
    def texts(self) -> int:
        """Number of the first columns that are set to the left; a page draws after them."""
        return [*self.is_left, False].index(False)

    @property
    def header(self) -> list[str]:
        """The headings."""
        return [column.heading for column in self.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The texts of all cells."""
        rows = self.frame.iter_rows(named=True)
        return [[column.cell(row) for column in self.columns] for row in rows]

    def text(self) -> str:
        """Return the lines of a terminal, without the notes."""
        cells = [[visible(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if left else cell.rjust(width)
                for left, cell, width in zip(self.is_left, row, widths, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*([visible(self.title)] if self.title else []), *lines])

    def markdown(self, word: Callable[[str], str] | None = None) -> str:
        """Return it in Markdown; `word` writes a text, by default with escapes."""
        kinds = [" --- " if left else " ---: " for left in self.is_left]
        words = [word if word and left else _escaped for left in self.is_left]
        lines = [[_escaped(cell) for cell in self.header]]
        lines += [[say(cell) for say, cell in zip(words, row, strict=True)] for row in self.rows]
        first, *others = (f"| {' | '.join(cells)} |\n" for cells in lines)
        return "".join([first, f"|{'|'.join(kinds)}|\n", *others])

    def latex(self) -> str:
        """Return it in LaTeX; it needs the package booktabs.

        A minus is one, not a hyphen, and an interval is "97.2 to 99.9".
        """
        sides = "".join("l" if left else "r" for left in self.is_left)
        header, *rows = map(_latex_line, (self.header, *self.rows))
        rules = [f"\\begin{{tabular}}{{{sides}}}", r"\toprule", header, r"\midrule", *rows]
        return "\n".join([*rules, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def csv(self) -> str:
        """Return all columns of the frame, with exact numbers."""
        return self.frame.write_csv()


TABLE = "table"
"""The form of a terminal."""
FORMS: Mapping[str, Callable[[Table], str]] = {
    "markdown": Table.markdown,
    "latex": Table.latex,
    "csv": Table.csv,
}
"""Forms for papers and other programs."""


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|")


def _latex_line(cells: Sequence[str]) -> str:
    escaped = ["".join(_LATEX.get(sign, sign) for sign in " ".join(cell.split())) for cell in cells]
    typeset = [_MINUS.sub("$-$", _RANGE.sub(" to ", cell)) for cell in escaped]
    return f"{' & '.join(typeset)} \\\\"
