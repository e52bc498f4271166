"""Options objects as parameters of a command: each field becomes an option."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints, is_typeddict

import typer

from savs.foundation.errors import SavsError
from savs.pipeline.cli.options.inputs import INPUT_FLAGS, INPUTS_MADE
from savs.pipeline.cli.options.model import MODEL_FLAGS, MODEL_MADE
from savs.pipeline.cli.options.run import RUN_FLAGS, RUN_MADE
from savs.pipeline.cli.options.shared import Flag, option
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions

FLAGS = INPUT_FLAGS | MODEL_FLAGS | RUN_FLAGS
"""Name of each option -> how it is given."""
MADE = INPUTS_MADE | MODEL_MADE | RUN_MADE
"""Field -> the function that makes it of one or several options, its parameters."""
CLASSES = (InputOptions, ModelOptions, RunOptions)
DEFAULTS = {field.name: field.default for kind in CLASSES for field in fields(kind)}


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of its parameters that are options objects.

    Those are annotated with one of `CLASSES`, or with a TypedDict of some of their fields. The type
    and the default of an option are those of the field, its help is in `FLAGS`. The command is
    called with the objects; a value that they refuse is a usage error.
    """
    given = inspect.signature(command).parameters
    kinds = {
        name: parameter.annotation
        for name, parameter in given.items()
        if parameter.annotation in CLASSES or is_typeddict(parameter.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in given.items():
        if name in kinds:
            parameters += _parameters(kinds[name])
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def collected(**values: Any) -> None:
        made = {name: _collect(kind, values) for name, kind in kinds.items()}
        command(**values, **made)

    vars(collected)["__signature__"] = inspect.Signature(parameters)
    return collected


def _parameters(kind: Any) -> Iterator[inspect.Parameter]:
    for field, hint in get_type_hints(kind).items():
        if field in MADE:
            for parameter in inspect.signature(MADE[field]).parameters.values():
                yield _parameter(parameter.name, parameter.annotation, parameter.default)
        else:
            default = DEFAULTS[field]
            empty = inspect.Parameter.empty
            yield _parameter(field, _plain(hint), empty if default is MISSING else default)


def _plain(hint: Any) -> Any:
    """Return a type that Typer takes: of `str | Path | None` the first and None."""
    first, *others = get_args(hint) or (hint,)
    return first | None if type(None) in others else first


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, _option(name, FLAGS[name])],
    )


def _option(name: str, flag: Flag) -> Any:
    return option(
        f"--{name.replace('_', '-')}",
        *flag.aliases,
        help=flag.help,
        metavar=flag.metavar or (None if flag.min is None else "N"),
        min=flag.min,
    )


def _collect(kind: Any, given: dict[str, Any]) -> Any:
    """Take the options of a kind out of what was given and make the object of them."""
    values = {}
    for field in get_type_hints(kind):
        if field in MADE:
            names = inspect.signature(MADE[field]).parameters
            values[field] = MADE[field](**{name: given.pop(name) for name in names})
        else:
            values[field] = given.pop(field)
    try:
        return kind(**values)
    except SavsError as error:
        raise typer.BadParameter(str(error)) from error
