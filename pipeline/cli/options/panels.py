"""Panels of `savs COMMAND --help`: the most used options first, the others by their subject."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.pipeline.running.options import Panel

LONGEST_LIST = 12
"""A command with more options, `--help` among them, has panels; the others keep one list."""

MOST_USED = {
    "split": ("source", "train", "test", "shots", "column"),
    "preview": ("train", "test", "model", "question", "out"),
    "extract": ("train", "test", "model", "out", "question"),
    "check-model": ("dtype", "device", "attention", "adapter", "batch_size"),
    "select": ("readout", "heads", "scoring", "list_suspects", "out"),
    "evaluate": ("readout", "selection", "risk", "per_class", "out"),
    "sweep": ("readouts", "heads", "shots", "draws", "out"),
    "classify": ("out", "model", "risk", "batch_size", "gpus"),
    "explain": ("ids", "errors", "n", "media_root", "out"),
}
"""Command -> its five most used options, which come first, beside `--help`."""

PANELS: dict["Panel", tuple[str, ...]] = {
    "Input": (
        *("source", "question", "benchmark", "selection", "ids", "errors", "n", "seed"),
        *("strict", "partial", "drop_leaks", "allow_other_prompt", "also", "subtask"),
    ),
    "Media": ("media_root", "allow_outside"),
    "Model": ("model", "revision", "dtype"),
    "Method": (
        *("readout", "readouts", "heads", "use_heads", "heads_from", "max_layer", "max_layers"),
        *("scoring", "shots", "draws", "prompts", "cv", "cv_folds", "risk", "metric"),
    ),
    "Speed": ("gpus", "engine", "address", "actors", "actor_cpus", "actor_gpus"),
    "Output": (
        *("out", "retry_skipped", "max_skip", "force", "per_class", "list_suspects", "examples"),
        *("attention_maps", "dry_run", "no_progress", "json", "config"),
    ),
}
"""Panel -> options that commands have of their own; those of fields bear their panel."""


def order_options(command: str, parameters: Sequence[Any]) -> list[Any]:
    """Return the parameters of a command in the order of its help, each with its panel.

    Arguments and short commands stay as they are, without panels.
    """
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    if len(options) < LONGEST_LIST:
        for option in options:
            option.rich_help_panel = None
        return list(parameters)
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    most_used = MOST_USED[command]
    for option in options:
        is_first = option.name in most_used
        option.rich_help_panel = (
            None if is_first else option.rich_help_panel or panels.get(option.name)
        )
    titles = list(PANELS)

    def place(option: Any) -> tuple[int, int]:
        if option.rich_help_panel:
            return 1 + titles.index(option.rich_help_panel), 0
        return 0, most_used.index(option.name) if option.name in most_used else -1

    options.sort(key=place)
    return [p for p in parameters if p.param_type_name != "option"] + options
