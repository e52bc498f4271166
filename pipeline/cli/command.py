"""A command is a function: its options are the parameters, its help what the docstring says."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import parsed, to_typer
from savs.pipeline.cli.options.signatures import parameters_of
from savs.pipeline.cli.output import REPORTING, Shown
from savs.pipeline.running.option_texts import PERMISSIONS, parse_allowed, spelling_of
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


def save_by_default(options: Options) -> Options:
    """Save the result in its store where no other place is given."""
    return options | {"out": options["out"] or True}


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
    allows: tuple[str, ...] = ()
    """What `--allow` may name, of `PERMISSIONS`."""

    def to_function(self) -> Callable[..., None]:
        """Return the function that typer makes a command of."""
        parameters = parameters_of(self.function)
        parsers = {n: option for n, (_, option) in parameters.items() if option.parse is not None}

        def run(**values: Any) -> None:
            values |= self._allowed(values.pop("allow", None) or [])
            for name, option in parsers.items():
                if values[name] is not None:
                    values |= parsed(name, values[name], option)
            for kind in self.kinds:
                from savs.pipeline.cli.options.fields import take_fields

                values |= take_fields(kind, values)
            arguments = self.prepare(dict(values))
            for name in (*self.own, "json", "max_skip"):
                arguments.pop(name, None)
            self.show(_call(self.function, arguments), values).print(as_json=values["json"])

        vars(run)["__signature__"] = Signature([*self._parameters(parameters)])
        return run

    def spellings(self, flags: Mapping[str, str]) -> dict[str, str]:
        """Return field -> its spelling in messages, of those that an option of another name sets.

        `flags` has the spelling of each parameter of the command.
        """
        options = {name: option for name, (_, option) in parameters_of(self.function).items()}
        for kind in self.kinds:
            from savs.pipeline.cli.options.fields import offered

            options |= offered(kind)
        spellings = {
            filled: f"{flags[name]} {text}" if flags[name].startswith("--") else text
            for name, option in options.items()
            for filled, text in option.fills.items()
        }
        spellings |= {option.name: flags[name] for name, option in options.items() if option.name}
        for name in self.allows:
            permission = PERMISSIONS[name]
            spelled = {permission.field: name, permission.amount: spelling_of(name)}
            spellings |= {field: f"--allow {text}" for field, text in spelled.items() if field}
        return spellings

    def _allowed(self, texts: list[str]) -> Options:
        try:
            return ({"max_skip": 0} if "skips" in self.allows else {}) | parse_allowed(
                texts, self.allows
            )
        except ValueError as error:
            raise typer.BadParameter(f"`allow` {error}") from error

    def _parameters(self, found: Mapping[str, tuple[Parameter, Option]]) -> Iterator[Parameter]:
        for parameter, _ in found.values():
            yield parameter
        for kind in self.kinds:
            from savs.pipeline.cli.options.fields import parameters_of_fields

            yield from parameters_of_fields(kind)
        for name, own in {**self.own, **self._allow()}.items():
            hint = Annotated[own.kind, to_typer(name, own.option, own.option.help)]
            yield Parameter(name, Parameter.KEYWORD_ONLY, default=own.default, annotation=hint)
        yield Parameter("json", Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)

    def _allow(self) -> Mapping[str, Own]:
        if not self.allows:
            return {}
        names = "; ".join(f"{spelling_of(n)}: {PERMISSIONS[n].about}" for n in self.allows)
        help_text = f"Allow what is refused by default. {names}."
        return {"allow": Own(list[str] | None, None, Option(help_text, metavar="NAME,..."))}


def _call(function: str, arguments: Options) -> Any:
    """Import a function, and call it with what the shell has given."""
    module, name = function.split(":")
    call = getattr(import_module(module), name)
    if "reporting" in signature(call).parameters:
        arguments["reporting"] = REPORTING
    return call(**arguments)
