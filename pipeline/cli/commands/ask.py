"""`savs ask`: the model's own answers about images, without a label."""

from dataclasses import replace
from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError, command
from savs.pipeline.cli.command import Command, Options, Own
from savs.pipeline.cli.commands import classify
from savs.pipeline.cli.output import Shown
from savs.pipeline.cluster.node import NONE
from savs.pipeline.extraction.model.model_options import ClassifiedKeywords
from savs.pipeline.inputs.input_options import NewImageKeywords
from savs.pipeline.running.option_texts import read_lines
from savs.pipeline.running.options import Option

if TYPE_CHECKING:
    from savs.pipeline.classifying.classified import Classification


def prepare(options: Options) -> Options:
    """Read a file of classes; keep the features next to a folder or a table."""
    from savs.pipeline.classifying.asking import has_a_name, outputs_and_folder
    from savs.pipeline.classifying.training import default_store

    arguments, file = dict(options), options["classes_file"]
    if file is not None:
        if options["classes"]:
            raise ParameterError("`classes` and `classes_file` both name classes; pass one")
        try:
            arguments["classes"] = read_lines(file)
        except ValueError as error:
            raise ParameterError(f"--classes: {error}") from error
    outs, inputs = options["out"] or [], options["inputs"]
    if outputs_and_folder(outs)[1] is None and has_a_name(inputs):
        arguments["out"] = [*outs, *filter(None, [default_store(inputs[0])])]
    del arguments["classes_file"]
    return arguments


def show(done: "Classification", options: Options) -> Shown:
    """Word answers, files and what was skipped as `classify`, and what comes next."""
    shown = classify.show(done, {**options, "gpus": NONE, "risk": None})
    if done.store is None:
        return shown
    suggest = command("savs", "suggest", done.store, "--out", "next.html")
    lines = [
        f"kept the features in {done.store}",
        f"next: {suggest}, then savs label and savs train",
    ]
    return replace(shown, messages=[*shown.messages, *lines])


COMMAND = Command(
    function="savs.pipeline.classifying.asking:answer",
    about="Reads the log-likelihood of each answer: nothing is learned, and nothing generated. The"
    " features of the same pass are kept, so that savs suggest, savs label and savs train go on"
    " from them without another one.",
    examples=(
        'savs ask photos --question "Which animal is this?" --class cat --class dog --model demo',
        'savs ask photos --question "Is it sharp?" --model demo --out sharp.csv --out sharp.html',
        "savs ask photos --question 'How sharp?' --level low --level fair --level top --model demo",
    ),
    kinds=(NewImageKeywords, ClassifiedKeywords),
    own={
        "classes_file": Own(
            str | None, None, Option("File of classes, one a line.", metavar="FILE", name="classes")
        ),
    },
    allows=("outside", "urls", "private-addresses", "images", "remote-code", "skips"),
    prepare=prepare,
    show=show,
)
