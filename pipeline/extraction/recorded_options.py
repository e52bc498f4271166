"""What `savs extract` was asked for: recorded by each run, never compared, shown as a command."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from savs.pipeline.extraction.effects import changed_fields
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.sites import HEADS
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import FileOfRows, InputOptions
from savs.pipeline.running.option_texts import PERMISSIONS, write_allowed
from savs.pipeline.running.options import Option, options_of

ASKED = "asked"
"""Fact of a run: `benchmark`, and field -> value of the options that are not the default."""
UNKNOWN = {"train": "TRAIN", "test": "TEST", "unlabelled": "UNLABELLED"}
"""What stands in a command for rows that were in memory."""
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
OF_SITES = ("site", "slices", "pooling")
"""Options that say which sites are read: each store has one."""
KINDS = (InputOptions, ModelOptions, RunOptions)
OPTIONS: Mapping[str, Option] = {
    field: option for kind in KINDS for field, option in options_of(kind).items()
}


def recorded_options(
    benchmark: str, inputs: InputOptions, model: ModelOptions, run: RunOptions
) -> dict[str, Any]:
    """Return what a run records of its options; `benchmark` is a name or a Python file."""
    values = {
        name: value
        for options in (inputs, model, run)
        for name, value, effect in changed_fields(options)
        if effect.is_recorded
    }
    return {"benchmark": benchmark} | {n: _plain(n, v) for n, v in values.items() if v or v == 0}


def options_of_site(asked: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return what makes the store of one site, of options that name several."""
    others = {name: value for name, value in asked.items() if name not in OF_SITES}
    return others if label == HEADS else {**others, "site": label}


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON has it: without credentials of an address, and without rows."""
    if name in UNKNOWN and isinstance(value, FileOfRows):
        return UNKNOWN[name]
    if isinstance(value, str | Path):
        return str(value) if name == "question" else CREDENTIALS.sub("", str(value))
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    return list(value) if isinstance(value, Sequence) else value


def command_words(asked: Mapping[str, Any]) -> list[str]:
    """Return the words of a command's options.

    `asked` is what `recorded_options` returned, or any JSON object: what is no option is left out.
    """
    words, left = list[str](), dict(asked)
    for field, option in OPTIONS.items():
        names = (field, *option.fills)
        values = {name: left.pop(name) for name in names if name in left}
        if not values or option.level == "python":
            left |= values
            continue
        text = values.get(field) if option.write is None else _written(option.write, values)
        words += _option_words(option.name or field, text)
    if left.keys() & {"engine", "shard_rows"}:
        rows = [f"shard_rows={left['shard_rows']}"] if "shard_rows" in left else []
        words += ["--engine", ",".join([str(left.get("engine", "local")), *rows])]
    if text := _written(write_allowed, left):
        words += ["--allow", str(text)]
    return words


def python_words(asked: Mapping[str, Any]) -> list[str]:
    """Return the options that no text of a shell says, as keyword arguments of Python."""
    in_shell, unsaid = {"shard_rows", "engine"}, set[str]()
    for field, option in OPTIONS.items():
        in_shell |= option.fills.keys()
        values = {name: asked[name] for name in (field, *option.fills) if name in asked}
        if option.write is not None and values and _written(option.write, values) is None:
            unsaid |= values.keys()
    in_shell |= {name for one in PERMISSIONS.values() for name in (one.field, one.amount) if name}
    of_python = {field for field, option in OPTIONS.items() if option.level == "python"} - in_shell
    return [f"{field}={value!r}" for field, value in asked.items() if field in of_python | unsaid]


def _written(write: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> Any:
    try:
        return write(values)
    except (KeyError, TypeError, ValueError):  # an edited record
        return None


def _option_words(name: str, value: Any) -> Iterator[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        yield flag
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (flag, f"{key}={item}")
    elif isinstance(value, list):
        for item in value:
            yield from (flag, str(item))
    elif value is not None and value is not False:
        yield from (flag, str(value))
