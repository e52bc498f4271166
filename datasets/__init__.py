"""Benchmarks: rows of input files -> examples, media, and metrics over predictions."""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.datasets.benchmark import About, Benchmark, Fields
    from savs.datasets.benchmarks.catalogue import BENCHMARKS, find_benchmark, installed_benchmarks
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
    from savs.datasets.media.media import MediaFolder
    from savs.datasets.metrics.groups import (
        group_metrics,
        matching_metrics,
        order_metric,
        pair_metric,
        set_accuracy,
    )
    from savs.datasets.metrics.metrics import (
        Classes,
        Units,
        accuracy,
        balanced_accuracy,
        mean_metric,
        subtask_accuracies,
    )
    from savs.datasets.metrics.ranking import ranking_metrics
    from savs.datasets.row import Row
    from savs.datasets.rows.examples import read_examples
    from savs.datasets.rows.files import find_files
    from savs.datasets.splits.labels import check_splits, unknown_labels
    from savs.datasets.splits.leaks import Leaks, find_leaks
    from savs.datasets.splits.shots import Shots
