"""All pages: links, anchors, pictures, and whether the commands and names in them exist."""

import ast
import json
import re
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from doc_pages import PAGES, ROOT, anchors, blocks, commands, prose

from savs.pipeline.cli.app import import_command
from savs.pipeline.cli.commands import COMMANDS
from savs.pipeline.evaluation.compare.compare import COMPARISON_SCHEMA, METHOD_SCHEMA
from savs.pipeline.evaluation.same_examples import IDENTITY_SCHEMA
from savs.pipeline.evaluation.sweep.table import (
    STORES_SCHEMA,
    SUMMARY_SCHEMA,
    VALUES_SCHEMA,
)
from savs.pipeline.evaluation.trials import UNIT_SCHEMA

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_the_pages_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "troubleshooting.md", "first-classifier.md", "CHANGELOG.md"} <= names


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_says_first_for_whom_it_is(page: Path):
    title, _, text = page.read_text("utf-8").partition("\n\n")
    assert title.startswith("# ")
    assert re.match(r"This (page|tutorial) is for \w+", text), page


@each_page
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "hf://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        made = ROOT / "docs/reference/api" in file.parents  # by scripts/docs
        assert file.exists() or made, f"{target}: there is no such file"
        assert not anchor or anchor in anchors(file), f"{target}: there is no such heading"


def test_the_page_of_metrics_names_the_columns_of_all_tables():
    text = (
        (ROOT / "docs/reference/metrics.md").read_text("utf-8").partition("| column | meaning |")[2]
    )
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    schemas = [
        *(UNIT_SCHEMA, COMPARISON_SCHEMA, METHOD_SCHEMA),
        *(VALUES_SCHEMA, SUMMARY_SCHEMA, IDENTITY_SCHEMA, STORES_SCHEMA),
    ]
    assert sorted(named) == sorted(set().union(*schemas))


@cache
def options(command: str) -> set[str]:
    """Return what the command line takes."""
    flags = import_command(command).params
    return {"-h", "--help"}.union(*(p.opts + p.secondary_opts for p in flags))


@cache
def settings(command: str) -> set[str]:
    """Return what the command's table of a configuration file takes."""
    return {p.opts[0].lstrip("-").replace("-", "_") for p in import_command(command).params}


def check_command(words: list[str]) -> None:
    if not words or not re.fullmatch(r"[a-z][a-z-]*", words[0]):
        return  # options of `savs` itself, or a placeholder
    assert words[0] in COMMANDS, f"savs {words[0]} is no command"
    for word in words[1:]:
        if re.match("--[a-z]", word):
            assert word.partition("=")[0] in options(words[0]), f"savs {words[0]} has no {word}"


@each_page
def test_commands_and_their_options_exist(page: Path):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names options that are gone")
    for code in blocks(page, "bash"):
        for words in commands(code):
            check_command(words)
    for text in re.findall(r"`savs ([^`]+)`", prose(page)):
        check_command(re.findall(r"[\w./=-]+", text))


@each_page
def test_python_compiles_and_its_imports_exist(page: Path):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("savs."):
                module = import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@each_page
def test_data_can_be_read(page: Path):
    for code in blocks(page, "json"):
        assert [json.loads(line) for line in code.splitlines()]
    for code in blocks(page, "toml"):
        assert tomllib.loads(code)
    for code in blocks(page, "yaml"):
        assert yaml.safe_load(code)


def test_configurations_name_commands_and_options():
    for page in PAGES:
        for code in blocks(page, "toml"):
            for command, table in tomllib.loads(code).items():
                if command in COMMANDS:
                    assert set(table) <= settings(command), page


@each_page
def test_what_prose_sets_in_a_file_is_an_option(page: Path):
    known = set().union(*map(settings, COMMANDS))
    assert {*re.findall(r"`([a-z_]+) = [^`]+`", prose(page))} <= known


@each_page
def test_variables_are_those_of_options(page: Path):
    if page.name == "CHANGELOG.md":
        pytest.skip("it names variables that are errors")
    known = {f"SAVS_{c}_{s}".upper() for c in COMMANDS for s in settings(c)}
    for name in re.findall(r"\bSAVS_[A-Z_]+\b(?!<)", page.read_text("utf-8")):
        assert name in known or name.startswith("SAVS_INSTALL"), f"{name} is no variable"


def test_an_unknown_option_would_be_found():
    with pytest.raises(AssertionError, match="savs select has no --head"):
        check_command(["select", "features", "--head", "20"])
    with pytest.raises(AssertionError, match="savs extract has no --shard-row"):
        check_command(["extract", "--shard-row", "8"])
    with pytest.raises(AssertionError, match="savs selects is no command"):
        check_command(["selects"])


def test_the_metrics_of_all_benchmarks_are_explained():
    from savs.datasets import BENCHMARKS

    page = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    named = {name for b in BENCHMARKS.values() for name in b.about.metrics}
    single = {re.split(r", <| \((?:pairs|groups|single)", name)[0] for name in named}
    assert len(single) > 10
    for name in single:
        if not re.search(r" of each |three scores|text, image and group|Q-Acc, I-Acc", name):
            assert re.search(rf"^\|[^|]*`{re.escape(name)}", page, re.MULTILINE), name
