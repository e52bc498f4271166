"""What the site is built from: the generated pages have every command, option and public name."""

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
    generated_pages,
    panel,
    plain,
)

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS, STAGES
from savs.pipeline.cli.options.settings import OF_ALL_COMMANDS
from savs.pipeline.cli.options.shared import FILE_ONLY

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_all_that_the_help_has(name):
    section = command_section(name)
    assert section.startswith(f"### savs {name}\n\n```text\nsavs {name} ")
    assert plain(COMMANDS[name]) in section
    lines = [line for line in section.splitlines() if line.startswith("* `")]
    everywhere = {"help", *OF_ALL_COMMANDS}
    shown = [p for p in import_command(name).params if p.name not in everywhere]
    assert len(lines) == len(shown)
    for parameter in shown:
        option = parameter.param_type_name == "option"
        spelt = parameter.opts[0] if option else parameter.metavar
        spelt = parameter.name if panel(parameter) == FILE_ONLY else spelt
        assert any(re.match(rf"\* `\[?{re.escape(spelt)}[ ,`\]]", line) for line in lines), spelt


def test_the_command_line_has_the_stages_of_the_help():
    found = re.findall(r"^##(#?) (.+)$", generated_pages()["cli.md"], re.MULTILINE)
    expected = []
    for stage, commands in STAGES.items():
        expected += [("", stage), *(("#", f"savs {name}") for name in commands)]
    assert found == expected


def test_arguments_come_first_and_panels_stay_together():
    titles = re.findall(r"^\*\*(.+)\*\*$", command_section("extract"), re.MULTILINE)
    assert titles[0] == "Arguments"
    assert len(titles) == len(set(titles)) > 3


def test_every_public_name_has_an_entry_and_a_link():
    pages = generated_pages()
    for package in PACKAGES:
        names = import_module(package).__all__
        page = pages[f"api/{package.rpartition('.')[2]}.md"]
        entries = re.findall(rf"^::: {re.escape(package)}\.(\w+)$", page, re.M)
        assert sorted(entries) == sorted(names)
        for name in names:
            assert f"[`{name}`][{package}.{name}]" in pages["api.md"]


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
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "cli.md").write_text("# Command line\n")
    monkeypatch.setattr(site_sources, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"docs/cli\.md: expected one line"):
        generated_pages()
