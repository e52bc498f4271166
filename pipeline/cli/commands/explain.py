"""`savs explain`: the votes of the chosen heads, and what would have changed them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import savs
from savs.pipeline.cli.options.fields import expand_options
from savs.pipeline.cli.options.settings import JsonOption
from savs.pipeline.cli.options.shared import (
    ClassifierDtypeOption,
    ClassifierModelOption,
    ClassifierRevisionOption,
    MediaRootOption,
    option,
    require_folder,
)
from savs.pipeline.cli.output import (
    REPORTING,
    print_cells,
    print_json,
    print_line,
    say,
    shows_details,
)
from savs.pipeline.extraction.model.model_options import PlacingKeywords
from savs.pipeline.names import DEFAULT_EXPLAINED
from savs.pipeline.running.formatting import counted

if TYPE_CHECKING:
    from savs.pipeline.reports.explain.explanation import Explained

EXAMPLES = (
    "savs explain pets --n 3",
    "savs explain pets --errors --out why.html --media-root photos",
    "savs explain pets --n 1 --attention-maps --media-root photos --out why.html",
)


@expand_options
def explain_command(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT",
            help="Feature store, or a result folder in it, such as STORE/results/vote.",
            show_default=False,
        ),
    ],
    placing: PlacingKeywords,
    ids: Annotated[
        list[str] | None,
        option("--id", metavar="ID", help="Example to explain; repeatable."),
    ] = None,
    errors: Annotated[
        bool, option("--errors", help="Explain wrong examples only, the surest ones first.")
    ] = False,
    n: Annotated[
        int, option("--n", min=1, help="Examples to explain, if none is named.")
    ] = DEFAULT_EXPLAINED,
    out: Annotated[
        Path | None, option("--out", metavar="FILE.html", help="Also write an HTML page.")
    ] = None,
    media_root: MediaRootOption = None,
    attention_maps: Annotated[
        bool,
        option("--attention-maps", help="Run the model; show where heads look, and a test of it."),
    ] = False,
    model: ClassifierModelOption = None,
    revision: ClassifierRevisionOption = None,
    dtype: ClassifierDtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Explains wrong and least sure examples unless --id or --errors is given.

    Runs no model, except for --attention-maps.
    """
    if ids and errors:
        raise typer.BadParameter("`ids` and `errors` exclude each other; pass one of them")

    require_folder(media_root)
    if attention_maps and media_root is None:
        raise typer.BadParameter("--attention-maps needs the images; pass --media-root DIR")
    if attention_maps and out is None and not json:
        raise typer.BadParameter("--attention-maps draws on a page; pass --out FILE.html or --json")
    named = {"model": model, "revision": revision, "dtype": dtype}
    loading = {name: value for name, value in named.items() if value is not None}
    explanations = savs.explain(
        result,
        ids=ids or (),
        errors=errors,
        n=n,
        media_root=media_root,
        out=out,
        attention_maps=attention_maps,
        reporting=REPORTING,
        **loading,
        **(placing if attention_maps else {}),
    )
    if json:
        print_json(explanations.to_json())
    elif out is not None and not shows_details():
        print_line(str(out))
    else:
        for place, one in enumerate(explanations.examples):
            if place:
                print_line()
            _print(one)
    if explanations.left_out:
        say(f"note: {explanations.left_out}")
    if out is not None:
        wrong = sum(one.is_right is False for one in explanations.examples if one.label)
        count = counted(len(explanations.examples), "example")
        say(f"wrote {out}: {count}, {wrong} of them wrong")
        for note in explanations.notes:
            say(f"note: {note}")


def _print(one: "Explained") -> None:
    truth = "" if one.label in (None, one.prediction) else f" instead of {one.label}"
    about = "" if one.subtask is None else f"{one.subtask}: "
    print_line(f"{one.id}: {about}{one.prediction}{truth}")
    header, rows = ["head", "nearest class", "cosine", "lead", "nearest training example"], []
    if one.are_moves:
        header = ["head", "moves the number by", "nearest training example"]
    for head in one.heads:
        near = ", ".join(f"{near.name} ({near.label})" for near in head.nearest[:1])
        seen = [f"{cosine:.3f}" for _, cosine in head.similarity[:1]]
        seen += [f"{head.lead:.3f}"] * len(seen)
        rows.append([head.name, head.vote, *seen, near])
    print_cells(header, rows)
    if one.changes is None:
        return
    change = one.changes
    if change.lead is None:
        print_line(f"the runner-up is {change.rival}")
    else:
        said, total = f'say "{one.prediction}"', len(one.heads)
        who = (
            f"All {total} heads"
            if one.for_winner == total
            else f"{one.for_winner} of {total} heads"
        )
        print_line(
            f'{who} {said}; {len(change.heads)} would have to switch for "{change.rival}" to win:'
            f" {', '.join(change.heads)}"
        )
    for what, changed in (("head", change.without_head), ("example", change.without_example)):
        for name, other in (changed or {}).items():
            print_line(f"without {what} {name}: {other}")
        if changed is not None and not changed:
            print_line(f"without any one {what}: the same")
