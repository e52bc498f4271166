"""`savs split`: one file into a train and a test file that share nothing."""

from pathlib import Path
from typing import Annotated

import typer

from savs.pipeline.cli.options.columns import ColumnsOption, column_options
from savs.pipeline.cli.options.inputs import (
    BenchmarkArgument,
    GroupsOption,
    MediaOption,
    OutsideOption,
    QuestionOption,
    SeedOption,
    ShotsOption,
    parse_shots,
    worded,
)
from savs.pipeline.cli.options.shared import ConfigOption, JsonOption, option
from savs.pipeline.cli.output import print_json, print_table, say
from savs.pipeline.splitting.split import Splitting, split


@column_options
def split_command(
    benchmark: BenchmarkArgument,
    source: Annotated[
        str, option("--from", metavar="FILE", help="The examples: a file, folder or hf:// set.")
    ],
    train: Annotated[Path, option("--train", metavar="FILE", help="Where the drawn ones go.")],
    test: Annotated[Path, option("--test", metavar="FILE", help="Where all others go.")],
    shots: ShotsOption = None,
    train_groups: GroupsOption = None,
    question: QuestionOption = None,
    columns: ColumnsOption = None,
    seed: SeedOption = 0,
    media_root: MediaOption = None,
    allow_outside: OutsideOption = False,
    fetch_urls: Annotated[bool, option("--fetch-urls", help="Fetch media at an address.")] = False,
    force: Annotated[bool, option("--force", help="Replace files that are there.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Draw training examples from one file, and write a train and a test file that share nothing.

    Rows that share a group or an image, by content, go to the same side.
    """
    drawn = parse_shots(shots, train_groups, seed)
    if drawn is None:
        raise typer.BadParameter("give --shots N (examples a class) or --train-groups N")
    done = split(
        worded(benchmark, question, columns),
        source,
        train=train,
        test=test,
        shots=drawn,
        media_root=media_root,
        allow_outside=allow_outside,
        fetch_urls=fetch_urls,
        force=force,
    )
    if json:
        print_json(_summary(done))
    else:
        _print_table(done)
    if shots is not None and any(count > shots for count in done.classes["train"].values()):
        say(f"more than {shots} of a class train: what shares a group or an image goes whole")
    if done.missing:
        say(
            f"{len(done.missing):,} images are not there ({done.missing[0]} first): they were told"
            " apart by name alone"
        )
    if done.media_root is not None:
        say(f"for savs extract, give --media-root {done.media_root}")


def _classes(done: Splitting) -> list[tuple[str | None, str]]:
    return list(dict.fromkeys((*done.classes["train"], *done.classes["test"])))


def _summary(done: Splitting) -> dict[str, object]:
    return {
        **{name: str(path) for name, path in done.paths.items()},
        "rows": {name: done.rows[name] for name in done.paths},
        "classes": [
            {
                "subtask": subtask,
                "label": label,
                **{name: done.classes[name].get((subtask, label), 0) for name in done.paths},
            }
            for subtask, label in _classes(done)
        ],
        "clusters": done.clusters,
        "leaks": 0,
        "missing_media": list(done.missing),
        "media_root": done.media_root and str(done.media_root),
    }


def _print_table(done: Splitting) -> None:
    rows = [
        [
            subtask or "-",
            label,
            *(f"{done.classes[name].get((subtask, label), 0):,}" for name in done.paths),
        ]
        for subtask, label in _classes(done)
    ]
    print_table(["subtask", "class", "train", "test"], rows)
    for name, path in done.paths.items():
        print(f"{name}: {path} ({done.rows[name]:,} rows)")
    say(
        f"both files were read again: no example, image or group is in both"
        f" ({done.clusters:,} sets that share none)"
    )
