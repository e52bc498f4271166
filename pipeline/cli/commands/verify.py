"""`savs verify` and `savs repair`: is a store what it says of itself, and what to do if not."""

from pathlib import Path
from typing import Annotated

import typer

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, StoreArgument, option
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.running.formatting import format_bytes
from savs.stores.maintain.repair import repair
from savs.stores.maintain.verify import Problem, verify

QuickOption = Annotated[
    bool, option("--quick", help="Compare names, sizes and headers only; read no feature.")
]


def verify_command(
    store: StoreArgument,
    quick: QuickOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Find every changed byte, and missing, renamed, foreign or duplicate shards.

    Exits with 3 if there is any.
    """
    report = verify(Path(store), quick=quick)
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
        say("the store is not finished: what no seal lists yet was compared with its own checksums")
    if report.problems:
        raise typer.Exit(exits.STORE)


def _print_problems(problems: tuple[Problem, ...]) -> None:
    if problems:
        print_table(["file", "problem"], [[p.file, p.kind] for p in problems])
    for problem in problems:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")


def repair_command(
    store: StoreArgument,
    quick: QuickOption = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove what dead writers left, set damaged shards aside, list the shards to do again.

    Nothing good is touched; a damaged shard is renamed to NAME.damaged. Exits with 3 where
    store.json itself is damaged, and nothing can be judged.
    """
    done = repair(Path(store), quick=quick)
    if json:
        print_json(
            {
                "store": str(store),
                "removed": list(done.removed),
                "set_aside": list(done.set_aside),
                "to_redo": list(done.to_redo),
                "problems": [problem.to_json() for problem in done.report.problems],
            }
        )
    else:
        rows = [[name, "removed"] for name in done.removed]
        rows += [[name, "set aside"] for name in done.set_aside]
        rows += [[name, "to do again"] for name in done.to_redo]
        if rows:
            print_table(["file", "what"], rows)
    others = [p for p in done.report.problems if p.kind != "missing"]
    for problem in others:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")
    if done.to_redo:
        say(f"shards to do again: {len(done.to_redo)}; run the same `savs extract` command")
    elif not others:
        say("nothing to do: the store is whole")
    if any(problem.kind == "manifest" for problem in others):
        raise typer.Exit(exits.STORE)
