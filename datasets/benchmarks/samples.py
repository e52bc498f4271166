"""The examples that a benchmark reads from its sample row."""

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.prompt import split_prompt
from savs.datasets.row import Row
from savs.datasets.rows.plugin_guard import parse_fields


def sample_fields(benchmark: Benchmark) -> list[Fields]:
    """Return the examples in a benchmark's sample row; empty without a sample row.

    Raises
    ------
    BenchmarkFaultError
        The benchmark cannot read its own sample.

    Examples
    --------
    >>> from savs.datasets import find_benchmark
    >>> [fields.label for fields in sample_fields(find_benchmark("naturalbench"))]
    ['Yes', 'No', 'No', 'Yes']
    """
    if benchmark.about is None:
        return []
    row = Row("the sample row", 0, dict(benchmark.about.sample), "sample")
    return list(parse_fields(benchmark, row))


def reading_order(fields: Fields) -> str:
    r"""Return a prompt in reading order: names of media in brackets, newlines escaped.

    Examples
    --------
    >>> print(reading_order(Fields("a", "Is <image> like\n<image>?", ("1.jpg", "2.jpg"))))
    Is [1.jpg] like\n[2.jpg]?
    """
    return "".join(
        f"[{fields.media[piece]}]" if isinstance(piece, int) else escaped(piece)
        for piece in split_prompt(fields.prompt, len(fields.media))
    )


def escaped(text: str) -> str:
    r"""Return text on one line: newlines and tabs as `\n` and `\t`, a backslash as two.

    Examples
    --------
    >>> print(escaped("a\nb"))
    a\nb
    """
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
