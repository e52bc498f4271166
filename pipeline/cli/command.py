"""A command is a function: its options are the parameters, its help what the docstring says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import to_typer
from savs.pipeline.cli.options.signatures import parameters_of
from savs.pipeline.cli.output import REPORTING, Shown
from savs.pipeline.running.options import Option
from savs.pipeline.running.table import FORMS, TABLE

Options = dict[str, Any]
"""Parameter -> value, as a user of the command gave it."""


@dataclass(frozen=True, slots=True)
class Own:
    """An option of the shell alone, such as the form that a table is printed in."""

    kind: Any
    default: Any
    option: Option


MAX_SKIP = Own(
    int, 0, Option("Exit with code 4 if this run skips more images or texts.", "more", min=0)
)
GPUS = Own(
    str,
    "none",
    Option(
        "Start a process per GPU on this machine: all, a number, or a list.", metavar="all|N|0,2"
    ),
)
FORM = Own(
    str,
    TABLE,
    Option("How to print the table.", metavar="table|markdown|latex|csv", name="format"),
)


def require_form(options: Options) -> None:
    """Raise ParameterError unless a table has the form that was asked for, and only one."""
    if options["form"] not in (TABLE, *FORMS):
        known = ", ".join((TABLE, *FORMS))
        raise ParameterError(f"`form` is {options['form']!r}, expected one of {known}")
    if options["form"] != TABLE and options["json"]:
        raise ParameterError("`form` and --json are two ways to print; pass one")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A function as a command of the shell."""

    function: str
    """`module:name`; it is imported when the command runs."""
    about: str
    """What the help says after the summary."""
    examples: tuple[str, ...]
    show: Callable[[Any, Options], Shown]
    """Words the result: takes what the function returned, and what was given."""
    prepare: Callable[[Options], Options] = dict
    """Makes the arguments of the function of what was given."""
    kinds: tuple[Any, ...] = ()
    """TypedDicts of the options that the function takes as `**options`."""
    own: Mapping[str, Own] = field(default_factory=dict)

    def to_function(self) -> Callable[..., None]:
        """Return the function that typer makes a command of."""
        found = parameters_of(self.function)
        parsed = {n: option.parse for n, (_, option) in found.items() if option.parse is not None}

        def run(**values: Any) -> None:
            for name, parse in parsed.items():
                if values[name] is not None:
                    values[name] = _parse(name, values[name], parse)
            for kind in self.kinds:
                from savs.pipeline.cli.options.fields import take_fields

                values |= take_fields(kind, values)
            arguments = self.prepare(dict(values))
            for name in (*self.own, "json"):
                arguments.pop(name, None)
            self.show(_call(self.function, arguments), values).print(as_json=values["json"])

        vars(run)["__signature__"] = Signature([*self._parameters(found)])
        return run

    def _parameters(self, found: Mapping[str, tuple[Parameter, Option]]) -> Iterator[Parameter]:
        for parameter, _ in found.values():
            yield parameter
        for kind in self.kinds:
            from savs.pipeline.cli.options.fields import parameters_of_fields

            yield from parameters_of_fields(kind)
        for name, own in self.own.items():
            hint = Annotated[own.kind, to_typer(name, own.option, own.option.help)]
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=own.default, annotation=hint)
        yield Parameter("json", Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)


def _parse(name: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"`{name}` is {text!r:.50}, {error}") from error


def _call(function: str, arguments: Options) -> Any:
    """Import a function, and call it with what the shell has given."""
    module, name = function.split(":")
    call = getattr(import_module(module), name)
    if "reporting" in signature(call).parameters:
        arguments["reporting"] = REPORTING
    return call(**arguments)
