"""A map of heads as text: one row per layer, one column per head."""

import polars as pl

from savs.pipeline.running.formatting import percent
from savs.pipeline.selection.head_map import mean_map

SHADES = " ░▒▓█"
"""From the lowest score of a map to its highest."""
WIDEST = 99
"""The greatest rank that a cell shows."""


def draw_map(found: pl.DataFrame) -> list[str]:
    """Return the lines of a head map, and what they mean.

    Of one subtask, the chosen heads bear their rank; of several, the number of subtasks that chose
    them. Heads that the store does not hold are dots.

    Parameters
    ----------
    found
        What `head_map` returns, or the rows of some subtasks.
    """
    several = found["subtask"].n_unique() > 1
    heads = mean_map(found)
    lowest, highest = float(heads["share"].min()), float(heads["share"].max())  # type: ignore
    width = int(heads["head"].max()) + 1  # type: ignore
    lines = [f"      heads 0 to {width - 1}"]
    for (layer,), row in heads.group_by("layer", maintain_order=True):
        cells = ["··"] * width
        for head, share, chosen, rank in row.select("head", "share", "chosen", "rank").rows():
            shade = SHADES[_step(share, lowest, highest)]
            cells[head] = _cell(shade, chosen, None if several else rank)
        lines.append(f"L{layer:<4} {''.join(cells)}".rstrip())
    marks = (
        "how many subtasks chose the head, + ten or more"
        if several
        else "ranks of the chosen heads"
    )
    return [
        *lines,
        f"darker: a better train-side score, from {percent(lowest)} to {percent(highest)} % of the"
        f" training examples; numbers: {marks}",
    ]


def _cell(shade: str, chosen: int, rank: int | None) -> str:
    """Return the two characters of a head: its rank, or its shade and how often it was chosen."""
    if rank is not None and rank <= WIDEST:
        return f"{rank:>2}"
    if rank is not None or not chosen:
        return 2 * shade
    return shade + (str(chosen) if chosen < 10 else "+")


def _step(share: float, lowest: float, highest: float) -> int:
    last = len(SHADES) - 1
    return last if highest == lowest else round(last * (share - lowest) / (highest - lowest))
