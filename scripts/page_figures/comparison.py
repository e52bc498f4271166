"""Compare the figures of a page with those of a fresh run, cell by cell."""

import re
from collections.abc import Iterator, Sequence

from page_figures.marks import Mark

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\d])")
DIVIDER = re.compile(r"\|(\s*:?-+:?\s*\|)+")


def differences(mark: Mark, fresh: Sequence[str]) -> Iterator[str]:
    """Say where a fresh table or block differs by more than its mark allows.

    Words must be equal; the widths of columns and the number of spaces do not matter.
    """
    lines, again = ([_cells(line, mark.is_table) for line in part] for part in (mark.lines, fresh))
    if len(lines) != len(again):
        yield f"{len(lines)} lines in the page, {len(again)} fresh"
        return
    for old, new in zip(lines, again, strict=True):
        if len(old) != len(new):
            yield f"{' '.join(old)!r} in the page, fresh {' '.join(new)!r}"
            continue
        for before, after in zip(old, new, strict=True):
            if not _is_close(mark, before, after):
                yield f"{old[0]}: {before} in the page, fresh {after}"


def _cells(line: str, is_table: bool) -> list[str]:
    if not is_table:
        return line.split()
    if DIVIDER.fullmatch(line):
        return ["---"]
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_close(mark: Mark, before: str, after: str) -> bool:
    if NUMBER.sub("#", before) != NUMBER.sub("#", after):
        return False
    pairs = zip(_numbers(before), _numbers(after), strict=True)
    return all(
        abs(a - b) <= mark.within * (abs(a) if mark.is_share else 1) + 1e-9 for a, b in pairs
    )


def _numbers(cell: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(cell)]
