"""`savs verify`: check the files of a store, and clean it up."""

from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import StoreArgument, option
from savs.pipeline.cli.output import print_cells, print_json, say
from savs.pipeline.running.formatting import counted, format_bytes

if TYPE_CHECKING:
    from savs.stores.maintain.repair import Repair
    from savs.stores.maintain.verify import Report

EXAMPLES = ("savs verify pets", "savs verify pets --quick", "savs verify pets --repair")


def verify_command(
    store: StoreArgument,
    quick: Annotated[
        bool, option("--quick", help="Check names, sizes and headers only, not the features.")
    ] = False,
    repair: Annotated[
        bool,
        option(
            "--repair",
            help="Also remove partial files and rename damaged shards to NAME.damaged.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Exits with code 3 if there is a problem; after --repair, if store.json is damaged."""
    if repair:
        from savs.stores.maintain.repair import repair as repair_store

        done = repair_store(store, quick=quick)
        _print_repair(store, done, as_json=json)
        is_bad = any(problem.kind == "manifest" for problem in done.report.problems)
    else:
        report = savs.verify(store, quick=quick)
        _print_report(store, report, quick=quick, as_json=json)
        is_bad = bool(report.problems)
    if is_bad:
        raise typer.Exit(exits.STORE)


def _print_report(store: str, report: "Report", *, quick: bool, as_json: bool) -> None:
    problems = report.problems
    if as_json:
        print_json(
            {
                "store": str(store),
                "shards": report.shards,
                "bytes": report.bytes,
                "sealed": report.sealed,
                "problems": [problem.to_json() for problem in problems],
            }
        )
    elif problems:
        print_cells(["file", "problem"], [[p.file, p.kind] for p in problems])
    for problem in () if as_json else problems:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")
    unread = any(problem.kind == "manifest" for problem in problems)
    read = "names, sizes and headers" if quick and not unread else format_bytes(report.bytes)
    say(f"{counted(report.shards, 'shard')} planned, {read} compared, problems: {len(problems)}")
    if not report.sealed:
        say("unfinished store: shards without a seal were compared with their own checksums")


def _print_repair(store: str, done: "Repair", *, as_json: bool) -> None:
    if as_json:
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
        rows += [[name, "to extract again"] for name in done.to_redo]
        if rows:
            print_cells(["file", "what"], rows)
    others = [problem for problem in done.report.problems if problem.kind != "missing"]
    for problem in others:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")
    if done.to_redo:
        say(f"shards to extract again: {len(done.to_redo)}; run the same `savs extract` command")
    elif not others:
        say("nothing to repair: the store is complete")
