"""From the files of a split, or a sample row, to examples by the rules of a benchmark."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from savs.datasets.benchmark import Benchmark, Fields
from savs.datasets.errors import RowError
from savs.datasets.example import Example, split_prompt
from savs.datasets.row import Row
from savs.datasets.rows.files import Files
from savs.datasets.rows.plugin_guard import parse_fields, read_split_rows
from savs.datasets.windows import window_group
from savs.foundation.errors import ParameterError


def read_examples(
    benchmark: Benchmark, source: str | Path | Files, split: str, limit: int | None = None
) -> list[Example]:
    """Read the examples of one split.

    Parameters
    ----------
    benchmark
        How to read a row.
    source
        What `find_files` accepts or returns, such as the name of a file.
    split
        `train`, `test`, or `unlabelled`, whose labels are not read.
    limit
        Keep this many examples from the start; all by default.

    Raises
    ------
    SourceError
        The file cannot be read, or is empty.
    RowError
        A row lacks a field, or two rows share an id.
    BenchmarkFaultError
        The benchmark's own code fails.
    """
    if limit is not None and limit < 1:
        raise ParameterError(f"`limit` is {limit}, expected at least 1")
    return [example for _, example in islice(iter_examples(benchmark, source, split), limit)]


def iter_examples(
    benchmark: Benchmark, source: str | Path | Files, split: str
) -> Iterator[tuple[int, Example]]:
    """Yield the examples of one split, each with the number of its row over all files, from 0.

    Parameters and errors are those of `read_examples`.
    """
    seen: dict[str, str] = {}
    label = benchmark.options.get("columns", {}).get("label", "label")
    for number, read in enumerate(read_split_rows(benchmark, source, split)):
        needs_no_label = split == "unlabelled"
        row = replace(read, values={label: None, **read.values}) if needs_no_label else read
        for fields in parse_fields(benchmark, row):
            example = _example(benchmark, row, fields, split, len(seen))
            if example.id in seen:
                raise RowError(
                    f"{row.where}: id {example.id!r} is taken by {seen[example.id]}; ids must be"
                    " unique in a file: rename one, or drop the column to number the rows"
                )
            seen[example.id] = row.where
            yield number, example


def _example(benchmark: Benchmark, row: Row, fields: Fields, split: str, index: int) -> Example:
    try:
        split_prompt(fields.prompt, len(fields.media))
    except ValueError as error:
        raise row.error(str(error), "use one placeholder per medium, or none") from error
    if split == "train" and fields.label is None:
        raise row.error("has no label", "every training example needs one")
    group = fields.group if split != "train" or benchmark.grouped_train else None
    return Example(
        id=fields.id or row.id,
        split=split,
        index=index,
        label=None if split == "unlabelled" else fields.label,
        prompt=fields.prompt,
        media=fields.media,
        group=group or window_group(fields.media),
        subtask=fields.subtask,
        category=fields.category,
        extra=row.rest(benchmark.columns),
    )


def sample_fields(benchmark: Benchmark) -> list[Fields]:
    """Return the examples in a benchmark's sample row; empty without a sample row.

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
