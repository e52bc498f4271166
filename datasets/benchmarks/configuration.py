"""A benchmark with what a user chose: columns, or a question."""

from collections.abc import Mapping

from savs.datasets.benchmark import Benchmark
from savs.datasets.benchmarks.general import GENERAL, general
from savs.datasets.benchmarks.image_folder import IMAGE_FOLDER, image_folder
from savs.datasets.errors import OptionError


def adapt(
    benchmark: Benchmark, columns: Mapping[str, str] | None = None, question: str | None = None
) -> Benchmark:
    """Return the benchmark as options word it; as it is where there are none.

    Parameters
    ----------
    benchmark
        Which one.
    columns
        Field -> the column that holds it: of `general` alone.
    question
        The prompt of every row: of `general` and `image-folder`.

    Raises
    ------
    OptionError
        The benchmark leaves no such choice, or the choice cannot be.

    Examples
    --------
    >>> adapt(GENERAL, question="Is it a cat?").options
    {'question': 'Is it a cat?'}
    """
    if not columns and question is None:
        return benchmark
    if benchmark is GENERAL:
        return general(columns, question)
    if benchmark is IMAGE_FOLDER and question is not None and not columns:
        return image_folder(question)
    given = "--column" if columns else "--question"
    takers = "general" if columns else "general and image-folder"
    raise OptionError(
        f"{given} is an option of {takers}; the benchmark {benchmark.name!r} says itself what it"
        " reads; leave it out"
    )
