"""Coordinates of drawings: shades as paths of cells, and charts of lines with bands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEVELS = 12
"""Shades of a map or matrix; a path each, which is far smaller than an element a cell."""


def shade(value: float, lowest: float, highest: float) -> int:
    """Return the shade of a value, 1 (lightest) to `LEVELS`.

    Examples
    --------
    >>> [shade(v, 0, 1) for v in (0, 0.5, 1)]
    [1, 7, 12]
    """
    if highest <= lowest:
        return LEVELS
    return 1 + round((LEVELS - 1) * (value - lowest) / (highest - lowest))


def shade_paths(cells: Mapping[tuple[int, int], int]) -> dict[int, str]:
    """Return an SVG path of unit squares for each shade, from `(column, row)` -> shade.

    Neighbours of a row that have the same shade become one rectangle.

    Examples
    --------
    >>> shade_paths({(0, 0): 3, (1, 0): 3, (3, 0): 3, (2, 1): 1})
    {3: 'M0 0h2v1h-2zM3 0h1v1h-1z', 1: 'M2 1h1v1h-1z'}
    """
    runs: dict[int, list[list[int]]] = {}
    for (column, row), level in sorted(cells.items(), key=lambda item: item[0][::-1]):
        row_runs = runs.setdefault(level, [])
        if row_runs and row_runs[-1][1] == row and row_runs[-1][0] + row_runs[-1][2] == column:
            row_runs[-1][2] += 1
        else:
            row_runs.append([column, row, 1])
    return {
        level: "".join(f"M{column} {row}h{width}v1h-{width}z" for column, row, width in row_runs)
        for level, row_runs in runs.items()
    }


def grid_path(columns: int, rows: int) -> str:
    """Return an SVG path of the lines between the cells of a grid.

    Examples
    --------
    >>> grid_path(2, 1)
    'M0 0v1M1 0v1M2 0v1M0 0h2M0 1h2'
    """
    across = "".join(f"M{column} 0v{rows}" for column in range(columns + 1))
    return across + "".join(f"M0 {row}h{columns}" for row in range(rows + 1))


def spread(count: int, start: float, stop: float) -> list[float]:
    """Return positions with equal steps between two ends; one alone lies in the middle.

    Examples
    --------
    >>> spread(3, 0, 10), spread(1, 0, 10)
    ([0.0, 5.0, 10.0], [5.0])
    """
    if count == 1:
        return [(start + stop) / 2]
    return [start + (stop - start) * place / (count - 1) for place in range(count)]


LEFT, RIGHT, TOP, BOTTOM = 44, 500, 14, 226
"""Edges of a chart's plotting area, in the units of its drawing."""
MOST_TICKS = 15
"""Most numbers below the horizontal axis."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured value."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    name: str
    """Shown below the chart; empty for the only line of a chart whose title says all."""
    points: tuple[Point, ...]
    band: str
    """SVG points of the area between the interval's ends; empty if there are no intervals."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A share against one setting."""

    title: str
    x_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    chance: float | None
    """See `Height.chance`."""


@dataclass(frozen=True, slots=True)
class Height:
    """The vertical axis of a chart, from one share to another."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return the coordinate of a share."""
        share = (value - self.low) / (self.high - self.low)
        return BOTTOM - (BOTTOM - TOP) * share

    def chance(self, share: float) -> float | None:
        """Return the coordinate of the chance level; None if it lies outside of the chart."""
        return self.at(share) if self.low <= share <= self.high else None

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return the coordinates of round shares, and their percents."""
        span = self.high - self.low
        step = 0.05 if span <= 0.2 else 0.1 if span <= 0.5 else 0.2
        shares = [self.low + step * place for place in range(round(span / step + 0.49) + 1)]
        return tuple((self.at(s), f"{100 * s:g}") for s in shares if s <= self.high + 1e-9)


def height_of(shares: Iterable[float]) -> Height:
    """Return the vertical axis for some shares, which ends at whole tens of percent.

    Examples
    --------
    >>> height_of([0.53, 0.78]), height_of([1.0])
    (Height(low=0.5, high=0.8), Height(low=0.9, high=1.0))
    """
    values = list(shares)
    low, high = int(min(values) * 10) / 10, -(-int(max(values) * 1000) // 100) / 10
    if high > low:
        return Height(max(0.0, low), min(1.0, high))
    return Height(max(0.0, low - 0.1), min(1.0, low + 0.1))


def band_of(ends: Sequence[tuple[float, float, float]]) -> str:
    """Return the SVG points of a band, from the x and both heights of each of its ends.

    Examples
    --------
    >>> band_of([(0, 1, 2), (5, 3, 4)])
    '0.0,1.0 5.0,3.0 5.0,4.0 0.0,2.0'
    """
    around = [(x, top) for x, top, _ in ends] + [(x, foot) for x, _, foot in reversed(ends)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in around)


def thinned(ticks: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Return at most `MOST_TICKS` of the numbers of an axis, the last one among them."""
    step = -(-len(ticks) // MOST_TICKS)
    return tuple(tick for n, tick in enumerate(ticks) if (len(ticks) - 1 - n) % step == 0)
