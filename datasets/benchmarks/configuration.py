"""Benchmarks with the user's choice of columns or question."""

from collections.abc import Mapping, Sequence

from savs.datasets.benchmark import Benchmark
from savs.datasets.benchmarks.general import GENERAL, general
from savs.datasets.benchmarks.image_folder import IMAGE_FOLDER, image_folder
from savs.datasets.benchmarks.several_prompts import TAKERS, put_to
from savs.datasets.errors import OptionError


def adapt(
    benchmark: Benchmark,
    columns: Mapping[str, str] | None = None,
    question: str | Sequence[str] | None = None,
) -> Benchmark:
    """Return the benchmark with the given options, or unchanged without any.

    Parameters
    ----------
    benchmark
        The benchmark.
    columns
        Field -> the column that holds it; for `general` only.
    question
        The prompt of every row, or several that each row is put to; for `general` and
        `image-folder` only.

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
        adapted = adapt(benchmark, columns, prompts[0])
        return put_to(adapted, prompts) if len(prompts) > 1 else adapted
    if not columns and question is None:
        return benchmark
    if benchmark is GENERAL:
        return general(columns, question)
    if benchmark is IMAGE_FOLDER and question is not None and not columns:
        return image_folder(question)
    given = "--column" if columns else "--question"
    takers = "general" if columns else " and ".join(TAKERS)
    raise OptionError(
        f"{given} is an option of {takers} only; the benchmark {benchmark.name!r} has fixed columns"
        " and prompts: omit the option"
    )
