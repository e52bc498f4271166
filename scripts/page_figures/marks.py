"""Marked figures of a page: a table or a block of text after a comment that names its command.

    <!-- figures: python scripts/estimate_cost.py; part 1; within 0; takes 1 s -->

`part` is the number of the table, or of the paragraph, in what the command prints. `within` is how
far a fresh number may be off: `within 2` in the unit of the cell, `within 20 %` of the number.
`takes` is the time of the command on two free cores. `{work}` in a command is a fresh folder.
`columns 1 2 5` after `part` says which columns of a table the page has; without it, all.
"""

import re
from dataclasses import dataclass
from pathlib import Path

MARK = re.compile(
    r"<!-- figures: (?P<command>.+); part (?P<part>\d+);(?: columns (?P<columns>\d+(?: \d+)*);)?"
    r" within (?P<within>\d*\.?\d+)(?P<share> %)?; takes (?P<time>\d+) (?P<unit>s|min|h) -->"
)
BEGIN = "<!-- figures:"
EXAMPLE = f"{BEGIN} COMMAND; part 1; within 2; takes 5 min -->"
SECONDS = {"s": 1, "min": 60, "h": 3600}


class MarkError(Exception):
    """A mark in a page cannot be read; the message says which and what was expected."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Figures of a page."""

    page: Path
    line: int
    """Of the mark, counted from 1."""
    command: str
    part: int
    columns: tuple[int, ...]
    """Numbers of the columns of the printed table that the page has, from 1; empty if all."""
    within: float
    is_share: bool
    """Whether `within` is a share of the number, not a distance."""
    seconds: int
    """Time that the command takes."""
    lines: tuple[str, ...]
    """The table, or the block of text without its fences."""
    first: int
    """Index of its first line in the page."""

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.lines[0].startswith("|")

    @property
    def place(self) -> str:
        """Where it stands, as an editor takes it."""
        return f"{self.page}:{self.line}"


def find_marks(page: Path, text: str) -> list[Mark]:
    """Return all marked figures of a page.

    Raises
    ------
    MarkError
        A mark is not as expected, or no table and no block of text follows it.
    """
    lines = text.splitlines()
    return [_mark(page, lines, at) for at, line in enumerate(lines) if line.startswith(BEGIN)]


def _mark(page: Path, lines: list[str], at: int) -> Mark:
    parsed = MARK.fullmatch(lines[at])
    if parsed is None:
        raise MarkError(f"{page}:{at + 1}: expected a comment like {EXAMPLE}")
    first = at + 1
    fence = first < len(lines) and lines[first].startswith("```")
    first += fence
    last = first
    while last < len(lines) and (lines[last] != "```" if fence else lines[last].startswith("|")):
        last += 1
    if last == first:
        raise MarkError(f"{page}:{at + 1}: expected a table or a block of text in the next line")
    return Mark(
        page=page,
        line=at + 1,
        command=parsed["command"],
        part=int(parsed["part"]),
        columns=tuple(map(int, (parsed["columns"] or "").split())),
        within=float(parsed["within"]) / (100 if parsed["share"] else 1),
        is_share=parsed["share"] is not None,
        seconds=int(parsed["time"]) * SECONDS[parsed["unit"]],
        lines=tuple(lines[first:last]),
        first=first,
    )


def fresh_lines(mark: Mark, output: str) -> tuple[str, ...] | None:
    """Return the table or paragraph of an output that a mark asks for; None if it has fewer.

    Of a table, the lines have the mark's columns alone.
    """
    parts = [tuple(part.splitlines()) for part in re.split(r"\n\s*\n", output.strip("\n")) if part]
    candidates = [part for part in parts if part[0].startswith("|") == mark.is_table]
    if mark.part > len(candidates):
        return None
    return tuple(_columns(line, mark.columns) for line in candidates[mark.part - 1])


def _columns(line: str, columns: tuple[int, ...]) -> str:
    cells = line.strip().strip("|").split("|")
    if not columns or len(cells) < max(columns):
        return line
    return f"|{'|'.join(cells[number - 1] for number in columns)}|"
