"""Coordinates of drawings: shades as paths of cells, positions on an axis."""

from collections.abc import Iterable, Mapping

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
        own = runs.setdefault(level, [])
        if own and own[-1][1] == row and own[-1][0] + own[-1][2] == column:
            own[-1][2] += 1
        else:
            own.append([column, row, 1])
    return {level: "".join(map(_box, own)) for level, own in runs.items()}


def _box(run: Iterable[int]) -> str:
    column, row, width = run
    return f"M{column} {row}h{width}v1h-{width}z"


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
