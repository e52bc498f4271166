"""`savs repair`: clean up a store, so that missing shards can be extracted again."""

import typer

from savs import pipeline
from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.options.shared import JsonOption, QuickOption, StoreArgument
from savs.pipeline.cli.output import print_json, print_table, say


def repair_command(
    store: StoreArgument, quick: QuickOption = False, json: JsonOption = False
) -> None:
    """Remove partial files, rename damaged shards to NAME.damaged and keep good ones.

    The exit code is 3 if store.json itself is damaged.
    """
    done = pipeline.repair(store, quick=quick)
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
        rows += [[name, "to extract again"] for name in done.to_redo]
        if rows:
            print_table(["file", "what"], rows)
    others = [p for p in done.report.problems if p.kind != "missing"]
    for problem in others:
        say(f"{problem.file}: {problem.what}; {problem.remedy}")
    if done.to_redo:
        say(f"shards to extract again: {len(done.to_redo)}; run the same `savs extract` command")
    elif not others:
        say("nothing to repair: the store is complete")
    if any(problem.kind == "manifest" for problem in others):
        raise typer.Exit(exits.STORE)
