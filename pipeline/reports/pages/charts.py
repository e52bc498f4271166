"""Charts: lines with bands, maps of heads and matrices, as coordinates for `charts.html`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

TONES = (
    ("#0a5bb5", "#7fb6ff", "none"),
    ("#b3470f", "#ffa370", "7 3"),
    ("#2e8b57", "#5fcf8e", "2 3"),
    ("#8c5fd0", "#b99cf2", "9 3 2 3"),
    ("#b8860b", "#dfb64b", "12 4"),
    ("#d0578c", "#f08fba", "4 4"),
)
"""Colour of each line of a chart on light and on dark ground, and its dashes. No more lines can be
found out apart."""

ACCENT, WRONG = TONES[:2]
"""Colours of maps, bars, matrices and links; and of what is wrong in them."""
STYLE = "\n".join(
    [f":root {{ --accent: {ACCENT[0]}; --wrong: {WRONG[0]}; }}"]
    + ["@media (prefers-color-scheme: dark) {"
       f" :root {{ --accent: {ACCENT[1]}; --wrong: {WRONG[1]}; }} }}"]
    + [f".s{n} {{ --tone: {tone}; --dash: {dash}; }}" for n, (tone, _, dash) in enumerate(TONES)]
    + [f"@media (prefers-color-scheme: dark) {{ .s{n} {{ --tone: {tone}; }} }}"
       for n, (_, tone, _) in enumerate(TONES)]
)  # fmt: skip
"""Style of charts, with the colours that the rest of a page has of them."""
LEVELS = 12
"""Shades of a map or matrix; a path each, which is far smaller than an element a cell."""


def shade(value: float, lowest: float, highest: float) -> int:
    """Return the shade of a value, 1 (lightest) to `LEVELS`.

    >>> [shade(v, 0, 1) for v in (0, 0.5, 1)]
    [1, 7, 12]
    """
    if highest <= lowest:
        return LEVELS
    return 1 + round((LEVELS - 1) * (value - lowest) / (highest - lowest))


def shade_paths(cells: Mapping[tuple[int, int], int]) -> dict[int, str]:
    """Return an SVG path of unit squares for each shade, from `(column, row)` -> shade.

    Neighbours of a row that have the same shade become one rectangle.

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

    >>> grid_path(2, 1)
    'M0 0v1M1 0v1M2 0v1M0 0h2M0 1h2'
    """
    across = "".join(f"M{column} 0v{rows}" for column in range(columns + 1))
    return across + "".join(f"M0 {row}h{columns}" for row in range(rows + 1))


LEFT, RIGHT, TOP, BOTTOM = 44, 500, 14, 226
"""Edges of a chart's plotting area, in the units of its drawing."""
MOST_TICKS = 15
"""Most numbers below the horizontal axis."""


class Value(NamedTuple):
    """A share that was measured, with its interval if it has one."""

    at: float
    """Where on the horizontal axis."""
    share: float
    low: float | None
    high: float | None
    title: str


@dataclass(frozen=True, slots=True)
class Point:
    """A value in the units of the drawing."""

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
    """Shares against one setting."""

    title: str
    x_name: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    series: tuple[Series, ...]
    chance: float | None
    """Height of the chance level; None if it lies outside of the chart."""


def draw_lines(
    title: str,
    x_name: str,
    ticks: Iterable[tuple[float, str]],
    lines: Mapping[str, Sequence[Value]],
    *,
    chance: float | None = None,
    scale: Iterable[float] = (),
    are_shares: bool = True,
) -> Chart:
    """Return a chart of lines.

    `ticks` are places on the horizontal axis, the first and the last among them, and their texts;
    `scale` has values of other charts that have the same vertical axis, which is in percent where
    values `are_shares`.
    """
    texts = dict(ticks)
    places = sorted(texts)
    span = places[-1] - places[0]
    first, last = (LEFT + 20, RIGHT - 20) if span else 2 * [(LEFT + RIGHT) / 2]

    def x_of(place: float) -> float:
        return first + (last - first) * (place - places[0]) / (span or 1)

    shares = [
        share
        for values in lines.values()
        for value in values
        for share in (value.share, value.low, value.high)
        if share is not None
    ]
    if are_shares:
        bottom, top = ends_of([*shares, *scale])
        step = 0.05 if top - bottom <= 0.2 else 0.1 if top - bottom <= 0.5 else 0.2
        count = round((top - bottom) / step + 0.49) + 1
        heights = [h for n in range(count) if (h := bottom + step * n) <= top + 1e-9]
    else:
        heights = nice_ticks([*shares, *scale])
        bottom, top = heights[0], heights[-1]

    def y_of(share: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (share - bottom) / (top - bottom)

    every = -(-len(places) // MOST_TICKS)
    labelled = [place for n, place in enumerate(reversed(places)) if n % every == 0]
    return Chart(
        title=title,
        x_name=x_name,
        x_ticks=tuple((x_of(place), texts[place]) for place in reversed(labelled)),
        y_ticks=tuple((y_of(h), f"{100 * h:g}" if are_shares else f"{h:.6g}") for h in heights),
        series=tuple(
            Series(
                name,
                tuple(Point(x_of(v.at), y_of(v.share), v.title) for v in values),
                _band([(x_of(v.at), y_of(v.high), y_of(v.low)) for v in values
                       if v.low is not None and v.high is not None]),
            )
            for name, values in lines.items()
        ),
        chance=y_of(chance) if chance is not None and bottom <= chance <= top else None,
    )  # fmt: skip


MOST_POINTS = 2000
"""Most points of a scatter plot: every n-th of more."""
SIDE = 360.0
"""Side of a scatter plot."""
NUMBER_TICKS = 6
"""Most numbers along an axis of numbers."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Predicted against true numbers, on one scale."""

    points: str
    """SVG path."""
    intervals: str
    """SVG path of those that are known."""
    ticks: tuple[tuple[float, str], ...]
    """Places on an axis from 0 to `SIDE`, with their numbers."""
    shown: int
    of: int


def draw_scatter(
    rows: Sequence[tuple[float, float, float | None, float | None]], side: float = SIDE
) -> Scatter:
    """Return the plot of true and predicted numbers, each with the ends of its interval if known.

    There is one number at least. Paths are in the units of the drawing, from the top left.
    """
    step = -(-len(rows) // MOST_POINTS)
    drawn = rows[::step]
    ticks = nice_ticks([number for row in drawn for number in row if number is not None])
    low, high = ticks[0], ticks[-1]

    def at(number: float) -> float:
        return side * (number - low) / (high - low)

    points, intervals = [], []
    for truth, value, first, last in drawn:
        x = f"M{at(truth):.1f}"
        points.append(f"{x} {side - at(value):.1f}h0")
        if first is not None and last is not None:
            intervals.append(f"{x} {side - at(first):.1f}V{side - at(last):.1f}")
    return Scatter(
        points="".join(points),
        intervals="".join(intervals),
        ticks=tuple((at(tick), f"{tick:.6g}") for tick in ticks),
        shown=len(drawn),
        of=len(rows),
    )


def nice_ticks(numbers: Iterable[float]) -> list[float]:
    """Return round numbers at equal steps, at most `NUMBER_TICKS`, that hold all of some.

    >>> nice_ticks([0.3, 4.2]), nice_ticks([1.0])
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.9, 0.95, 1.0, 1.05, 1.1])
    """
    values = list(numbers)
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # equal but for rounding
        apart = 0.1 * abs(low) or 1.0
        low, high = low - apart, high + apart
    size = 10.0 ** math.floor(math.log10(high - low) - 1)
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50, 100):
        step = factor * size
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < NUMBER_TICKS:
            break
    return [float(f"{step * place:.12g}") for place in range(first, last + 1)]


def ends_of(shares: Iterable[float]) -> tuple[float, float]:
    """Return the ends of the vertical axis for some shares: whole tens of percent.

    >>> ends_of([0.53, 0.78]), ends_of([1.0])
    ((0.5, 0.8), (0.9, 1.0))
    """
    values = list(shares)
    low, high = int(min(values) * 10) / 10, -(-int(max(values) * 1000) // 100) / 10
    if high > low:
        return max(0.0, low), min(1.0, high)
    return max(0.0, low - 0.1), min(1.0, low + 0.1)


def _band(ends: Sequence[tuple[float, float, float]]) -> str:
    """Return the SVG points of a band, from the x and both heights of each of its ends."""
    around = [(x, top) for x, top, _ in ends] + [(x, foot) for x, _, foot in reversed(ends)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in around)


@dataclass(frozen=True, slots=True)
class Mark:
    """A chosen head on a map."""

    x: int
    y: int
    text: str
    """Its rank; of several subtasks, how many chose it."""
    title: str


@dataclass(frozen=True, slots=True)
class HeadMap:
    """A grid of layers and heads, shaded by strength."""

    title: str
    columns: int
    layers: pl.DataFrame
    """A row a layer: its `number`, the `mean` and `best` strength of its heads, and how often they
    were `chosen`."""
    lowest: float
    """Strength of the lightest shade."""
    highest: float
    paths: dict[int, str]
    """Shade -> SVG path of its heads, in cells."""
    lines: str
    """SVG path of the lines between cells."""
    marks: tuple[Mark, ...]

    @property
    def cell(self) -> int:
        """Side of a cell in pixels: small grids have large cells."""
        return max(13, min(30, 560 // self.columns))


def draw_heads(
    heads: pl.DataFrame, *, title: str | None = None, chosen_by: str | None = None
) -> HeadMap:
    """Return the map of a subtask's heads, or of several, or labels; `chosen_by` says which.

    `heads` are as `mean_map` returns them.

    By default the title says so, too.
    """
    heads = heads.sort("layer", "head")
    numbers = heads["layer"].unique(maintain_order=True).to_list()
    rows = {layer: y for y, layer in enumerate(numbers)}
    columns = int(heads["head"].max()) + 1  # type: ignore
    lowest, highest = float(heads["strength"].min()), float(heads["strength"].max())  # type: ignore
    cells = {
        (head, rows[layer]): shade(strength, lowest, highest)
        for layer, head, strength in heads.select("layer", "head", "strength").rows()
    }
    profile = heads.group_by(number="layer", maintain_order=True).agg(
        mean=pl.col("strength").mean(), best=pl.col("strength").max(), chosen=pl.col("chosen").sum()
    )
    return HeadMap(
        title=title or (f"all {chosen_by}s" if chosen_by else ""),
        columns=columns,
        layers=profile,
        lowest=lowest,
        highest=highest,
        paths=shade_paths(cells),
        lines=grid_path(columns, len(numbers)),
        marks=tuple(_marks(heads.filter(pl.col("chosen") > 0), rows, chosen_by)),
    )


def _marks(chosen: pl.DataFrame, rows: dict[int, int], chosen_by: str | None) -> Sequence[Mark]:
    marks = []
    for row in chosen.iter_rows(named=True):
        text = str(row["chosen"] if chosen_by else row["rank"])
        by = f"chosen by {row['chosen']} {chosen_by}s"
        choice = by if chosen_by else f"rank {row['rank']}"
        title = f"{row['name']}: {100 * row['strength']:.1f} %, {choice}"
        marks.append(Mark(row["head"], rows[row["layer"]], text, title))
    return marks


def matrix_paths(
    labels: Sequence[dict[str, Any]],
    columns: Sequence[str | None],
    counts: Mapping[tuple[str, str | None], int],
    *,
    right: bool,
) -> dict[int, str]:
    """Return the shades of the cells on the diagonal, or off it, by share of their row."""
    places = {name: place for place, name in enumerate(columns)}
    rows = {row["label"]: (y, row["n"]) for y, row in enumerate(labels)}
    cells = {
        (places[name], rows[label][0]): shade(count / rows[label][1], 0, 1)
        for (label, name), count in counts.items()
        if count and label in rows and (label == name) == right
    }
    return shade_paths(cells)
