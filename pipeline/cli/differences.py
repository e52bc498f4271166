"""A value and its paired difference in the row of a table, as several commands print them."""

from collections.abc import Mapping
from typing import Any

from savs.pipeline.running.formatting import percent, points, probability

HEADER = ("95 % interval", "difference", "95 % interval", "p", "p (Holm)")
"""Headings behind that of the value."""


def compared_cells(row: Mapping[str, Any], value: str) -> list[str]:
    """Return the cells of a value with its interval, difference, interval and p values.

    Parameters
    ----------
    row
        With the columns `low`, `high`, `difference`, `difference_low`, `difference_high`, `p` and
        `p_holm`.
    value
        Name of the column of the value itself.
    """
    return [
        percent(row[value]),
        f"{percent(row['low'])} .. {percent(row['high'])}",
        points(row["difference"]),
        f"{points(row['difference_low'])} .. {points(row['difference_high'])}",
        probability(row["p"]),
        probability(row["p_holm"]),
    ]
