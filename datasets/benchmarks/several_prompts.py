"""The same examples under several prompts: each prompt is a subtask."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from savs.datasets.benchmark import Benchmark
from savs.datasets.errors import OptionError, RowError
from savs.datasets.example import Example
from savs.datasets.metrics.metrics import SCORED, Classes, Units, accuracy, balanced_accuracy
from savs.datasets.prompt import split_prompt

OPTION = "questions"
"""Name of the prompts in a store's identity."""
TAKERS = ("general", "image-folder")
"""Benchmarks whose rows are put to several prompts."""
_MARK = "#"
"""Between the id of an example and the number of its prompt, from 1."""


def put_to(benchmark: Benchmark, prompts: Sequence[str]) -> Benchmark:
    """Return a benchmark whose examples are put to each prompt, part of a store's identity.

    Raises
    ------
    OptionError
        A prompt is empty, or there twice.
    """
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
    """Return a benchmark with the prompts of a store, or unchanged where it has none.

    Parameters
    ----------
    benchmark
        The benchmark that the store is of.
    facts
        Its `name` and `options` in the store's identity.
    """
    prompts = stored_prompts(facts)
    return put_to(benchmark, prompts) if prompts and not benchmark.prompts else benchmark


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

    The prompt is the subtask. Ids get the number of the prompt: `photo.jpg#2`.

    Raises
    ------
    RowError
        An example has a subtask already, or another number of media than a prompt has marks.
    """
    found = []
    for example in examples:
        if example.subtask is not None:
            raise RowError(
                f"{example.split} example {example.id!r} has the subtask {example.subtask!r}, but"
                " with several questions each question is a subtask; pass one question, or drop"
                " the column"
            )
        for number, prompt in enumerate(prompts):
            try:
                split_prompt(prompt, len(example.media))
            except ValueError as error:
                raise RowError(
                    f"{example.split} example {example.id!r} under the question {prompt!r}:"
                    f" {error}; use one placeholder per image, or none"
                ) from error
            found.append(
                replace(
                    example,
                    id=f"{example.id}{_MARK}{number + 1}",
                    index=example.index * len(prompts) + number,
                    prompt=prompt,
                    subtask=prompt,
                )
            )
    return found


def without_prompt(ids: pl.Series) -> pl.Series:
    """Return the ids that examples had before they were put to several prompts.

    Examples
    --------
    >>> without_prompt(pl.Series("id", ["a#1", "b#c#12"])).to_list()
    ['a', 'b#c']
    """
    return ids.str.replace(rf"{_MARK}\d+$", "")


def under_one_prompt(examples: pl.DataFrame, prompts: Sequence[str]) -> pl.DataFrame:
    """Return examples under the first prompt, as they were before; unchanged without prompts.

    Parameters
    ----------
    examples
        Columns `id` and `subtask`.
    prompts
        What each of them was put to.
    """
    if not prompts:
        return examples
    first = examples.filter(pl.col("subtask") == prompts[0])
    return first.with_columns(without_prompt(first["id"]), subtask=pl.lit(None, pl.String))


def prompt_accuracies(predictions: pl.DataFrame, classes: Classes) -> list[Units]:
    """Accuracy under each prompt, then balanced accuracy; no number is of several prompts.

    The headline is the accuracy under the first prompt.
    """
    parts = [
        (prompt, predictions.filter(pl.col("subtask") == prompt))
        for prompt in predictions["subtask"].unique(maintain_order=True)
    ]
    return [
        measure(part, classes, f"{name}, {prompt}")
        for measure, name in ((accuracy, "accuracy"), (balanced_accuracy, "balanced accuracy"))
        for prompt, part in parts
    ]
