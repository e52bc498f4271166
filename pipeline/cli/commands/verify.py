"""`savs verify`: check the files of a store, and clean it up."""

from typing import TYPE_CHECKING, Any, Union

from savs.pipeline.cli import exit_codes as exits
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted, format_bytes
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    from savs.stores.maintain.repair import Repair
    from savs.stores.maintain.verify import Report


def verify(store: str, *, quick: bool = False, repair: bool = False) -> "Report | Repair":
    """Verify a store, or clean it up.

    Parameters
    ----------
    store
        Feature store: a folder.
    quick
        Check names, sizes and headers only, not the features.
    repair
        Also remove partial files and rename damaged shards to NAME.damaged.
    """
    if repair:
        from savs.stores.maintain.repair import repair as repair_store

        return repair_store(store, quick=quick)
    from savs.stores.maintain.verify import verify as verify_store

    return verify_store(store, quick=quick)


def show(done: Union["Report", "Repair"], options: Options) -> Shown:
    """Word the problems, or the files that were removed and set aside."""
    facts: dict[str, Any] = {"store": options["store"]}
    return _repaired(done, facts) if options["repair"] else _verified(done, facts, options["quick"])


def _verified(report: Any, facts: dict[str, Any], quick: bool) -> Shown:
    problems = report.problems
    facts |= {"shards": report.shards, "bytes": report.bytes, "sealed": report.sealed}
    facts["problems"] = [problem.to_json() for problem in problems]
    table = Table.of_cells(["file", "problem"], [[p.file, p.kind] for p in problems])
    messages = [f"{problem.file}: {problem.what}; {problem.remedy}" for problem in problems]
    unread = any(problem.kind == "manifest" for problem in problems)
    read = "names, sizes and headers" if quick and not unread else format_bytes(report.bytes)
    count = counted(report.shards, "shard")
    messages.append(f"{count} planned, {read} compared, problems: {len(problems)}")
    if not report.sealed:
        messages.append(
            "unfinished store: shards without a seal were compared with their own checksums"
        )
    return Shown(
        facts=facts,
        data=[table] if problems else [],
        messages=messages,
        exit_code=exits.STORE if problems else 0,
    )


def _repaired(done: Any, facts: dict[str, Any]) -> Shown:
    facts |= {"removed": list(done.removed), "set_aside": list(done.set_aside)}
    facts |= {"to_redo": list(done.to_redo)}
    facts["problems"] = [problem.to_json() for problem in done.report.problems]
    rows = [[name, "removed"] for name in done.removed]
    rows += [[name, "set aside"] for name in done.set_aside]
    rows += [[name, "to extract again"] for name in done.to_redo]
    others = [problem for problem in done.report.problems if problem.kind != "missing"]
    messages = [f"{problem.file}: {problem.what}; {problem.remedy}" for problem in others]
    if done.to_redo:
        messages.append(
            f"shards to extract again: {len(done.to_redo)}; run the same `savs extract` command"
        )
    elif not others:
        messages.append("nothing to repair: the store is complete")
    is_bad = any(problem.kind == "manifest" for problem in done.report.problems)
    return Shown(
        facts=facts,
        data=[Table.of_cells(["file", "what"], rows)] if rows else [],
        messages=messages,
        exit_code=exits.STORE if is_bad else 0,
    )


COMMAND = Command(
    function="savs.pipeline.cli.commands.verify:verify",
    about="Exits with code 3 if there is a problem; after --repair, if store.json is damaged.",
    examples=("savs verify pets", "savs verify pets --quick", "savs verify pets --repair"),
    show=show,
)
