"""Benchmarks with the user's choice of columns, of a question, or of several.

Under several questions each example is there once for each: the prompt is its subtask.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import polars as pl

from savs.datasets.benchmark import Benchmark
from savs.datasets.benchmarks.class_folders import FOLDERS, ask
from savs.datasets.benchmarks.general import GENERAL, general, with_positive
from savs.datasets.errors import OptionError, RowError
from savs.datasets.example import Example, with_media
from savs.datasets.media_kinds.catalogue import COLUMNS
from savs.datasets.metrics.metrics import (
    SCORED,
    Classes,
    Units,
    class_metrics,
    parts_by,
)
from savs.datasets.rows.label_kinds import A_CLASS_EACH, Labels
from savs.datasets.rows.label_kinds import OPTION as LABELS

OPTION = "questions"
"""Name of the prompts in a store's identity."""
TAKERS = ("general", *(benchmark.name for benchmark in FOLDERS.values()))
"""Benchmarks whose rows are combined with several prompts."""
_MARK = "#"
"""Between the id of an example and the number of its prompt, from 1."""
Ids = TypeVar("Ids", pl.Series, pl.Expr)


def adapt(
    benchmark: Benchmark,
    columns: Mapping[str, str] | None = None,
    question: str | Sequence[str] | None = None,
    labels: Labels = A_CLASS_EACH,
) -> Benchmark:
    """Return the benchmark with the given options, or unchanged without any.

    `columns` maps a field to the column that holds it, and `labels` is what labels are, for
    `general` only. `question` is the prompt of every row, or several that
    each row is combined with, for `TAKERS` only.

    Raises
    ------
    OptionError
        The benchmark has no such option, or the value is invalid.

    Examples
    --------
    >>> adapt(GENERAL, question="Is it a cat?").options
    {'question': 'Is it a cat?'}
    >>> adapt(GENERAL, question=["Is it a cat?", "What is it?"]).options
    {'questions': ['Is it a cat?', 'What is it?']}
    """
    if question is not None and not isinstance(question, str):
        prompts = list(question)
        if not prompts:
            raise OptionError("there are no questions; pass one at least, or omit the option")
        if labels.form and len(prompts) > 1:
            what = "a positive class" if labels.kind.are_classes else labels.kind.a_row_has
            raise OptionError(f"with {what}, rows take one question, not several; keep one")
        adapted = adapt(benchmark, columns, prompts[0], labels)
        return _with_prompts(adapted, prompts) if len(prompts) > 1 else adapted
    if not columns and question is None and not labels.form:
        return benchmark
    if benchmark is GENERAL:
        return general(columns, question, labels)
    is_of_rows = bool(columns) or bool(labels.form)
    if benchmark in FOLDERS.values() and question is not None and not is_of_rows:
        return ask(benchmark, question)
    option = "`columns`" if columns else "`task` or `positive`" if labels.form else "`question`"
    takers = "general" if is_of_rows else ", ".join(TAKERS)
    raise OptionError(
        f"{option} is an option of {takers} only; the benchmark {benchmark.name!r} has fixed"
        " columns and prompts: omit the option"
    )


def _with_prompts(benchmark: Benchmark, prompts: Sequence[str]) -> Benchmark:
    """Return a benchmark whose examples get each prompt, part of a store's identity."""
    for prompt in prompts:
        if not prompt.strip():
            raise OptionError("one of the questions is empty; pass a prompt, or leave it out")
        if prompts.count(prompt) > 1:
            raise OptionError(f"the question {prompt!r} is given twice; pass each once")
    others = {name: value for name, value in benchmark.options.items() if name != "question"}
    return replace(
        benchmark,
        prompts=tuple(prompts),
        measure=prompt_accuracies,
        reads=SCORED,
        options=others | {OPTION: list(prompts)},
    )


def as_stored(benchmark: Benchmark, facts: Mapping[str, Any]) -> Benchmark:
    """Return a benchmark with the prompts of a store, or unchanged if it has none.

    `facts` are the `name` and `options` in the store's identity. So is that with a positive class.
    """
    prompts = stored_prompts(facts)
    if benchmark is GENERAL and (
        positive := facts.get("options", {}).get(LABELS, {}).get("positive")
    ):
        benchmark = with_positive(benchmark, positive)
    return _with_prompts(benchmark, prompts) if prompts and not benchmark.prompts else benchmark


def stored_prompts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prompts that each example of a store is under; empty if rows have their own.

    Examples
    --------
    >>> stored_prompts({"name": "general", "options": {"questions": ["Cat?", "Dog?"]}})
    ('Cat?', 'Dog?')
    """
    prompts = facts.get("options", {}).get(OPTION, ()) if facts["name"] in TAKERS else ()
    return tuple(map(str, prompts))


def under_each_prompt(examples: Sequence[Example], prompts: Sequence[str]) -> list[Example]:
    """Return each example once for each prompt, its prompts side by side.

    The prompt is the subtask. Ids get the number of the prompt: `photo.jpg#2`. Media are in the
    order of the marks of each prompt.

    Raises
    ------
    RowError
        An example has a subtask already, or another number of media than a prompt has marks.
    """
    prompted = []
    for example in examples:
        if example.subtask is not None:
            raise RowError(
                f"{example.split} example {example.id!r} has the subtask {example.subtask!r}, but"
                " with several questions each question is a subtask; pass one question, or drop"
                " the column"
            )
        named = {column: example.media_of(column) for column in COLUMNS}
        for number, question in enumerate(prompts):
            try:
                prompt, media = with_media(question, named)
            except ValueError as error:
                raise RowError(
                    f"{example.split} example {example.id!r} under the question {question!r}:"
                    f" {error}; use one placeholder per medium, or none"
                ) from error
            prompted.append(
                replace(
                    example,
                    id=f"{example.id}{_MARK}{number + 1}",
                    index=example.index * len(prompts) + number,
                    prompt=prompt,
                    media=media,
                    subtask=question,
                )
            )
    return prompted


def without_prompt(ids: Ids) -> Ids:
    """Return the ids that examples had before they were combined with several prompts.

    Examples
    --------
    >>> without_prompt(pl.Series("id", ["a#1", "b#c#12"])).to_list()
    ['a', 'b#c']
    """
    return cast("Ids", ids.str.replace(rf"{_MARK}[0-9]+$", ""))


def under_one_prompt(examples: pl.DataFrame, prompts: Sequence[str]) -> pl.DataFrame:
    """Return examples under the first prompt, as they were before; unchanged without prompts."""
    if not prompts:
        return examples
    first = examples.filter(pl.col("subtask") == prompts[0])
    return first.with_columns(without_prompt(first["id"]), subtask=pl.lit(None, pl.String))


def prompt_accuracies(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Accuracy under each prompt, then balanced accuracy; no number mixes several prompts.

    The headline is the accuracy under the first prompt.
    """
    parts = list(parts_by(predictions, "subtask"))
    by_prompt = [class_metrics(part, classes, f", {prompt}") for prompt, part in parts]
    return [units for metric in zip(*by_prompt, strict=True) for units in metric]
