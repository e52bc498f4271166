"""What is compared: trials of results and of sweeps, read, named briefly, grouped by examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from savs.foundation.errors import command
from savs.foundation.files import real_path
from savs.pipeline.errors import ComparisonError
from savs.pipeline.evaluation.results import Result, Results
from savs.pipeline.evaluation.same_examples import (
    IDENTITY_SCHEMA,
    as_examples,
    differences,
    joined_clusters,
)
from savs.pipeline.evaluation.trials import (
    EXAMPLES_FILE,
    SUMMARY_FILE,
    SWEEP,
    Point,
    Trial,
    axis_of,
    name_on,
    read_units,
    reference,
    trials_of,
)
from savs.pipeline.running.result_files import METRICS, UNITS, read_table, reading
from savs.stores import ResultError
from savs.stores.format.layout import MANIFEST, RESULTS


class Pair(NamedTuple):
    """Two trials of the same units, and what they are called."""

    a: str
    b: str
    setting: Point | None
    """The point of both, of a sweep; None of two results."""
    first: Trial
    other: Trial
    within_draw: bool
    """Whether the interval is over the units of one draw, see `Trial.minus`."""


@dataclass(frozen=True, slots=True)
class TrialSet:
    """Trials of the same examples: those of a result, or of one data set of a sweep."""

    folder: Path
    name: str
    """Short name of the folder."""
    data_set: str
    """Name of the data set and a slash if the folder has several, else empty."""
    examples: pl.DataFrame
    """Columns `IDENTITY_SCHEMA`."""
    trials: Mapping[str, Mapping[Point, Trial]]
    """Metric, the headline first -> setting -> trial. A setting is a point without its store, whose
    readout is `STORE:READOUT` if a sweep has several stores."""
    result: Result | None
    """None of a sweep."""

    @property
    def headline(self) -> str:
        """Name of the first metric."""
        return next(iter(self.trials))

    @property
    def is_grid(self) -> bool:
        """Whether it has several points."""
        return len(self.trials[self.headline]) > 1

    def names(self, metric: str) -> dict[Point, str]:
        """Return what each point is called; those of a sweep by what it compares."""
        if self.result is not None:
            return dict.fromkeys(self.trials[metric], self.name)
        points = [trial.point for trial in self.trials[metric].values()]
        along, several = axis_of(points), len({point.store for point in points}) > 1
        return {
            setting: self.data_set + name_on(along, trial.point, several)
            for setting, trial in self.trials[metric].items()
        }

    def pairs(self, metric: str) -> Iterator[Pair]:
        """Yield each point of a sweep after the one that the sweep compares it with."""
        settings = {trial.point: setting for setting, trial in self.trials[metric].items()}
        points, names = list(settings), self.names(metric)
        along = axis_of(points)
        for point, setting in settings.items():
            first = reference(point, along, points)
            if first != point:
                before, after = (self.trials[metric][settings[one]] for one in (first, point))
                within_draw = along != "readout" and after.draws == 1
                called = names[settings[first]], names[setting]
                yield Pair(*called, setting, before, after, within_draw)

    def pairs_with(self, other: "TrialSet", metric: str) -> Iterator[Pair]:
        """Yield the trials of the same setting; those of one point with all of the other set.

        ComparisonError if no setting is the same, or units or numbers of draws differ.
        """
        ours, theirs = self.trials[metric], other.trials[metric]
        if len(ours) == 1:
            ours = dict.fromkeys(theirs, next(iter(ours.values())))
        elif len(theirs) == 1:
            theirs = dict.fromkeys(ours, next(iter(theirs.values())))
        settings = [one for one in theirs if one in ours]
        if not settings:
            raise ComparisonError(
                f"{self.folder} and {other.folder} have no readout, number of heads and shots in"
                " common; sweep both with the same ones"
            )
        for setting in settings:
            first, trial = ours[setting], theirs[setting]
            _require_same_units(self, other, metric, first, trial)
            cluster = joined_clusters([one.units.scores["cluster"] for one in (first, trial)])
            first, trial = first.in_clusters(cluster), trial.in_clusters(cluster)
            within_draw = first.draws == trial.draws == 1
            at = setting if self.is_grid or other.is_grid else None
            names = self.data_set + self.name, other.data_set + other.name
            yield Pair(*names, at, first, trial, within_draw)


def _require_same_units(a: TrialSet, b: TrialSet, metric: str, first: Trial, other: Trial) -> None:
    ours, theirs = first.units.scores, other.units.scores
    if not ours["stratum"].equals(theirs["stratum"]):
        raise ComparisonError(
            f"{metric} has {ours.height:,} units in {a.folder} and {theirs.height:,} in {b.folder},"
            " expected the same units; measure both again"
        )
    if first.draws != other.draws and 1 not in (first.draws, other.draws):
        raise ComparisonError(
            f"{a.folder} has {first.draws} draws and {b.folder} has {other.draws}, expected the"
            " same number; sweep both with the same `draws`"
        )


def read_trial_sets(folder: Path, name: str) -> list[TrialSet]:
    """Read what a folder measured: one set of a result, one a data set of a sweep.

    Errors as `read_result`; of a sweep, ResultError if a table is missing or damaged.
    """
    if not is_sweep(folder):
        result = read_result(folder, name)
        examples = examples_of(result)
        trials = {n: {trial.point: trial} for n, trial in result.trials.items()}
        return [TrialSet(folder, name, "", examples, trials, result)]
    examples = read_table(
        folder / EXAMPLES_FILE, pl.Schema(IDENTITY_SCHEMA), ["data_set", "id", "cluster"], SWEEP
    )
    with reading(folder / UNITS, SWEEP):
        trials = list(trials_of(read_units(folder / UNITS, SWEEP)))
    data_sets = list(dict.fromkeys(trial.data_set for trial in trials))
    return [
        TrialSet(
            folder,
            name,
            f"{data_set}/" if len(data_sets) > 1 else "",
            examples.filter(data_set=data_set),
            _by_setting([trial for trial in trials if trial.data_set == data_set]),
            None,
        )
        for data_set in data_sets
    ]


def _by_setting(trials: Sequence[Trial]) -> dict[str, dict[Point, Trial]]:
    several = len({trial.point.store for trial in trials}) > 1
    by_metric: dict[str, dict[Point, Trial]] = {}
    for trial in trials:
        readout = name_on("readout", trial.point, several)
        setting = trial.point._replace(store=None, readout=readout)
        by_metric.setdefault(trial.units.name, {})[setting] = trial
    return by_metric


def is_sweep(folder: Path) -> bool:
    """Return whether a folder holds the tables of a sweep."""
    return (folder / SUMMARY_FILE).is_file() and (folder / UNITS).is_file()


def read_result(folder: Path, name: str = "", use: str = "a comparison") -> Result:
    """Read a result that can be compared; `name` is its short one, by default its folder's.

    `use` is what it is for, see `Target.refused`: SelectionError if that has no meaning for its
    labels. ComparisonError if it is no folder of results, or has no metrics; ResultError if a file
    of it is missing or damaged, or its files belong to different evaluations.
    """
    if not folder.is_dir():
        raise ComparisonError(
            f"{folder} is not a folder; pass one that `savs evaluate` wrote, e.g. "
            f"STORE/{RESULTS}/vote"
        )
    if (folder / MANIFEST).exists():
        results = Results(folder)
        there = [str(one.folder) for one in map(results.place, results) if one.is_evaluated]
        raise ComparisonError(
            f"{folder} is a store; pass result folders in it: "
            + (", ".join(there) or "it has none yet, run " + command("savs", "evaluate", folder))
        )
    result = Result(folder, name)
    result.target.require(use, folder)
    if absent := [name for name in result.target.tables if name not in result.metrics]:
        raise ResultError(f"{folder / METRICS} has no {absent[0]!r}; run `savs evaluate` again")
    if not result.units():
        raise ComparisonError(
            f"{folder} has no metrics, because its test examples have no labels; label them"
        )
    result.predictions()  # what is wrong with a file is said before others are read
    return result


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest end of each path that is unique.

    >>> short_names([Path("a/results/vote"), Path("b/results/vote"), Path("a/results/lda")])
    ['a/results/vote', 'b/results/vote', 'lda']
    """
    paths = [real_path(folder).parts for folder in folders]
    names = []
    for index, parts in enumerate(paths):
        others = [other for i, other in enumerate(paths) if i != index]
        length = next(
            n
            for n in range(1, len(parts) + 1)
            if n == len(parts) or all(other[-n:] != parts[-n:] for other in others)
        )
        names.append("/".join(parts[-length:]))
    return names


def group_sets(sets: Sequence[TrialSet]) -> list[list[TrialSet]]:
    """Return the sets of each data set: those that are about the same examples.

    ComparisonError if a set shares its examples with no other.
    """
    groups: list[list[TrialSet]] = []
    for one in sets:
        for group in groups:
            if not differences(one.examples, group[0].examples):
                group.append(one)
                break
        else:
            groups.append([one])
    for group in groups:
        if len(group) == 1:
            raise ComparisonError(_alone(group[0], [s for s in sets if s is not group[0]]))
    return groups


def of_same_examples(a: Result, b: Result) -> bool:
    """Return whether two results are about the same examples, see `differences`."""
    return not differences(examples_of(a), examples_of(b))


def examples_of(result: Result) -> pl.DataFrame:
    """Return the examples that a result is about; columns `IDENTITY_SCHEMA`."""
    return as_examples(result.predictions(), pl.col("prediction").is_null())


def _alone(one: TrialSet, others: Sequence[TrialSet]) -> str:
    ids = set(one.examples["id"])
    nearest = max(others, key=lambda other: len(ids & set(other.examples["id"])))
    return (
        f"{one.folder} has other test examples than all other results; compared with"
        f" {nearest.folder}:\n  "
        + "\n  ".join(differences(one.examples, nearest.examples))
        + "\na comparison needs the same examples in the same order: evaluate both on one test set,"
        " with the same `drop_leaks` and `partial`"
    )
