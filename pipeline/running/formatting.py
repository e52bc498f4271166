"""Numbers and texts as people read them: bytes, durations, shares, p values, counts, lists."""

import re
from collections.abc import Callable, Sequence
from functools import partial

SMALLEST_P = 0.0001
"""The smallest p value that is shown as it is."""
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Characters that a terminal obeys, or that change the order of others, instead of being shown."""


def format_bytes(count: int) -> str:
    """Return a number of bytes in decimal units, three digits.

    Examples
    --------
    >>> [format_bytes(n) for n in (0, 950, 1_320_000, 999_999_999)]
    ['0 B', '950 B', '1.32 MB', '1 GB']
    """
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if round(value) < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"


def format_seconds(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours if it has any.

    Examples
    --------
    >>> [format_seconds(s) for s in (4.2, 75, 3723)]
    ['0:04', '1:15', '1:02:03']
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def of_shares(least: float, greatest: float) -> str:
    """Return a range of shares in percent, once if both are the same.

    Examples
    --------
    >>> of_shares(0.64, 0.8), of_shares(0.8, 0.8)
    ('64 to 80 %', '80 %')
    """
    return " to ".join(dict.fromkeys(f"{100 * share:.0f}" for share in (least, greatest))) + " %"


def counted(count: int, noun: str) -> str:
    """Return a number of things; the plural of `noun` has an s.

    Examples
    --------
    >>> counted(1, "example"), counted(1200, "example")
    ('1 example', '1,200 examples')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def counted_as(count: int, noun: str, one: str, several: str) -> str:
    """Return a number of things with a verb that agrees.

    Examples
    --------
    >>> counted_as(1, "example", "was", "were"), counted_as(2, "example", "was", "were")
    ('1 example was', '2 examples were')
    """
    return f"{counted(count, noun)} {one if count == 1 else several}"


LISTED = 6
LONGEST = 24
"""Characters of a name in a list."""


def listed(names: Sequence[str]) -> str:
    """Return the first names on one line, and how many more there are.

    Examples
    --------
    >>> listed(["cat", "dog"]), listed([str(n) for n in range(9)])
    ('cat, dog', '0, 1, 2, 3, 4, 5 and 3 more')
    """
    short = [" ".join(name[:LONGEST].split()) + "..." * (len(name) > LONGEST) for name in names]
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(short[:LISTED]) + more


def used_of(planned: int, used: int, unreadable: int, left_out: int, split: str) -> str:
    """Return how many of the planned examples of a split were used, and why not all.

    >>> used_of(234, 231, 2, 1, "train")
    '231 of 234 training examples used; 2 unreadable, 1 left out'
    """
    noun = f"{'training' if split == 'train' else split} example"
    reasons = [(unreadable, "unreadable"), (left_out, "left out")]
    why = ", ".join(f"{count:,} {what}" for count, what in reasons if count)
    return f"{used:,} of {counted(planned, noun)} used" + (f"; {why}" if why else "")


def percent(value: float | None) -> str:
    """Return a share as a percentage, and a dash for None."""
    return "-" if value is None else f"{100 * value:.1f}"


def interval(
    low: float | None, high: float | None, show: Callable[[float | None], str] = percent
) -> str:
    """Return the ends of an interval, and a dash if there is none.

    Examples
    --------
    >>> interval(0.25, 1.0), interval(None, None)
    ('25.0 .. 100.0', '-')
    """
    return "-" if low is None else f"{show(low)} .. {show(high)}"


def measured(value: float | None, scale: str) -> str:
    """Return a metric: a `share` as a percentage, another one with four digits; a dash for None.

    Examples
    --------
    >>> measured(0.25, "share"), measured(0.25, "error"), measured(12345.6, "error")
    ('25.0 %', '0.2500', '12,346')
    >>> measured(-12345.6, "fit")
    '-12,346'
    """
    if value is None or scale == "share":
        return percent(value) + (" %" if value is not None else "")
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:#.4g}".removesuffix(".")


def measured_interval(low: float | None, high: float | None, scale: str) -> str:
    """Return the interval of a metric, that of a `share` in percent without a sign.

    Examples
    --------
    >>> measured_interval(0.25, 1.0, "share"), measured_interval(0.25, 1.0, "error")
    ('25.0 .. 100.0', '0.2500 .. 1.000')
    """
    return interval(low, high, percent if scale == "share" else partial(measured, scale=scale))


def points(value: float | None) -> str:
    """Return a difference of two shares in percentage points, and a dash for None."""
    return "-" if value is None else f"{100 * value:+.1f}"


def apart(value: float | None, scale: str) -> str:
    """Return a difference of two metrics of a scale, with its sign; a dash for None.

    Examples
    --------
    >>> apart(0.25, "share"), apart(0.25, "error"), apart(-12345.6, "error")
    ('+25.0 points', '+0.2500', '-12,346')
    """
    if value is None or scale == "share":
        return points(value) + (" points" if value is not None else "")
    return ("-" if value < 0 else "+") + measured(abs(value), scale)


def probability(value: float | None) -> str:
    """Return a p value, and a dash for None."""
    if value is None:
        return "-"
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.4f}"


def visible(text: str, keep: str = "") -> str:
    r"""Return a text with escapes for what a terminal or a page would obey instead of showing it.

    These are control characters, line separators, marks that reverse the direction of writing, and
    halves of characters; those in `keep` stay, such as a line break.

    Examples
    --------
    >>> print(visible("cat" + chr(27) + "[2J"))
    cat\x1b[2J
    """
    return HIDDEN.sub(lambda match: match[0] if match[0] in keep else ascii(match[0])[1:-1], text)
