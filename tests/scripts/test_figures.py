"""`scripts/figures.py`: a page's figures are those of a fresh run, within what the page allows."""

import shlex
import sys
from pathlib import Path

import figures
import pytest
from page_figures.comparison import differences
from page_figures.marks import MarkError, find_marks, fresh_lines

ROOT = Path(__file__).parents[2]
TABLE = "| n | share |\n| --- | --- |\n| 10 | 92.5 % |\n| 1,000 | 1.50 s, 2 of 3 |\n"


@pytest.fixture
def page(tmp_path):
    """Return a function that writes a page with a table, marked by a command that prints a text."""

    def write(printed: str, within: str = "0", part: int = 1, takes: str = "1 s") -> Path:
        (tmp_path / "printed").write_text(printed)
        code = f"print(open('{tmp_path}/printed').read())"
        command = f'{sys.executable} -c "{code}"'
        mark = f"<!-- figures: {command}; part {part}; within {within}; takes {takes} -->"
        (tmp_path / "page.md").write_text(f"# Page\n\n{mark}\n{TABLE}\nAfter.\n")
        return tmp_path / "page.md"

    return write


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the script; return its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, words)])
        code = figures.main()
        return code, capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("within", "printed", "code", "expected"),
    [
        ("0", TABLE.replace("| 10 |", "|   10 |").replace("---", ":---"), 0, "1 s: agrees\n"),
        ("0.5", TABLE.replace("92.5", "93.0"), 0, "agrees\n"),
        ("0.5", TABLE.replace("92.5", "93.1"), 1, "10: 92.5 % in the page, fresh 93.1 %"),
        ("10 %", TABLE.replace("92.5", "101.7"), 0, "agrees\n"),  # 92.5 x 1.1 = 101.75
        ("10 %", TABLE.replace("92.5", "101.8"), 1, "10: 92.5 % in the page, fresh 101.8 %"),
        ("50 %", TABLE.replace("92.5 %", "92.5"), 1, "10: 92.5 % in the page, fresh 92.5"),
        ("50 %", TABLE.replace("92.5 %", "92.5 % (2)"), 1, "in the page, fresh 92.5 % (2)"),
        ("0", TABLE + "| 5 | 5 |\n", 1, "4 lines in the page, 5 fresh"),
        ("0", TABLE.replace("92.5 %", "92.5 % | 4"), 1, "in the page, fresh"),
    ],
)
def test_a_number_may_be_off_by_what_the_page_allows(page, run, within, printed, code, expected):
    found, said = run(page(printed, within))
    assert (found, expected in said) == (code, True), said


def test_the_part_of_the_output_that_is_asked_for_counts(page, run):
    assert run(page(f"| a |\n| - |\n\nwords\n\n{TABLE}", part=2))[0] == 0
    code, said = run(page(TABLE, part=2))
    assert code == 1
    assert "printed no such part" in said


def test_a_page_may_have_some_columns_of_what_is_printed(page, run):
    wide = TABLE.replace("| n |", "| n | s |").replace("| --- |", "| --- | --- |", 1)
    wide = wide.replace("| 10 |", "| 10 | 1 |").replace("| 1,000 |", "| 1,000 | 2 |")
    path = page(wide)
    assert run(path)[0] == 1
    path.write_text(path.read_text().replace("part 1;", "part 1; columns 1 3;"))
    assert run(path)[0] == 0
    path.write_text(path.read_text().replace("columns 1 3;", "columns 1 2;"))
    code, said = run(path)
    assert code == 1
    assert "10: 92.5 % in the page, fresh 1" in said


def test_a_failing_command_is_told(page, run):
    path = page(TABLE)
    path.write_text(path.read_text().replace("print(", "raise SystemExit(3) or print("))
    code, said = run(path)
    assert code == 1
    assert "the command failed" in said


def test_long_commands_run_only_if_asked_for(page, run):
    path = page("nothing", takes="2 h")
    assert run(path) == (0, "left out, takes 120 min: " + run("--list", path)[1])
    assert run("--longest", "120", path)[0] == 1


def test_fresh_figures_are_written_and_nothing_else(page, run):
    fresh = TABLE.replace("92.5", "12.5")
    path = page(fresh)
    before = path.read_text()
    assert run("--write", path)[0] == 1
    assert path.read_text() == before.replace("92.5", "12.5")
    assert run(path)[0] == 0


def test_a_block_of_text_is_compared_word_by_word(tmp_path):
    text = "<!-- figures: x; part 1; within 1; takes 1 s -->\n```text\na   1.0  -\nb 20 x\n```\n"
    (mark,) = find_marks(tmp_path / "p.md", text)
    assert mark.lines == ("a   1.0  -", "b 20 x")
    fresh = fresh_lines(mark, "a 1.5 -\nb      21      x\n\nmore\n")
    assert fresh is not None
    assert list(differences(mark, fresh)) == []
    assert list(differences(mark, ("a 2.5 -", "b 20 x"))) == ["a: 1.0 in the page, fresh 2.5"]


@pytest.mark.parametrize(
    "text",
    [
        "<!-- figures: x; part 1; takes 1 s -->\n| a |\n",
        "<!-- figures: x; part 1; within 1; takes 1 s -->\n\n| a |\n",
        "<!-- figures: x; part 1; within 1; takes 1 s -->",
    ],
)
def test_a_mark_that_cannot_be_read_is_an_error(tmp_path, text):
    with pytest.raises(MarkError, match=r"p\.md:1: expected a"):
        find_marks(tmp_path / "p.md", text)


def test_the_marks_of_our_pages_name_scripts_that_are_there():
    marks = [
        mark
        for page in figures.PAGES
        for mark in find_marks(page, (ROOT / page).read_text("utf-8"))
    ]
    assert {mark.page.name for mark in marks} >= {"README.md", "demo-scenes.md", "accuracy.md"}
    for mark in marks:
        program, script, *_ = shlex.split(mark.command)
        assert program == "savs" or (ROOT / script).is_file(), mark.place


def test_figures_by_arithmetic_are_fresh(run):
    code, said = run("--longest", "0.1", ROOT / "docs/results/speed.md")
    assert code == 0
    assert "estimate_cost.py  part 1, within 0, 1 s: agrees" in said
