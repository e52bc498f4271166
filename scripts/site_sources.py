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

from savs.pipeline.cli.app import app, import_command
from savs.pipeline.cli.commands import STAGES
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import MORE
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.names import with_defaults
from savs.pipeline.running.options import options_of

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- scripts/docs: .* -->\n")
"""Where a page of docs/ says that the site has more."""
FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`]+`")
PACKAGES = ("savs", "stores", "datasets")
"""The shop window, and the packages below whose names a user plugin needs."""
HOMES = {"public": "savs"} | {
    room: f"savs/{room}" for room in ("pipeline", "stores", "datasets", "foundation")
}
"""Folder of the repository -> its place in the package `savs`."""
KEYWORDS = (InputOptions, ModelOptions, RunOptions)
"""Their fields are the keywords of `extract` and its kin."""


def main() -> None:
    """Write all sources into an empty folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--code", type=Path, required=True, help="what mkdocstrings reads")
    options = parser.parse_args()
    write_code(options.code)
    out = options.out
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out)
    for path in out.rglob("*.md"):
        path.write_text(for_python_markdown(path.read_text("utf-8")), "utf-8")
    for name, text in generated_pages().items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(text, "utf-8")


def write_code(folder: Path) -> None:
    """Write the package `savs` into an empty folder, with the values of defaults in docstrings."""
    shutil.rmtree(folder, ignore_errors=True)
    for room, home in HOMES.items():
        for path in (ROOT / room).rglob("*.py"):
            copy = folder / home / path.relative_to(ROOT / room)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(with_defaults(path.read_text("utf-8")), "utf-8")


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
    pages = {f"reference/api/{package}.md": package_page(package) for package in PACKAGES}
    for name, more in (
        ("reference/cli.md", command_line()),
        ("reference/api.md", index_of_names()),
    ):
        page, count = MARK.subn(
            lambda _, more=more: more, (ROOT / "docs" / name).read_text("utf-8")
        )
        if count != 1:
            raise SystemExit(f"docs/{name}: expected one line {MARK.pattern!r}, got {count}")
        pages[name] = page
    pages["changelog.md"] = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return pages


def command_line() -> str:
    """Return the commands stage by stage, in the order of `savs --help`."""
    stages = [
        "\n".join([f"## {stage}\n", *map(command_section, commands)])
        for stage, commands in STAGES.items()
    ]
    return "\n".join([*stages, common_options()])


def command_section(name: str) -> str:
    """Return usage, text, arguments, options and examples of a command."""
    command = import_command(name)
    context = typer.Context(command, info_name=f"savs {name}")
    usage = " ".join([f"savs {name}", *command.collect_usage_pieces(context)])
    parts = [f"### savs {name}\n", f"```text\n{usage}\n```\n", plain(command.help) + "\n"]
    panels: dict[str, list[Any]] = {title: [] for title in ("Arguments", "Options", MORE)}
    for parameter in command.params:
        if parameter.name in OF_ALL_COMMANDS:
            continue
        parameter.hidden = False  # of the help alone
        panels[panel(parameter)].append(parameter)
    for title, parameters in panels.items():
        if parameters:
            parts += [f"**{title}**\n", option_list(parameters, context)]
    examples = inspect.cleandoc(command.epilog.removeprefix("\b\nExamples:\n"))
    parts.append(f"**Examples**\n\n```bash\n{examples}\n```\n")
    return "\n".join(parts)


def panel(parameter: Any) -> str:
    """Return the heading that a parameter stands under in the help."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    return parameter.rich_help_panel or "Options"


def option_list(parameters: list[Any], context: typer.Context) -> str:
    """Return a list of arguments or options with their help."""
    records = [parameter.get_help_record(context) for parameter in parameters]
    return "".join(f"* `{names}`: {plain(text)}\n" for names, text in records)


def common_options() -> str:
    """Return the options that stand before or after every command."""
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="savs")
    parameters = [parameter for parameter in group.params if parameter.name in OF_ALL_COMMANDS]
    return f"## Options of all commands\n\n{option_list(parameters, context)}"


def plain(text: str | None) -> str:
    """Return a help text in which nothing but code is markup."""
    pieces = re.split(r"(`[^`]*`)", text or "")
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<])", r"\\\1", piece) for piece in pieces
    )


def public_names(package: str) -> list[tuple[str, str]]:
    """Return (name, module) of what a package shows, in the order of its `__init__.py`."""
    tree = ast.parse(inspect.getsource(import_module(full_name(package))))
    return [
        (alias.name, str(node.module))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != "savs.foundation.imports"
        for alias in node.names
    ]


def rooms(package: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the rooms of a package, and its public names that come from each.

    Those of `savs` are the rooms of `pipeline`, and `stores` and `foundation`.
    """

    def room(name: tuple[str, str]) -> str:
        _, *parts = name[1].split(".")
        return parts[1] if parts[0] in (package, "pipeline") else parts[0]

    for name, group in groupby(sorted(public_names(package), key=room), room):
        yield name, [public_name for public_name, _ in group]


def package_page(package: str) -> str:
    """Return the page of a package: its names, room by room, as mkdocstrings takes them."""
    whole = import_module(full_name(package))
    text, _, _ = (whole.__doc__ or "").partition("\nExamples\n")
    parts = [f"# {full_name(package)}\n", f"{text}\n"]
    for room, names in rooms(package):
        parent = "savs.pipeline" if package == "savs" else full_name(package)
        home = f"savs.{room}" if room in (*PACKAGES, "foundation") else f"{parent}.{room}"
        parts += [f"## {room}\n", f"{import_module(home).__doc__}\n"]
        parts += [f"::: {full_name(package)}.{name}\n" for name in names]
    if package == "savs":
        parts += ["## keywords\n", "The keywords of `extract`; `classify` takes some of them.\n"]
        parts += map(keyword_section, KEYWORDS)
    return "\n".join(parts)


def full_name(package: str) -> str:
    """Return the name by which a package is imported."""
    return package if package == "savs" else f"savs.{package}"


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
    for name, option in options_of(kind).items():
        text = " ".join(filter(None, (option.help, added.get(name))))
        parts.append(f"* `{name}`: {plain(text)}")
    return "\n".join([*parts, ""])


def index_of_names() -> str:
    """Return a list of all public names, each a link to its entry."""
    parts = []
    for package in PACKAGES:
        parts.append(f"## [{full_name(package)}](api/{package}.md)\n")
        for room, names in rooms(package):
            links = ", ".join(f"[`{name}`][{full_name(package)}.{name}]" for name in names)
            parts.append(f"* **{room}**: {links}")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
