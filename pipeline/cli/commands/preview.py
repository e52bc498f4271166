"""`savs preview`: a page that shows the examples as the model reads them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.pipeline.cli.options.fields import BenchmarkArgument, expand_options, resolve_benchmark
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, say
from savs.pipeline.extraction.model.model_options import ProcessorKeywords
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.names import DEFAULT_EXAMPLES

if TYPE_CHECKING:
    from savs.pipeline.reports.preview.preview import PreviewContent


@expand_options
def preview_command(
    benchmark: BenchmarkArgument,
    out: Annotated[Path, option("--out", metavar="PAGE.html", help="Output file.")],
    inputs: InputOptions,
    processor: ProcessorKeywords,
    examples: Annotated[
        int, option("--examples", min=1, help="Examples to show of each split.")
    ] = DEFAULT_EXAMPLES,
    model: Annotated[
        str | None,
        option(
            "--model", metavar="ID", help="Show the input of this model; no weights are loaded."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """With --model: also show the text and the image tokens that the model reads."""
    from savs.pipeline.reports.pages.rendering import SUFFIXES
    from savs.pipeline.reports.preview.preview import write_preview

    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"--out is {str(out)!r}, expected a name that ends in .html")
    chosen = resolve_benchmark(benchmark, inputs)
    content = write_preview(chosen, inputs, processor, model=model, out=out, examples=examples)
    if json:
        print_json(_summary(content, out))
    else:
        print_line(str(out))
    for note in content.notes:
        say(note)
    for split in content.splits:
        skipped = sum(shown.skipped is not None for shown in split.shown)
        say(
            f"{split.name}: {split.examples:,} examples, {len(split.shown):,} shown, {skipped:,} of"
            f" them would be skipped; {len(split.absent):,} have missing media"
        )


def _summary(content: "PreviewContent", out: Path) -> dict[str, object]:
    return {
        "page": str(out),
        "splits": {
            split.name: {
                "examples": split.examples,
                "shown": len(split.shown),
                "skipped": {s.example.id: s.skipped for s in split.shown if s.skipped},
                "absent": dict(split.absent),
            }
            for split in content.splits
        },
        "notes": list(content.notes),
    }
