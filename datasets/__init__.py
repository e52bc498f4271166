"""Benchmarks: rows of input files -> examples, media, and metrics over predictions."""

from savs.datasets.benchmark import About, Benchmark, Fields, read_examples
from savs.datasets.catalogue import BENCHMARKS, find_benchmark
from savs.datasets.errors import (
    BenchmarkNotFoundError,
    DatasetError,
    MediaError,
    RowError,
    SourceError,
)
from savs.datasets.example import Example
from savs.datasets.files import find_files
from savs.datasets.leaks import Leaks, find_leaks
from savs.datasets.media import MediaFolder
from savs.datasets.metrics import Units
from savs.datasets.rows import Row
from savs.datasets.shots import Shots
from savs.datasets.splits import check_splits, unknown_labels

__all__ = [
    "BENCHMARKS",
    "About",
    "Benchmark",
    "BenchmarkNotFoundError",
    "DatasetError",
    "Example",
    "Fields",
    "Leaks",
    "MediaError",
    "MediaFolder",
    "Row",
    "RowError",
    "Shots",
    "SourceError",
    "Units",
    "check_splits",
    "find_benchmark",
    "find_files",
    "find_leaks",
    "read_examples",
    "unknown_labels",
]
