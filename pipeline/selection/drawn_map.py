"""The map of all heads as text."""

import polars as pl

from savs.pipeline.running.formatting import percent
from savs.pipeline.selection.head_map import mean_map
from savs.pipeline.targets import Target

SHADES = " ░▒▓█"
"""From the lowest score of a map to its highest."""
WIDEST = 99
"""The greatest rank that a cell shows."""


def draw_map(table: pl.DataFrame, target: Target) -> list[str]:
    """Return the lines of a head map, whole or of some subtasks, and what they mean.

    Of one subtask, the chosen heads bear their rank; of several, the number of subtasks that chose
    them. Heads that the store does not hold are dots.
    """
    several = table["subtask"].n_unique() > 1
    heads = mean_map(table)
    lowest, highest = float(heads["strength"].min()), float(heads["strength"].max())  # type: ignore
    width = int(heads["head"].max()) + 1  # type: ignore
    lines = [f"      heads 0 to {width - 1}"]
    for (layer,), row in heads.group_by("layer", maintain_order=True):
        cells = ["··"] * width
        for head, strength, chosen, rank in row.select("head", "strength", "chosen", "rank").rows():
            share = 1 if highest == lowest else (strength - lowest) / (highest - lowest)
            shade = SHADES[round((len(SHADES) - 1) * share)]
            cells[head] = _cell(shade, chosen, None if several else rank)
        lines.append(f"L{layer:<4} {''.join(cells)}".rstrip())
    does, of = target.strength_of
    marks = (
        "how many subtasks chose the head, + ten or more"
        if several
        else "ranks of the chosen heads"
    )
    return [
        *lines,
        f"darker: a stronger head, which alone {does} {percent(lowest)} to {percent(highest)} % of"
        f" {of}; numbers: {marks}",
    ]


def _cell(shade: str, chosen: int, rank: int | None) -> str:
    """Return the two characters of a head: its rank, or its shade and how often it was chosen."""
    if rank is not None and rank <= WIDEST:
        return f"{rank:>2}"
    if rank is not None or not chosen:
        return 2 * shade
    return shade + (str(chosen) if chosen < 10 else "+")
