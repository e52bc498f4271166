"""Fields of options objects as options of a command: type, default, help and place are theirs."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from savs.pipeline.cli.options.shared import flags_of, parsed, to_typer, with_flags
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.options import PYTHON, Option, options_of

CLASSES = (InputOptions, ModelOptions, RunOptions)
DEFAULTS = {
    field.name: inspect.Parameter.empty if field.default is MISSING else field.default
    for kind in CLASSES
    for field in fields(kind)
}
OPTIONS = {field: option for kind in CLASSES for field, option in options_of(kind).items()}
"""Field -> its option."""


def offered(kind: Any) -> dict[str, Option]:
    """Return field -> option of a kind, for those that a shell may set."""
    options = options_of(kind)  # a TypedDict may word an option in its own way
    of_shell = {f: OPTIONS[f] if option is PYTHON else option for f, option in options.items()}
    return {field: option for field, option in of_shell.items() if option.level != "python"}


def parameters_of_fields(kind: Any) -> Iterator[inspect.Parameter]:
    """Yield the options of a kind as parameters for typer."""
    options, hints = offered(kind), get_type_hints(kind)
    for field, option in options.items():
        hint, default = _taken_by_typer(hints[field]), DEFAULTS[field]
        if option.parse is not None:
            hint = list[str] if option.is_repeated else str
            hint = hint if default is inspect.Parameter.empty else hint | None
        text = with_flags(option.help, flags_of(OPTIONS))
        yield inspect.Parameter(
            field,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, to_typer(field, option, text)],
        )


def _taken_by_typer(hint: Any) -> Any:
    """Return of a union such as `str | Path | None` its first type and None."""
    first, *others = get_args(hint) or (hint,)
    return first | None if type(None) in others and get_origin(hint) is not Mapping else first


def take_fields(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a kind out of the values of a command; texts become what they mean."""
    options, taken = offered(kind), {}
    for field in get_type_hints(kind):
        if field not in values:
            continue
        value, option = values.pop(field), options.get(field)
        if option is None or option.parse is None:
            taken[field] = value
        elif value not in (None, [], ()):
            taken |= parsed(field, value, option)
    return taken
