"""Fields of options objects as options of a command: type, default, help and place are theirs."""

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from savs.foundation.bounds import whole_number
from savs.pipeline.cli.options.shared import read_text, to_typer, with_flags
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.options import Option, options_of

if TYPE_CHECKING:
    pass

CLASSES = (InputOptions, ModelOptions, RunOptions)
DEFAULTS = {
    field.name: inspect.Parameter.empty if field.default is MISSING else field.default
    for kind in CLASSES
    for field in fields(kind)
}
OPTIONS = {field: options for kind in CLASSES for field, options in options_of(kind).items()}
"""Field -> its options by name; one of the field's own name, except for those of `PARSERS`."""


NAMES = {name for options in OPTIONS.values() for name in options}


def parameters_of_fields(kind: Any) -> Iterator[inspect.Parameter]:
    """Yield the options of a kind as parameters for typer."""
    for field, hint in get_type_hints(kind).items():
        if field in PARSERS:  # the parser's parameters say the types
            for name, parameter in inspect.signature(PARSERS[field]).parameters.items():
                yield _parameter(
                    name, parameter.annotation, parameter.default, OPTIONS[field][name]
                )
        else:
            option_hint, default = _taken_by_typer(hint), DEFAULTS[field]
            yield _parameter(field, option_hint, default, OPTIONS[field][field])


def _taken_by_typer(hint: Any) -> Any:
    """Return of a union such as `str | Path | None` its first type and None."""
    first, *others = get_args(hint) or (hint,)
    return first | None if type(None) in others else first


def _parameter(name: str, hint: Any, default: Any, source: Option) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, to_typer(name, source, with_flags(source.help, NAMES))],
    )


def take_fields(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a kind out of the values of a command; return its fields."""
    taken = {}
    for field in get_type_hints(kind):
        if field in PARSERS:
            taken[field] = PARSERS[field](**{n: values.pop(n) for n in OPTIONS[field]})
        else:
            taken[field] = values.pop(field)
    return taken


def parse_columns(column: list[str] | None = None) -> dict[str, str] | None:
    """Return field -> column; a usage error for an unknown field or one that is there twice."""
    if not column:
        return None
    from savs.datasets.benchmarks.general import FIELDS

    columns: dict[str, str] = {}
    for text in column:
        field, _, name = text.partition("=")
        known = f"FIELD is one of {', '.join(FIELDS)}"
        if not name or field not in FIELDS:
            raise typer.BadParameter(f"`column` is {text!r}, expected FIELD=COLUMN; {known}")
        if field in columns:
            raise typer.BadParameter(f"`column` has {field} twice, expected it once; {known}")
        columns[field] = name
    return columns


def parse_names(label_columns: str | None = None) -> tuple[str, ...] | None:
    """Return the names in a list with commas; spaces around a comma do not count."""
    return None if label_columns is None else tuple(n.strip() for n in label_columns.split(","))


def take_all(hold_out: list[str] | None = None) -> tuple[str, ...] | None:
    """Return what an option that may be repeated was given; None for nothing."""
    return tuple(hold_out) if hold_out else None


def read_questions(
    question: list[str] | None = None, questions: Path | None = None
) -> str | tuple[str, ...] | None:
    """Return the prompt of all rows, or several; a usage error for both options or a bad file."""
    if questions is None:
        prompts = tuple(question or ())
    elif question:
        raise typer.BadParameter("`question` and `questions` both give prompts; keep one")
    else:
        lines = map(str.strip, read_text(questions, "questions").splitlines())
        prompts = tuple(filter(None, lines))
        if not prompts:
            raise typer.BadParameter(
                f"`questions` {questions} is empty, expected one prompt per line"
            )
    return prompts[0] if len(prompts) == 1 else prompts or None


def parse_kwargs(model_kwargs: str | None = None) -> dict[str, Any]:
    """Return `model_kwargs` as a dictionary; a usage error if it is not a JSON object."""
    try:
        value = json.loads(model_kwargs or "{}")
    except ValueError as error:
        raise typer.BadParameter(f"`model_kwargs` is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(
            f"`model_kwargs` is {model_kwargs!r}, expected an object such as {{}}"
        )
    if isinstance(value.get("max_memory"), dict):  # JSON has no numbers as keys, devices have
        value["max_memory"] = {
            device if (number := whole_number(device)) is None else number: limit
            for device, limit in value["max_memory"].items()
        }
    return value


def parse_tokens(batch_tokens: str = "auto") -> int | None:
    """Return a number, or None for `auto`; a usage error otherwise."""
    return _number_or_auto("`batch_tokens`", batch_tokens, 1)


def parse_workers(workers: str = "auto") -> int | None:
    """Return a number, or None for `auto`; a usage error otherwise."""
    return _number_or_auto("`workers`", workers, 0)


def _number_or_auto(name: str, text: str, least: int) -> int | None:
    if text == "auto":
        return None
    number = whole_number(text)
    if number is None or number < least:
        raise typer.BadParameter(
            f"{name} is {text!r:.50}, expected a number from {least} on, or auto"
        )
    return number


PARSERS: dict[str, Callable[..., Any]] = {
    "columns": parse_columns,
    "label_columns": parse_names,
    "hold_out": take_all,
    "question": read_questions,
    "model_kwargs": parse_kwargs,
    "batch_tokens": parse_tokens,
    "workers": parse_workers,
}
"""Field -> the function that makes it of the texts on the command line; its parameters are the
field's options."""
