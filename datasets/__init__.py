"""Benchmarks: rows of input files -> examples, media, and metrics over predictions."""

from savs.foundation.imports import lazy_imports

with lazy_imports(globals()):
    from savs.datasets.benchmark import About as About, Benchmark as Benchmark, Fields as Fields
    from savs.datasets.benchmarks.catalogue import (
        BENCHMARKS as BENCHMARKS,
        find_benchmark as find_benchmark,
    )
    from savs.datasets.errors import (
        BenchmarkFaultError as BenchmarkFaultError,
        BenchmarkNotFoundError as BenchmarkNotFoundError,
        DatasetError as DatasetError,
        MediaError as MediaError,
        OptionError as OptionError,
        RowError as RowError,
        SourceError as SourceError,
    )
    from savs.datasets.example import Example as Example
    from savs.datasets.media.media import MediaFolder as MediaFolder
    from savs.datasets.metrics.groups import (
        group_metrics as group_metrics,
        matching_metrics as matching_metrics,
        order_metric as order_metric,
        pair_metric as pair_metric,
        set_accuracy as set_accuracy,
    )
    from savs.datasets.metrics.metrics import (
        Classes as Classes,
        Units as Units,
        accuracy as accuracy,
        balanced_accuracy as balanced_accuracy,
        mean_metric as mean_metric,
        subtask_accuracies as subtask_accuracies,
    )
    from savs.datasets.metrics.ranking import ranking_metrics as ranking_metrics
    from savs.datasets.row import Row as Row
    from savs.datasets.rows.examples import read_examples as read_examples
    from savs.datasets.rows.files import find_files as find_files
    from savs.datasets.splits.labels import (
        check_splits as check_splits,
        unknown_labels as unknown_labels,
    )
    from savs.datasets.splits.leaks import Leaks as Leaks, find_leaks as find_leaks
    from savs.datasets.splits.shots import Shots as Shots
