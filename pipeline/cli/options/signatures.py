"""Parameters of a function as options of a command, read from its source without importing it.

A module of a stage imports polars or torch, which takes longer than to print a help text. So the
parameters, their defaults, their `Option` and what the docstring says of each are read from the
file. What stands in a default or an `Option` is a literal or a name of `NAMESPACE`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from inspect import Parameter, cleandoc
from pathlib import Path
from typing import Annotated, Any

from savs.pipeline import names
from savs.pipeline.cli.options.shared import flag_of, to_typer, with_flags
from savs.pipeline.running import option_texts, options

NAMESPACE = vars(names) | vars(options) | vars(option_texts)
UNOFFERED = ("verbose", "reporting")
"""Parameters that every command sets by itself."""
TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float}
HEADING = "Parameters\n----------\n"
_NAME = re.compile(r"^(?=\S)([\w, ]+)$", re.MULTILINE)


def parameters_of(function: str) -> dict[str, tuple[Parameter, options.Option]]:
    """Return name -> parameter for typer, and its `Option`, of `module:function`."""
    definition = _definition(*function.split(":"))
    texts = parameter_texts(ast.get_docstring(definition) or "")
    arguments = definition.args
    positional = list(
        zip(arguments.args, _padded(arguments.defaults, len(arguments.args)), strict=True)
    )
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    parameters = {}
    flags = {name: flag_of(name) for name in texts}
    for is_argument, (one, default) in [
        *((True, pair) for pair in positional),
        *((False, pair) for pair in named),
    ]:
        hint, option = _hint_and_option(one.annotation)
        if one.arg in UNOFFERED or option.level == "python":
            continue
        kind = Parameter.KEYWORD_ONLY
        value = Parameter.empty if default is None else _value(default)
        text = with_flags(texts[one.arg].partition("\n\n")[0], flags)
        is_named = not option.is_positional or one.arg == "out"
        typed = to_typer(one.arg, option, text, is_argument=is_argument and not is_named)
        shown: Any = _shell_type(hint, option)
        annotation = Annotated[shown, typed]
        parameter = Parameter(one.arg, kind, default=value, annotation=annotation)
        parameters[one.arg] = (parameter, option)
    return parameters


def parameter_texts(docstring: str) -> dict[str, str]:
    """Return parameter -> what a docstring in numpy's form says of it; paragraphs stay apart."""
    _, _, after = docstring.partition(HEADING)
    section = re.split(r"^\w+\n-+$", after, maxsplit=1, flags=re.MULTILINE)[0]
    pieces = _NAME.split(section)[1:]
    texts = {}
    for together, text in zip(pieces[::2], pieces[1::2], strict=True):
        paragraphs = re.split(r"\n\s*\n", cleandoc(text).strip())
        joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        texts.update(dict.fromkeys(together.split(", "), joined))
    return texts


def _padded(defaults: list[ast.expr], count: int) -> Iterator[ast.expr | None]:
    """Yield a default, or None, for each of the positional parameters."""
    yield from [None] * (count - len(defaults))
    yield from defaults


@cache
def _definition(module: str, function: str) -> ast.FunctionDef:
    package, room, *inner = module.split(".")
    spec = find_spec(f"{package}.{room}")  # imports the package alone
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *inner).with_suffix(".py")
    tree = ast.parse(path.read_text("utf-8"))
    return next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function
    )


def _hint_and_option(annotation: ast.expr | None) -> tuple[str, options.Option]:
    """Return the type of a parameter as text, and its `Option`."""
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Annotated":
        assert isinstance(annotation.slice, ast.Tuple)
        hint, option = annotation.slice.elts
        return ast.unparse(hint), _value(option)
    return ast.unparse(annotation) if annotation else "str", options.Option()


def _value(expression: ast.expr) -> Any:
    code = compile(ast.Expression(expression), "<signature>", "eval")
    return eval(code, NAMESPACE)


def _shell_type(hint: str, option: options.Option) -> Any:
    """Return the type that typer parses: numbers and flags, texts for all else."""
    if option.is_repeated or (hint.startswith(("Sequence[", "list[")) and option.parse is None):
        return list[str] if "None" not in hint else list[str] | None
    parts = [part.strip() for part in hint.split("|")]
    plain = [part for part in parts if part != "None"]
    kind = TYPES.get(plain[0], str) if len(plain) == 1 and option.parse is None else str
    return kind | None if "None" in parts or option.parse is not None else kind
