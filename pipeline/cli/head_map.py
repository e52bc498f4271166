"""The chosen heads as a text heat map: one row per layer, one column per head."""

from collections import Counter

from savs.pipeline.selection.selection import Selection
from savs.stores import LayerGrid

SHADES = " ░▒▓█"
"""From heads that no subtask chose to heads that all subtasks chose."""


def heat_map(selection: Selection, grid: tuple[LayerGrid, ...]) -> list[str]:
    """Return one line per layer; darker heads were chosen by more subtasks.

    A head that the store does not hold is a dot.
    """
    chosen = Counter(head for task in selection.tasks for head in task.heads)
    most = len(selection.tasks)
    width = max(head for layer in grid for head in layer.heads) + 1
    lines = ["      heads 0 to " + str(width - 1)]
    for layer in grid:
        cells = [
            _shade(chosen[layer.layer, head], most) if head in layer.heads else "·"
            for head in range(width)
        ]
        lines.append(f"L{layer.layer:<4} {''.join(2 * cell for cell in cells)}".rstrip())
    return lines


def _shade(count: int, most: int) -> str:
    steps = len(SHADES) - 1
    return SHADES[-(-count * steps // most)]
