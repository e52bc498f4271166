"""`savs verify`: check the files of a store."""

from typing import TYPE_CHECKING

import typer

from savs import pipeline
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.shared import JsonOption, QuickOption, StoreArgument
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.running.formatting import format_bytes

if TYPE_CHECKING:
    from savs.stores.maintain.verify import Problem


def verify_command(
    store: StoreArgument, quick: QuickOption = False, json: JsonOption = False
) -> None:
    """Exit with code 3 if there is a problem."""
    report = pipeline.verify(store, quick=quick)
    if json:
        print_json(
            {
                "store": str(store),
                "shards": report.shards,
                "bytes": report.bytes,
                "sealed": report.sealed,
                "problems": [problem.to_json() for problem in report.problems],
            }
        )
    else:
        _print_problems(report.problems)
    unread = any(problem.kind == "manifest" for problem in report.problems)
    read = "names, sizes and headers" if quick and not unread else format_bytes(report.bytes)
    say(f"{report.shards} shards planned, {read} compared, problems: {len(report.problems)}")
    if not report.sealed:
        say("unfinished store: shards without a seal were compared with their own checksums")
    if report.problems:
        raise typer.Exit(exits.STORE)


def _print_problems(problems: "tuple[Problem, ...]") -> None:
    if problems:
        print_table(["file", "problem"], [[p.file, p.kind] for p in problems])
    for problem in problems:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")
