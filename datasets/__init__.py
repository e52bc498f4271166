"""Benchmarks: rows of input files -> examples, media, and metrics over predictions."""

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.catalogue import BENCHMARKS, find_benchmark, installed_benchmarks
from savs.datasets.errors import (
    BenchmarkFaultError,
    BenchmarkNotFoundError,
    DatasetError,
    MediaError,
    OptionError,
    RowError,
    SourceError,
)
from savs.datasets.example import Example
from savs.datasets.files import find_files
from savs.datasets.grouped import group_metrics, pair_metric, together
from savs.datasets.leaks import Leaks, find_leaks
from savs.datasets.matching import matching_metrics
from savs.datasets.media import MediaFolder
from savs.datasets.metrics import (
    Classes,
    Units,
    accuracy,
    averaged,
    balanced_accuracy,
    subtask_accuracies,
)
from savs.datasets.pairs import order_metric
from savs.datasets.ranking import ranking_metrics
from savs.datasets.reading import read_examples
from savs.datasets.rows import Row
from savs.datasets.shots import Shots
from savs.datasets.splits import check_splits, unknown_labels

__all__ = [
    "BENCHMARKS",
    "About",
    "Benchmark",
    "BenchmarkFaultError",
    "BenchmarkNotFoundError",
    "Classes",
    "DatasetError",
    "Example",
    "Fields",
    "Leaks",
    "MediaError",
    "MediaFolder",
    "OptionError",
    "Row",
    "RowError",
    "Shots",
    "SourceError",
    "Units",
    "accuracy",
    "averaged",
    "balanced_accuracy",
    "check_splits",
    "find_benchmark",
    "find_files",
    "find_leaks",
    "group_metrics",
    "installed_benchmarks",
    "matching_metrics",
    "order_metric",
    "pair_metric",
    "ranking_metrics",
    "read_examples",
    "subtask_accuracies",
    "together",
    "unknown_labels",
]
