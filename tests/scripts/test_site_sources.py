"""What the site is built from: the generated pages have every command, option and public name."""

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import site_sources
from site_sources import (
    PACKAGES,
    command_section,
    for_python_markdown,
    full_name,
    generated_pages,
    plain,
    write_code,
)

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS, STAGES
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import MORE
from savs.pipeline.names import DEFAULT_HEADS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_every_option_in_its_place(name):
    section = command_section(name)
    assert section.startswith(f"### savs {name}\n\n```text\nsavs {name} ")
    assert plain(COMMANDS[name]) in section
    parts = re.split(r"^\*\*(.+)\*\*$", section, flags=re.MULTILINE)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = {
        (title, entry)
        for title, text in texts.items()
        for entry in re.findall(r"^[*|] `\[?([\w<>|-]+)", text, re.MULTILINE)
    }
    expected = set()
    for parameter in import_command(name).params:
        if parameter.param_type_name == "argument":
            expected.add(("Arguments", re.findall(r"[\w<>|-]+", parameter.metavar)[0]))
        elif parameter.name not in OF_ALL_COMMANDS:
            expected.add((parameter.rich_help_panel or "Options", parameter.opts[0]))
    assert found == expected
    order = ["Arguments", "Options", MORE, "Examples"]
    assert list(texts) == [title for title in order if title in texts]
    assert f"savs {name}" in texts["Examples"]


def test_the_command_line_has_the_stages_of_the_help():
    page = generated_pages()["reference/cli.md"]
    expected = []
    for stage, commands in STAGES.items():
        expected += [("", stage), *(("#", f"savs {name}") for name in commands)]
    expected.append(("", "Options of all commands"))
    assert re.findall(r"^##(#?) (.+)$", page, re.MULTILINE) == expected
    common = page.partition("## Options of all commands")[2]
    assert re.findall(r"`--([a-z-]+)", common) == [
        name.replace("_", "-") for name in OF_ALL_COMMANDS if name != "help_all"
    ]


def test_every_public_name_has_an_entry_and_a_link():
    pages = generated_pages()
    for package in PACKAGES:
        full = full_name(package)
        names = sorted(set(import_module(full).__all__) - {"__version__"})
        entries = re.findall(
            rf"^::: {re.escape(full)}\.(\w+)$", pages[f"reference/api/{package}.md"], re.M
        )
        assert sorted(entries) == names
        for name in names:
            assert f"[`{name}`][{full}.{name}]" in pages["reference/api.md"]


def test_the_navigation_names_every_page():
    def names(part) -> list[str]:
        if isinstance(part, str):
            return [part]
        inner = part.values() if isinstance(part, dict) else part
        return [name for each in inner for name in names(each)]

    nav = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    docs = ROOT / "docs"
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert sorted(names(nav)) == sorted(written | set(generated_pages()))


def test_bars_in_code_of_tables_are_plain():
    page = "| `a \\| b` | c \\| d |\n`a \\| b`\n"
    assert for_python_markdown(page) == "| `a | b` | c \\| d |\n`a \\| b`\n"


LISTS = """\
Text
* one
  more
* two

  | a |

  Text
* three

Text

    code
  x

```text
Text
* no list
  `a \\| b`
```
"""
LISTS_OF_THE_SITE = """\
Text

* one
    more
* two

    | a |

    Text

* three

Text

    code
  x

```text
Text
* no list
  `a \\| b`
```
"""


def test_lists_stand_apart_and_what_belongs_to_an_item_has_four_spaces():
    assert for_python_markdown(LISTS) == LISTS_OF_THE_SITE


def test_a_help_text_is_no_markup_outside_code():
    assert plain("*.jpg in `a_*` or <b_c>") == r"\*.jpg in `a_*` or \<b\_c>"


def test_a_page_without_its_mark_is_named(tmp_path, monkeypatch):
    (tmp_path / "docs" / "reference").mkdir(parents=True)
    (tmp_path / "docs" / "reference" / "cli.md").write_text("# Command line\n")
    monkeypatch.setattr(site_sources, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"docs/reference/cli\.md: expected one line"):
        generated_pages()


def test_the_code_that_the_site_shows_has_the_values_of_defaults(tmp_path):
    write_code(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"savs"}
    room = tmp_path / "savs" / "pipeline"
    text = (room / "evaluation" / "stage_two.py").read_text("utf-8")
    assert f"the N best (default: {DEFAULT_HEADS})" in text
    assert (tmp_path / "savs" / "__init__.py").is_file()
    for path in room.rglob("*.py"):
        ast.parse(path.read_text("utf-8"))
