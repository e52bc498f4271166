"""Run the commands of the figures of the pages, and say where a page differs from a fresh run.

    python scripts/figures.py                    all pages; commands of five minutes at most
    python scripts/figures.py docs/results/accuracy.md    one page
    python scripts/figures.py --longest 60       also commands of up to an hour
    python scripts/figures.py --list             what is marked, how far it may be off, its time
    python scripts/figures.py --write            put the fresh figures into the pages

Exit code 1: a figure differs by more than its page allows, or a command failed. How figures are
marked is written in `scripts/page_figures/marks.py`.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from page_figures.comparison import differences
from page_figures.marks import Mark, MarkError, find_marks, fresh_lines

ROOT = Path(__file__).parent.parent
PAGES = (Path("README.md"), *sorted(p.relative_to(ROOT) for p in (ROOT / "docs").rglob("*.md")))


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    parser.add_argument("--longest", type=float, default=5, metavar="MINUTES")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    try:
        pages = [path.resolve() for path in arguments.pages] or [ROOT / path for path in PAGES]
        marks = [mark for page in pages for mark in find_marks(page, page.read_text("utf-8"))]
    except (MarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.list:
        for mark in marks:
            print(_line(mark))
        return 0
    short = [mark for mark in marks if mark.seconds <= 60 * arguments.longest]
    for mark in marks:
        if mark not in short:
            print(f"left out, takes {mark.seconds / 60:g} min: {_line(mark)}")
    outputs = {command: _run(command) for command in dict.fromkeys(m.command for m in short)}
    return int(not _all_agree(short, outputs, write=arguments.write))


def _line(mark: Mark) -> str:
    within = f"{100 * mark.within:g} %" if mark.is_share else f"{mark.within:g}"
    place = mark.place.removeprefix(f"{ROOT}/")
    return f"{place}  {mark.command}  part {mark.part}, within {within}, {mark.seconds} s"


def _run(command: str) -> str | None:
    """Return what a command prints; None if it fails, whose messages are shown."""
    print(f"running {command}", file=sys.stderr, flush=True)
    scripts = os.fspath(Path(sys.executable).parent)
    variables = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    variables.pop("PYTHONSAFEPATH", None)  # scripts import modules of their folder
    with tempfile.TemporaryDirectory(prefix="savs-figures-") as work:
        words = shlex.split(command.replace("{work}", f"{work}/work"))
        done = subprocess.run(
            words, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=False
        )
    return done.stdout if done.returncode == 0 else None


def _all_agree(marks: Iterable[Mark], outputs: Mapping[str, str | None], *, write: bool) -> bool:
    """Print what differs, and put fresh figures into the pages if asked to."""
    agree = True
    fresh: list[tuple[Mark, tuple[str, ...]]] = []
    for mark in marks:
        output = outputs[mark.command]
        lines = None if output is None else fresh_lines(mark, output)
        if lines is None:
            print(f"{_line(mark)}\n  the command failed, or printed no such part")
            agree = False
            continue
        fresh.append((mark, lines))
        wrong = list(differences(mark, lines))
        agree = agree and not wrong
        print(f"{_line(mark)}: {'differs' if wrong else 'agrees'}")
        for text in wrong:
            print(f"  {text}")
    if write:
        _write(fresh)
    return agree


def _write(fresh: Iterable[tuple[Mark, tuple[str, ...]]]) -> None:
    """Replace figures from the last of a page to its first, so that line numbers stay true."""
    for mark, lines in sorted(fresh, key=lambda pair: -pair[0].first):
        there = mark.page.read_text("utf-8").splitlines()
        there[mark.first : mark.first + len(mark.lines)] = lines
        mark.page.write_text("\n".join(there) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
