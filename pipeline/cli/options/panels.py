"""Panels of `savs COMMAND --help`: the most used options first, the others by their subject."""

from collections.abc import Sequence
from typing import Any

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

PANELS = {
    "Input": (
        *("source", "test", "train", "column", "question", "questions", "shots", "train_groups"),
        *("seed", "limit", "strict", "benchmark", "selection", "ids", "errors", "n"),
        *("partial", "drop_leaks", "allow_other_prompt", "also", "subtask"),
    ),
    "Media": (
        *("media_root", "allow_outside", "video", "video_frames", "jpeg_draft"),
        "max_image_pixels",
        *("fetch_urls", "fetch_gb", "allow_private_addresses"),
    ),
    "Model": (
        *("model", "revision", "dtype", "device", "attention", "adapter", "model_code"),
        *(
            "model_kwargs",
            "trust_remote_code",
            "prompt_template",
            "placeholders",
            "min_pixels",
            "max_pixels",
        ),
    ),
    "Method": (
        *("readout", "readouts", "heads", "use_heads", "heads_from", "max_layer", "max_layers"),
        *("scoring", "draws", "prompts", "cv", "cv_folds", "risk", "metric"),
        *("answers", "icl_shots", "classes", "templates"),
    ),
    "Speed": (
        *("gpus", "batch_size", "batch_tokens", "batch_check", "reuse", "workers"),
        *("engine", "address", "actors", "actor_cpus", "actor_gpus"),
    ),
    "Output": (
        *("out", "append", "retry_skipped", "max_skip", "shard_rows", "thumbnails", "force"),
        *("per_class", "list_suspects", "examples", "attention_maps"),
        *("dry_run", "no_progress", "json", "config"),
    ),
}
"""Panel -> its options, of all commands, in the order of the help."""


def order_options(command: str, parameters: Sequence[Any]) -> list[Any]:
    """Return the parameters of a command in the order of its help, each with its panel.

    Arguments and short commands stay as they are. An option that is in no panel comes first.
    """
    options = [found for found in parameters if found.param_type_name == "option"]
    if len(options) < LONGEST_LIST:
        return list(parameters)
    first = MOST_USED[command]
    panels = {name: panel for panel, names in PANELS.items() for name in names if name not in first}
    order = [*first, *panels]
    for found in options:
        found.rich_help_panel = panels.get(found.name)
    options.sort(key=lambda found: order.index(found.name) if found.name in order else -1)
    return [found for found in parameters if found.param_type_name != "option"] + options
