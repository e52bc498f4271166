"""Benchmarks: rows of input files -> examples, media, and metrics over predictions."""

from savs.datasets.benchmark import Benchmark, Fields, check_splits, read_examples
from savs.datasets.catalogue import BENCHMARKS, find_benchmark
from savs.datasets.errors import (
    BenchmarkNotFoundError,
    DatasetError,
    MediaError,
    RowError,
    SourceError,
)
from savs.datasets.example import Example
from savs.datasets.media import MediaFolder
from savs.datasets.metrics import Units
from savs.datasets.sources import Row

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "BenchmarkNotFoundError",
    "DatasetError",
    "Example",
    "Fields",
    "MediaError",
    "MediaFolder",
    "Row",
    "RowError",
    "SourceError",
    "Units",
    "check_splits",
    "find_benchmark",
    "read_examples",
]
