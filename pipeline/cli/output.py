"""What commands print: data on stdout, messages and progress on stderr."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.shared import FIELD
from savs.pipeline.running import signals as interruption
from savs.pipeline.running.formatting import (
    HIDDEN,
    counted,
    counted_as,
    format_seconds,
    visible,
)
from savs.pipeline.running.progress import Reporting
from savs.pipeline.running.table import FORMS, TABLE, Table

if TYPE_CHECKING:
    from savs.stores import FeatureStore

_shows = {"progress": True, "details": False}
"""What the user asked for, by `--no-progress` and `--verbose`."""
LINE_EVERY_S = 5.0
"""Interval of progress lines where stderr is not a terminal."""
BAR_EVERY_S = 0.1
FIRST_AFTER_S = 2.0
"""Work of stage 2 that is done sooner shows no progress."""
SHOWN = 10
_spellings: dict[str, str] = {}
"""Parameter of the command that runs -> its spelling, `--max-layer` or `SAVS_EXTRACT_FETCH_GB`."""


_stdout: list[TextIO] = []
"""Where a command that runs prints its data."""


@contextmanager
def data_alone() -> Iterator[None]:
    """Keep stdout for the data of a command: what others print, a user's code say, is no data.

    That goes to stderr while the block runs.
    """
    _stdout.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _stdout.pop()


def stdout() -> TextIO:
    """Return where data is printed."""
    return _stdout[-1] if _stdout else sys.stdout


def print_bytes(content: bytes) -> None:
    """Print a file on stdout, whatever the encoding of the terminal."""
    stdout().flush()
    stdout().buffer.write(content)


def _print(text: str) -> None:
    print(text, file=stdout())


def hide_progress(is_hidden: bool) -> bool:
    """Show no progress, or show it; the callback of `--no-progress`."""
    _shows["progress"] = not is_hidden
    return is_hidden


def show_details(wanted: bool) -> bool:
    """Print details of a run, or not; the callback of `--verbose`."""
    _shows["details"] = wanted
    return wanted


def shows_details() -> bool:
    """Return whether the user asked for details."""
    return _shows["details"]


def detail(text: str) -> None:
    """Print a message that asks the user to do nothing: with `--verbose` alone."""
    if _shows["details"]:
        say(text)


def set_spellings(spellings: Mapping[str, str]) -> None:
    """Let messages spell the parameters of the command that runs as its user sets them."""
    _spellings.clear()
    _spellings.update(spellings)


def spelled(text: str) -> str:
    """Return a message in which each parameter in backticks is spelled as on the command line."""
    return FIELD.sub(lambda match: _spellings.get(match[1], match[0]), text)


def say(text: str, keep: str = "") -> None:
    """Print a message on stderr; `spelled` and `visible` show its text."""
    print(visible(spelled(text), keep), file=sys.stderr, flush=True)


def print_line(text: str = "", keep: str = "") -> None:
    """Print a line on stdout; `visible` shows its text."""
    _print(visible(text, keep))


def drop_stdout() -> None:
    """Discard what is still to be printed on stdout, when it cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stdout().fileno())
    os.close(nowhere)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; values that JSON lacks, such as dates, become strings."""
    import json

    is_utf8 = (stdout().encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, indent=1, ensure_ascii=not is_utf8, default=str)
    _print(HIDDEN.sub(lambda c: c[0] if c[0] == "\n" else f"\\u{ord(c[0]):04x}", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a command prints: on stdout `data`, or with `--json` `facts`; on stderr the messages."""

    facts: Any = None
    data: Sequence[Table | str | bytes] = ()
    """Tables, a blank line before each, lines, and files."""
    form: str = TABLE
    """How the first table is printed: as a terminal has it, or in one of `FORMS`."""
    messages: Sequence[str] = ()
    exit_code: int = 0

    def print(self, *, as_json: bool) -> None:
        """Print all; `typer.Exit` if the command has failed."""
        if as_json and self.facts is not None:
            print_json(self.facts)
        elif self.form != TABLE:
            print_line(FORMS[self.form](cast("Table", self.data[0])).removesuffix("\n"), keep="\n")
        else:
            self._print_data()
        for message in self.messages:
            say(message)
        if self.exit_code:
            raise typer.Exit(self.exit_code)

    def _print_data(self) -> None:
        for place, part in enumerate(self.data):
            if isinstance(part, bytes):
                print_bytes(part)
            if isinstance(part, str):
                print_line(part, keep="\n")
            if not isinstance(part, Table):
                continue
            if place:
                print_line()
            _print(part.text())
        for table in self.data:
            if isinstance(table, Table):
                for note in table.notes:
                    say(note)
                for line in table.details:
                    detail(line)


def pairs(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of names and texts in two columns."""
    width = max(len(name) for name, _ in rows)
    return [visible(f"{name.ljust(width)}  {text}") for name, text in rows]


def _show_state(line: str, *, in_place: bool) -> None:
    """Print how far work is on stderr: in place of what was last shown, or as a line."""
    print(f"\r{line}\x1b[K" if in_place else line, end="" if in_place else "\n",
          file=sys.stderr, flush=True)  # fmt: skip


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show rows done, rate and time left on stderr while the block runs."""
    if not _shows["progress"]:
        yield lambda rows: interruption.raise_if_interrupted()
        return
    terminal = sys.stderr.isatty()
    every = BAR_EVERY_S if terminal else LINE_EVERY_S
    started = printed = time.monotonic()
    done = 0

    def line() -> str:
        share = f"{done:,} of {counted(total, 'example')} ({100 * done // max(total, 1)} %)"
        if not done:
            return share  # no rate is known yet
        rate = done / max(time.monotonic() - started, 1e-9)
        return f"{share}, {rate:.1f} per second, {format_seconds((total - done) / rate)} left"

    def on_rows(rows: int) -> None:
        nonlocal done, printed
        interruption.raise_if_interrupted()
        done += rows
        now = time.monotonic()
        if now - printed >= every:
            printed = now
            _show_state(line(), in_place=terminal)

    try:
        yield on_rows
    finally:
        if terminal and done:
            _show_state("", in_place=True)
    if done:
        seconds = time.monotonic() - started
        rate = done / max(seconds, 1e-9)
        say(f"{counted(done, 'example')} in {format_seconds(seconds)}, {rate:.1f} per second")


REPORTING = Reporting(say, progress, detail)
"""The messages and the progress of a run, for its user."""


class WorkLine:
    """Shows on stderr how far work of stage 2 is, and how long the rest may take.

    A listener of `savs.foundation.progress`.
    """

    def __init__(self) -> None:
        self._started = self._printed = time.monotonic()
        self._is_shown = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of items that are done; a line is printed now and then."""
        interruption.raise_if_interrupted()
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not done:
            self._started = self._printed = now
        every = BAR_EVERY_S if terminal else LINE_EVERY_S
        spent = now - self._started
        if done >= total:
            if self._is_shown and terminal:
                _show_state("", in_place=True)
            self._is_shown = False
        elif spent >= FIRST_AFTER_S and now - self._printed >= every and _shows["progress"]:
            left = f", {format_seconds(spent * (total - done) / done)} left" if done else ""
            line = f"{done:,} of {total:,} {what} ({100 * done // total} %){left}"
            _show_state(line, in_place=terminal)
            self._printed, self._is_shown = now, True


def skipped_messages(
    skipped: Sequence[str], rest: str, count: int, max_skip: int, option: str = " --retry-skipped"
) -> tuple[list[str], int]:
    """Name the first examples that a run skipped, with reasons; `rest` says where others are.

    The exit code is 4 where the `count` is above `max_skip`. It is that of examples without their
    prompts: an image that is combined with several counts once. `option` has the command read them
    again.
    """
    messages = [f"skipped {line}" for line in skipped[:SHOWN]]
    if len(skipped) > SHOWN:
        messages.append(f"... and {len(skipped) - SHOWN} more; {rest}")
    if count <= max_skip:
        return messages, 0
    messages.append(
        f"{counted_as(count, 'example', 'was', 'were')} skipped, {max_skip} allowed; fix the files"
        f" and run again{option and f' with{option}'}, or continue with --allow skips:{count}"
    )
    return messages, exits.TOO_MANY_SKIPPED


def skipped_examples(
    store: "FeatureStore",
    skipped: Sequence[tuple[str, str, str]],
    max_skip: int,
    option: str = " --retry-skipped",
) -> tuple[list[str], int]:
    """Like `skipped_messages`, of `(split, id, reason)` of the examples of a store."""
    import polars as pl

    from savs.datasets.benchmarks.options import stored_prompts, without_prompt

    ids = pl.Series([f"{split} {identifier}" for split, identifier, _ in skipped], dtype=pl.String)
    images = without_prompt(ids) if stored_prompts(store.facts["benchmark"]) else ids
    lines = [f"{split} {identifier}: {reason}" for split, identifier, reason in skipped]
    return skipped_messages(lines, "`savs show` lists all", images.n_unique(), max_skip, option)
