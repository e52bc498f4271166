"""`savs ask`: the model's own answers about images, without a label."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError, command
from savs.pipeline.cli.command import MAX_SKIP, Command, Options, Own
from savs.pipeline.cli.commands import classify
from savs.pipeline.cli.output import Shown
from savs.pipeline.cluster.node import NONE
from savs.pipeline.extraction.model.model_options import ClassifiedKeywords
from savs.pipeline.extraction.run_options import WorkKeywords
from savs.pipeline.inputs.input_options import NewFileKeywords
from savs.pipeline.running.options import Option

if TYPE_CHECKING:
    from savs.pipeline.classifying.classification import Classification


def prepare(options: Options) -> Options:
    """Read files of classes or questions; keep the features next to a folder or a table."""
    from savs.pipeline.classifying.asking import (
        has_a_name,
        outputs_and_folder,
        read_classes,
        read_questions,
    )
    from savs.pipeline.classifying.training import default_store

    arguments, file = dict(options), options["classes_file"]
    if file is not None:
        if options["classes"]:
            raise ParameterError("`class` and `classes` both name classes; pass one")
        arguments["classes"] = read_classes(Path(file))
    if options["questions_file"] is not None:
        if options["question"]:
            raise ParameterError("`question` and `questions` both ask; pass one")
        arguments["question"] = read_questions(Path(options["questions_file"]))
    outs, inputs = options["out"] or [], options["inputs"]
    if outputs_and_folder(outs)[1] is None and has_a_name(inputs):
        arguments["out"] = [*outs, *filter(None, [default_store(inputs[0])])]
    for name in ("classes_file", "questions_file"):
        del arguments[name]
    return arguments


def show(done: "Classification", options: Options) -> Shown:
    """Word answers, files and what was skipped as `classify`, and what comes next."""
    shown = classify.show(done, {**options, "gpus": NONE})
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
    kinds=(NewFileKeywords, ClassifiedKeywords, WorkKeywords),
    own={
        "classes_file": Own(
            str | None, None, Option("File of classes, one a line.", metavar="FILE", name="classes")
        ),
        "questions_file": Own(
            str | None,
            None,
            Option("JSON file: question -> its classes.", metavar="FILE", name="questions"),
        ),
        "max_skip": MAX_SKIP,
    },
    prepare=prepare,
    show=show,
)
