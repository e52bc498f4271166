"""`savs preview`: one page that shows the examples as a model will meet them."""

from pathlib import Path
from typing import Annotated

import typer

from savs.datasets.prompt import SPLIT
from savs.pipeline.cli.options.columns import ColumnsOption, column_options
from savs.pipeline.cli.options.inputs import (
    BenchmarkArgument,
    FetchOption,
    FramesOption,
    GroupsOption,
    LimitOption,
    MediaOption,
    OutsideOption,
    QuestionOption,
    SeedOption,
    ShotsOption,
    TestOption,
    TrainOption,
    parse_shots,
    worded,
)
from savs.pipeline.cli.options.model import PlaceholdersOption, RevisionOption, TrustOption
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, option
from savs.pipeline.cli.output import print_json, say
from savs.pipeline.previewing.content import PreviewContent
from savs.pipeline.previewing.preview import DEFAULT_EXAMPLES, SUFFIXES, preview


@column_options
def preview_command(
    benchmark: BenchmarkArgument,
    test: TestOption,
    out: Annotated[Path, option("--out", metavar="PAGE.html", help="The page to write.")],
    train: TrainOption = None,
    shots: ShotsOption = None,
    train_groups: GroupsOption = None,
    question: QuestionOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
    media_root: MediaOption = None,
    video_frames: FramesOption = None,
    allow_outside: OutsideOption = False,
    fetch_urls: FetchOption = False,
    limit: LimitOption = None,
    examples: Annotated[
        int, option("--examples", min=1, help="Examples of each split to show.")
    ] = DEFAULT_EXAMPLES,
    model: Annotated[
        str | None,
        option("--model", metavar="ID", help="Show what it reads; no weights are loaded."),
    ] = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    placeholders: PlaceholdersOption = SPLIT,
    min_pixels: Annotated[int | None, option(min=1, help="Scale smaller images up to it.")] = None,
    max_pixels: Annotated[int | None, option(min=1, help="Scale larger images down to it.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Write one HTML page with the first examples of both splits: images, prompts, labels, skips.

    It needs no network. With --model, it has the text and the image tokens that the model reads.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"--out is {str(out)!r}, expected a name that ends in .html")
    content = preview(
        worded(benchmark, question, columns),
        test=test,
        out=out,
        train=train,
        shots=parse_shots(shots, train_groups, seed),
        media_root=media_root,
        video_frames=video_frames,
        allow_outside=allow_outside,
        fetch_urls=fetch_urls,
        limit=limit,
        examples=examples,
        model=model,
        revision=revision,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        trust_remote_code=trust_remote_code,
        placeholders=placeholders,
    )
    if json:
        print_json(_summary(content, out))
    else:
        print(out)
    for note in content.notes:
        say(note)
    for split in content.splits:
        skipped = sum(shown.skipped is not None for shown in split.shown)
        say(
            f"{split.name}: {split.examples:,} examples, {len(split.shown):,} shown, {skipped:,} of"
            f" them would be skipped; {len(split.absent):,} lack a medium"
        )


def _summary(content: PreviewContent, out: Path) -> dict[str, object]:
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
