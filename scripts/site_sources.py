"""Collect what the site is built from: docs/ as it is, and the pages that the code makes.

`scripts/docs` calls it. The command line comes from the commands themselves, the Python API from
the names that each package shows; mkdocstrings turns these into signatures and docstrings.
"""

import argparse
import ast
import inspect
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import typer

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import STAGES
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import FILE_ONLY
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.running.options import options_of

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- scripts/docs: .* -->\n")
"""Where a page of docs/ says that the site has more."""
FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`]+`")
PACKAGES = ("savs", "savs.stores", "savs.datasets")
"""The packages that show names; `savs` shows those of the stages."""
OUTER_ROOMS = ("stores", "datasets", "foundation")
KEYWORDS = (InputOptions, ModelOptions, RunOptions)
"""Their fields are the keywords of `extract` and its kin."""


def main() -> None:
    """Write all sources into an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out)
    for path in out.rglob("*.md"):
        path.write_text(for_python_markdown(path.read_text("utf-8")), "utf-8")
    for name, text in generated_pages().items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text, "utf-8")


def for_python_markdown(text: str) -> str:
    r"""Return a page of GitHub's dialect in that of the site; blocks of code stay as they are.

    There, `\|` in code of tables is a plain `|`, a list has an empty line before it, and what
    belongs to an item, four spaces.
    """
    return "".join(
        piece if piece.startswith("```") else _prose(piece.split("\n"))
        for piece in FENCE.split(text)
    )


def _prose(source: list[str]) -> str:
    lines, in_list, in_item = [""], False, True
    for line in source:
        begins = line.startswith("* ")
        if begins and lines[-1] and not (in_list and in_item):
            lines.append("")
        if line and not line.startswith("  "):
            in_list = begins
        in_item = bool(line) and (in_item or begins)  # no empty line since the item began
        indented = "  " + line if in_list and line.startswith("  ") else line
        is_row = line.lstrip().startswith("|")
        lines.append(CODE.sub(_plain_bars, indented) if is_row else indented)
    return "\n".join(lines[1:])


def _plain_bars(code: re.Match[str]) -> str:
    return code[0].replace(r"\|", "|")


def generated_pages() -> dict[str, str]:
    """Return name below docs/ -> text of the pages that differ from docs/ or are not in it."""
    pages = {f"api/{package.rpartition('.')[2]}.md": package_page(package) for package in PACKAGES}
    for name, more in (("cli.md", command_line()), ("api.md", index_of_names())):
        page, found = MARK.subn(
            lambda _, more=more: more, (ROOT / "docs" / name).read_text("utf-8")
        )
        if found != 1:
            raise SystemExit(f"docs/{name}: expected one line {MARK.pattern!r}, got {found}")
        pages[name] = page
    pages["changelog.md"] = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return pages


def command_line() -> str:
    """Return the commands stage by stage, in the order of `savs --help`."""
    return "\n".join(
        "\n".join([f"## {stage}\n", *map(command_section, commands)])
        for stage, commands in STAGES.items()
    )


def command_section(name: str) -> str:
    """Return usage, text, arguments and options of a command, as its help has them."""
    command = import_command(name)
    context = typer.Context(command, info_name=f"savs {name}")
    usage = " ".join([f"savs {name}", *command.collect_usage_pieces(context)])
    parts = [f"### savs {name}\n", f"```text\n{usage}\n```\n", plain(command.help) + "\n"]
    everywhere = {"help", *OF_ALL_COMMANDS}
    shown = [p for p in command.get_params(context) if p.name not in everywhere]
    for title, group in groupby(sorted(shown, key=_order(shown)), panel):
        parts.append(f"**{title}**\n")
        records = [help_record(parameter, context) for parameter in group]
        parts.append("".join(f"* `{names}`: {plain(text)}\n" for names, text in records))
    return "\n".join(parts)


def help_record(parameter: Any, context: typer.Context) -> tuple[str, str]:
    """Return how a parameter is spelt, and its help; one of configuration files has no dashes."""
    return parameter.get_help_record(context) or (parameter.name, parameter.help)


def panel(parameter: Any) -> str:
    """Return the heading that a parameter stands under in the help."""
    kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
    return parameter.rich_help_panel or kind


def _order(parameters: list[Any]) -> Any:
    """Return a key that sorts panels by their first parameter, arguments first."""
    titles = list(dict.fromkeys(panel(p) for p in parameters if p.param_type_name == "argument"))
    titles += dict.fromkeys(panel(p) for p in parameters if panel(p) != FILE_ONLY)
    titles.append(FILE_ONLY)
    return lambda parameter: titles.index(panel(parameter))


def plain(text: str | None) -> str:
    """Return a help text in which nothing but code is markup."""
    pieces = re.split(r"(`[^`]*`)", text or "")
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<])", r"\\\1", piece) for piece in pieces
    )


def public_names(package: str) -> list[tuple[str, str]]:
    """Return (name, module) of what a package shows, in the order of its `__init__.py`."""
    file = import_module(package).__file__
    assert file is not None
    return [
        (alias.name, str(node.module))
        for node in ast.walk(ast.parse(Path(file).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name != "lazy_imports"
    ]


def rooms(package: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the rooms of a package, such as `savs.pipeline.selection`, with their public names.

    A room outside the stages is whole: `savs.stores` makes `savs.open_store`.
    """

    def room(found: tuple[str, str]) -> str:
        parts = found[1].split(".")
        return ".".join(parts[:2] if package == "savs" and parts[1] in OUTER_ROOMS else parts[:3])

    for name, group in groupby(sorted(public_names(package), key=room), room):
        yield name, [found for found, _ in group]


def package_page(package: str) -> str:
    """Return the page of a package: its names, room by room, as mkdocstrings takes them."""
    parts = [f"# {package}\n", f"{import_module(package).__doc__}\n"]
    for room, names in rooms(package):
        parts += [f"## {room.rpartition('.')[2]}\n", f"{import_module(room).__doc__}\n"]
        parts += [f"::: {package}.{name}\n" for name in names]
    if package == "savs":
        parts += ["## keywords\n", "The keywords of `extract` and `classify`.\n"]
        parts += map(keyword_section, KEYWORDS)
    return "\n".join(parts)


def keyword_section(kind: type) -> str:
    """Return the fields of a class of options, with their help and what their docstrings add."""
    tree = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(tree, ast.ClassDef)
    added = {
        node.target.id: " ".join(after.value.value.split())
        for node, after in pairwise(tree.body)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(after.value.value, str)
    }
    parts = [f"### {kind.__name__}\n", f"{inspect.getdoc(kind)}\n".partition("\n\n")[0] + "\n"]
    for name, options in options_of(kind).items():
        text = " ".join(filter(None, (next(iter(options.values())).help, added.get(name))))
        parts.append(f"* `{name}`: {plain(text)}")
    return "\n".join([*parts, ""])


def index_of_names() -> str:
    """Return a list of all public names, each a link to its entry."""
    parts = []
    for package in PACKAGES:
        parts.append(f"## [{package}](api/{package.rpartition('.')[2]}.md)\n")
        for room, names in rooms(package):
            links = ", ".join(f"[`{name}`][{package}.{name}]" for name in names)
            parts.append(f"* **{room.rpartition('.')[2]}**: {links}")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
