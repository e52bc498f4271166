"""`savs explain`: the votes of the chosen heads, and what would have changed them."""

from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, shows_details
from savs.pipeline.running.formatting import counted
from savs.pipeline.running.table import Table

if TYPE_CHECKING:
    from savs.pipeline.reports.explain.explanation import Explained, Explanations


def prepare(options: Options) -> Options:
    """Refuse maps that nothing would show."""
    if options["attention_maps"] and options["out"] is None and not options["json"]:
        raise ParameterError("`attention_maps` draws on a page; pass `out` FILE.html or --json")
    return options


def show(done: "Explanations", options: Options) -> Shown:
    """Word the votes of each example, or the page."""
    data: list[Table | str] = []
    out = options["out"]
    if out is not None and not shows_details():
        data.append(out)
    else:
        for one in done.examples:
            data += [*([""] if data else []), *_words(one)]
    messages = [f"note: {done.left_out}"] if done.left_out else []
    if out is not None:
        wrong = sum(one.is_right is False for one in done.examples if one.label)
        count = counted(len(done.examples), "example")
        messages.append(f"wrote {out}: {count}, {wrong} wrong")
        messages += [f"note: {note}" for note in done.notes]
    return Shown(facts=done.to_json(), data=data, messages=messages)


def _words(one: "Explained") -> list[Table | str]:
    truth = "" if one.label in (None, one.prediction) else f" instead of {one.label}"
    about = "" if one.subtask is None else f"{one.subtask}: "
    measure, rows = one.heads[0].measure, []
    header = ["head", "nearest class", measure, "lead", "nearest training example"]
    if one.are_moves:
        header = ["head", "moves the number by", "nearest training example"]
    for head in one.heads:
        near = ", ".join(f"{near.name} ({near.label})" for near in head.nearest[:1])
        seen = [f"{cosine:.3f}" for _, cosine in head.similarity[:1]]
        seen += [f"{head.lead:.3f}"] * len(seen)
        rows.append([head.name, head.vote, *seen, near])
    words: list[Table | str] = [f"{one.id}: {about}{one.prediction}{truth}"]
    words.append(Table.of_cells(header, rows).text())
    if one.changes is None:
        return words
    change = one.changes
    if change.lead is None:
        words.append(f"the runner-up is {change.rival}")
    else:
        total = len(one.heads)
        is_all = one.for_winner == total
        who = f"All {total} heads" if is_all else f"{one.for_winner} of {total} heads"
        words.append(
            f'{who} say "{one.prediction}"; {len(change.heads)} would have to switch for'
            f' "{change.rival}" to win: {", ".join(change.heads)}'
        )
    for what, changed in (("head", change.without_head), ("example", change.without_example)):
        words += [f"without {what} {name}: {other}" for name, other in (changed or {}).items()]
        if changed is not None and not changed:
            words.append(f"without any one {what}: the same")
    return words


COMMAND = Command(
    function="savs.pipeline.reports.explain.explain:explain",
    about="Explains wrong and least sure examples unless --id or --errors is given.\n\nRuns no"
    " model, except for --attention-maps.",
    examples=(
        "savs explain pets --n 3",
        "savs explain pets --errors --out why.html --media-root photos",
        "savs explain pets --n 1 --attention-maps --media-root photos --out why.html",
    ),
    prepare=prepare,
    show=show,
)
