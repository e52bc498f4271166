"""`savs split`: one file into a training file and a test file without leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs.datasets.splits.shots import Shots
from savs.pipeline.cli.options.fields import BenchmarkArgument, expand_options, resolve_benchmark
from savs.pipeline.cli.options.shared import JsonOption, option
from savs.pipeline.cli.output import print_json, print_line, print_table, say
from savs.pipeline.inputs.input_options import AskingKeywords, InputOptions

if TYPE_CHECKING:
    from savs.pipeline import Splitting


class SplitKeywords(AskingKeywords, total=False):
    """The fields of `InputOptions` that are options of `savs split`."""

    shots: Shots | None
    strict: bool


@expand_options
def split_command(
    benchmark: BenchmarkArgument,
    source: Annotated[
        str, option("--from", metavar="FILE", help="Input: a file, folder or hf:// data set.")
    ],
    train: Annotated[
        Path, option("--train", metavar="FILE", help="Output file for training examples.")
    ],
    test: Annotated[
        Path, option("--test", metavar="FILE", help="Output file for all other examples.")
    ],
    reading: SplitKeywords,
    force: Annotated[bool, option("--force", help="Overwrite existing files.")] = False,
    json: JsonOption = False,
) -> None:
    """Rows that share a group or an identical image stay in the same split."""
    from savs.pipeline.inputs.split import split_file

    inputs = InputOptions(**reading)
    shots = inputs.shots
    if shots is None:
        raise typer.BadParameter("pass --shots N (examples per class) or --train-groups N")
    chosen = resolve_benchmark(benchmark, inputs)
    targets = {"train": train, "test": test}
    done = split_file(chosen, source, inputs, shots, targets, force=force)
    if json:
        print_json(_summary(done))
    else:
        _print_table(done)
    each = shots.each_class
    if each is not None and any(count > each for count in done.classes["train"].values()):
        say(
            f"some classes have more than {each} training examples, because rows that share a"
            " group or an image stay together"
        )
    for line in done.doubts:
        say(f"note: {line}")
    if done.missing:
        say(
            f"{len(done.missing):,} images do not exist (the first is {done.missing[0]}): they were"
            " compared by name only"
        )
    if done.media_root is not None:
        say(f"for savs extract, pass --media-root {done.media_root}")


def _classes(done: "Splitting") -> list[tuple[str | None, str]]:
    return list(dict.fromkeys((*done.classes["train"], *done.classes["test"])))


def _summary(done: "Splitting") -> dict[str, object]:
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


def _print_table(done: "Splitting") -> None:
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
        print_line(f"{name}: {path} ({done.rows[name]:,} rows)")
    say(
        f"checked both files: they share no example, image or group"
        f" ({done.clusters:,} sets of linked examples)"
    )
