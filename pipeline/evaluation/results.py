"""Results of a store: named folders with a selection, predictions and metrics; one way in.

store.results["vote"].metrics      by name
store.results.find().selection()   what `savs train` chose, else `vote`, else the only one
Result.at("pets/results/lda")      by its folder, wherever that is
with result.writing() as folder    its new files replace the old ones together
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from savs.datasets.splits.leaks import REPEATED, SHARED
from savs.foundation.errors import ParameterError, SavsError, command
from savs.foundation.files import file_sha256, finish_files, real_path
from savs.pipeline.evaluation.trials import Trial, read_units, trials_of
from savs.pipeline.readouts import Readout
from savs.pipeline.running.result_files import (
    CLASSIFIER,
    CONFIG,
    EVALUATE,
    METRICS,
    PREDICTIONS,
    SUBMISSION,
    UNITS,
    read_json,
    read_table,
    reading,
    writing,
)
from savs.pipeline.selection.compatibility import older_note
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import SelectionConfig, load_config, read_config
from savs.pipeline.selection.selection_file import load_selection
from savs.pipeline.statistics.confidence import Confidence
from savs.pipeline.statistics.intervals import Metric
from savs.pipeline.targets import Target, target_named, target_of
from savs.pipeline.targets.catalogue import ONE
from savs.pipeline.targets.tasks import Folds
from savs.stores import FeatureStore, open_store
from savs.stores.errors import ResultError
from savs.stores.files.addresses import is_remote
from savs.stores.format.layout import MANIFEST, RESULTS, Count, Facts, digest
from savs.stores.format.manifest import read_manifest

TRAINED = "trained"
"""The result that `savs train` writes: the classifier of a store, unless another one is named."""
FOLDS = "-cv"
"""End of the name of a cross-validation, after that of its selection."""
UNFINISHED = "-partial"
"""End of the name of a result of an unfinished store."""
EVALUATED = (UNITS, PREDICTIONS, CLASSIFIER, CONFIG, SUBMISSION)
"""Files that metrics.json may have the SHA-256 of."""
CLASSIFIERS = (
    "pass a store, or the folder of a classifier that `savs train`, `savs select` or `savs export"
    " --to classifier` wrote"
)
"""What to pass where a result is read."""


@dataclass(frozen=True, slots=True)
class _Cost:
    forwards: Count | None = None
    seconds: float | None = None
    bytes: Count | None = None


@dataclass(frozen=True, slots=True)
class _Content:
    """What `Evaluation.to_json` gives: the form that anyone's metrics.json must have."""

    savs: str
    benchmark: str
    model: Facts
    readout: str
    scoring: str | None
    heads: Count
    planned: Count
    scored: Count
    skipped: Count
    left_out: Count
    leaks: dict[str, tuple[str, ...]]
    folds: Folds | None
    train_shares: tuple[float, float] | None
    metrics: tuple[Metric, ...]
    cost: _Cost
    confidence: tuple[Confidence, ...]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check what a type does not say."""
        if self.leaks.keys() != {REPEATED, SHARED}:
            raise ValueError(f"leaks: expected {REPEATED!r} and {SHARED!r}")
        if isinstance(self.folds, int) and self.folds < 2:
            raise ValueError(f"folds: expected at least 2, got {self.folds}")
        if not isinstance(name := self.model.get("name"), str | None):
            raise ValueError(f"model.name: expected text, got {name!r}")
        of_shares = [metric for metric in self.metrics if metric.scale == "share"]
        shares = [number for metric in of_shares for number in (metric.value, metric.chance)]
        for part in self.confidence:
            for bin_ in part.reliability:
                shares += [bin_.low, bin_.high, bin_.probability, bin_.accuracy]
            for answered in part.coverage:
                shares += [answered.coverage, answered.accuracy, answered.threshold]
        if wrong := next((share for share in shares if not 0 <= share <= 1), None):
            raise ValueError(f"expected shares of 0 to 1, got {wrong}")


def require_path(result: Any) -> Path:
    """Return the path of a result; ParameterError for what is none, a selection in memory, say."""
    if not isinstance(result, str | os.PathLike):
        raise ParameterError(
            f"the result is a {type(result).__name__}, expected its folder; write it first, by"
            " save_selection() or save_evaluation()"
        )
    return Path(result)


@dataclass(frozen=True, eq=False)
class Result:
    """A folder of results; what was read of it once stays as it was then."""

    folder: Path
    name: str = ""
    """By default that of the folder; of several, the shortest end of its path that tells it."""

    def __post_init__(self) -> None:
        """Name it, and finish what a killed writer has left."""
        object.__setattr__(self, "name", self.name or self.folder.name)
        if not is_remote(self.folder):
            finish_files(self.folder)

    def __fspath__(self) -> str:
        """Return the folder: functions that take a path take a result."""
        return str(self.folder)

    def __repr__(self) -> str:
        """Return one line: its folder, and what it holds."""
        parts = {"selection": self.is_selected, "metrics": self.is_evaluated}
        held = " and ".join(name for name, is_there in parts.items() if is_there)
        return f"Result({str(self.folder)!r}: {held or 'empty'})"

    @classmethod
    def at(cls, place: Any) -> "Result":
        """Return the result in a folder, or named by its config.json; of a store the default one.

        ParameterError if it is no path, but a selection in memory, say; ResultError if there is
        nothing, or no result, or a store without one to take.
        """
        path = require_path(place)
        if (path / MANIFEST).exists():
            return Results(path).find()
        result = cls(path.parent if path.name == CONFIG and path.is_file() else path)
        if not path.exists():
            raise ResultError(f"{path} does not exist; {CLASSIFIERS}")
        if not result.folder.is_dir():
            raise ResultError(f"{path} is no folder; {CLASSIFIERS}")
        if not (result.is_selected or result.is_evaluated):
            raise ResultError(f"{path} holds no classifier: it has no {CONFIG}; {CLASSIFIERS}")
        return result

    @property
    def is_selected(self) -> bool:
        """Whether it holds a selection; the model's own answers have none."""
        return os.path.lexists(self.folder / CONFIG)  # what is no file is refused when it is read

    @property
    def is_evaluated(self) -> bool:
        """Whether it holds metrics."""
        return (self.folder / METRICS).is_file()

    @property
    def of_folds(self) -> "Result":
        """The cross-validation of its classifier, in the folder next to it."""
        return Result(self.folder.with_name(self.folder.name + FOLDS))

    @property
    def measured(self) -> "Result":
        """Itself if it was evaluated, else its cross-validation if that is there, else itself."""
        folds = self.of_folds
        return folds if folds.is_evaluated and not self.is_evaluated else self

    @cached_property
    def config(self) -> SelectionConfig | None:
        """The selection without its arrays; None for the model's own answers."""
        return load_config(self.folder) if self.is_selected else None

    def selection(self, readout: str | Path | Readout | None = None) -> Selection:
        """Read the selection; `readout` is needed where it is the user's own.

        ResultError if there is none, or as `load_selection`.
        """
        if not self.is_selected:
            raise ResultError(
                f"{self.folder} holds no classifier: it has no {CONFIG}; {CLASSIFIERS}"
            )
        return load_selection(self.folder, readout=readout)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json, of a folder whose files are all of one evaluation.

        ResultError if a file is not there or was changed, or they belong to different evaluations.
        """
        path = self.folder / METRICS
        value = read_json(path)
        run, sums = value.pop("run", None), value.pop("files", None)
        with reading(path, EVALUATE):
            if not isinstance(sums, dict) or not {UNITS, PREDICTIONS} <= {*sums} <= {*EVALUATED}:
                raise ValueError(f"files: expected the SHA-256 of {UNITS} and {PREDICTIONS}")
            if run != digest(value):
                raise ValueError(f"run: expected {digest(value)}, the digest of the metrics")
            msgspec.convert(value, _Content)
            for name, row in self.target.tables.items():
                msgspec.convert({name: value.get(name, ())}, dict[str, tuple[row, ...]])
        if self.is_selected_again:
            raise ResultError(
                f"{self.folder} was selected again since it was evaluated: its metrics belong to an"
                f" earlier selection; run `{EVALUATE}` again"
            )
        for name, expected in sums.items():
            with reading(self.folder / name, EVALUATE):
                if file_sha256(self.folder / name) != expected:
                    raise ValueError(
                        f"its SHA-256 is not the one in {METRICS}: it was changed, or the two"
                        " belong to different evaluations"
                    )
        return value

    @property
    def is_selected_again(self) -> bool:
        """Whether a whole selection is there that is not the one that was evaluated."""
        try:
            header, _ = read_config(self.folder / CONFIG)
            sha256 = {name: file_sha256(self.folder / name) for name in (CONFIG, CLASSIFIER)}
            evaluated = read_json(self.folder / METRICS).get("files")
        except (ResultError, OSError, ValueError):
            return False
        is_whole = header.sha256 == sha256[CLASSIFIER]
        sums = evaluated if isinstance(evaluated, dict) else {}
        return is_whole and CONFIG in sums and sums[CONFIG] != sha256[CONFIG]

    @property
    def target(self) -> Target:
        """What labels are."""
        return target_named(ONE) if self.config is None else self.config.target

    def predictions(self) -> pl.DataFrame:
        """Return predictions.parquet, a row an example; `metrics` checks its digest.

        Columns `Target.schema`.
        ResultError if it is not there, or not as `savs evaluate` wrote it.
        """
        return self._predictions

    @cached_property
    def _predictions(self) -> pl.DataFrame:
        schema = pl.Schema(self.target.schema)
        return read_table(self.folder / PREDICTIONS, schema, list(self.target.always))

    def units(self) -> Mapping[str, pl.DataFrame]:
        """Return `score`, `cluster` and `stratum` of each unit, by metric, the headline first.

        ResultError if units.parquet is not there, or not that of the metrics.
        """
        return {metric: trial.one_draw() for metric, trial in self.trials.items()}

    @cached_property
    def trials(self) -> Mapping[str, Trial]:
        """The trial of each metric, the headline first; errors as `units`."""
        names = [metric["name"] for metric in self.metrics["metrics"]]
        table = read_units(self.folder / UNITS, EVALUATE)
        with reading(self.folder / UNITS, EVALUATE):
            trials = list(trials_of(table))
        if [trial.units.name for trial in trials] != names or any(t.draws > 1 for t in trials):
            raise ResultError(
                f"{self.folder} has the metrics {', '.join(names)}, and in {UNITS} other trials;"
                f" run `{EVALUATE}` again"
            )
        return dict(zip(names, trials, strict=True))

    @cached_property
    def store(self) -> FeatureStore | None:
        """The store that it lies in, see `of_store`; None elsewhere, and if it cannot be read."""
        home = real_path(self.folder).parent.parent
        if not (home / MANIFEST).is_file():
            return None
        try:
            store, chosen = open_store(home, partial=True), self.config
            return store if chosen is None else chosen.seen(store)
        except SavsError:
            return None  # a classifier is whole without its store

    @property
    def older_notes(self) -> list[str]:
        """A note if training examples or labels came to its store since it was selected."""
        if self.config is None or self.store is None:
            return []
        return older_note(self.config, self.store.manifest)

    @property
    def is_older(self) -> bool:
        """Whether training examples or labels came to its store since it was selected."""
        return bool(self.older_notes)

    def writing(self) -> AbstractContextManager[Path]:
        """Open an empty folder; when the block ends, its files replace the old ones together.

        StoreWriteError if the folder cannot be written.
        """
        return writing(self.folder)

    @property
    def headline(self) -> Mapping[str, Any]:
        """The first metric."""
        return self.metrics["metrics"][0]

    @property
    def split(self) -> str:
        """Split of its examples: `train` for a cross-validation."""
        return str(self.predictions()["split"][0])

    @property
    def title(self) -> str:
        """The name of the store's folder, with the question where all examples have the same."""
        if self.store is None:
            return real_path(self.folder).name
        prompts = self.predictions()["prompt"].unique()
        option = self.store.benchmark.get("options", {}).get("question")
        question = prompts[0] if option is None and len(prompts) == 1 else option
        name = real_path(self.folder).parent.parent.name
        return f"{name}: {question}" if isinstance(question, str) else name


@dataclass(frozen=True, slots=True)
class Results:
    """The results in a store's folder, by name; a store at a URL has none."""

    store: Path

    def place(self, name: str) -> Result:
        """Return the result of a name, which need not be there yet."""
        return Result(self.store / RESULTS / name)

    def __getitem__(self, name: str) -> Result:
        """Return a result; ResultError if the store has none of this name."""
        if name not in self:
            known = ", ".join(self) or "none"
            raise ResultError(f"{self.store} has no result {name!r}, expected one of: {known}")
        return self.place(name)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a result of this name."""
        return any(name == one for one in self)

    def __iter__(self) -> Iterator[str]:
        """Yield the names, sorted."""
        folders = [] if is_remote(self.store) else sorted(self.store.glob(f"{RESULTS}/*/"))
        results = (Result(folder) for folder in folders)
        yield from (one.name for one in results if one.is_selected or one.is_evaluated)

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)

    @property
    def selected(self) -> list[Result]:
        """Those with a selection."""
        return [one for one in map(self.place, self) if one.is_selected]

    @property
    def default(self) -> Result | None:
        """The result that is meant where none is named; None if there is none, or several.

        It is what `savs train` chose, else the one of the default readout, which is `vote` but for
        numbers, else the only one.
        """
        named = self._choices
        if TRAINED not in named and len(named) > 1:
            return named.get(
                target_of(read_manifest(self.store).identity.benchmark).default_readout
            )
        return named.get(TRAINED) or next(iter(named.values()), None)

    @property
    def _choices(self) -> dict[str, Result]:
        # folds, or an unfinished store, were evaluated with the classifier of the folder they name
        derived = (FOLDS, UNFINISHED)
        return {one.name: one for one in self.selected if not one.name.endswith(derived)}

    def find(self, name: str | os.PathLike[str] | None = None) -> Result:
        """Return a result by its name or its folder; without one, the default.

        ResultError if there is none, or no default among several.
        """
        is_far = is_remote(self.store)
        if name is not None and not is_far and Path(name).parent == Path(self.store, RESULTS):
            return self[Path(name).name]
        if name is not None:
            is_place = is_far or Path(name).exists() or Path(name).parts[1:]
            return Result.at(name) if is_place else self[str(name)]
        if (default := self.default) is not None:
            return default
        if named := self._choices:
            raise ResultError(
                f"{self.store} is a store with {len(named)} selections: {', '.join(named)}; name"
                f" one, such as {next(iter(named.values())).folder}"
            )
        raise ResultError(
            f"{self.store} is a store without a selection; run"
            f" `{command('savs', 'train', self.store)}`"
        )


def place_of_result(store: Any, out: Path | None, name: str) -> Path:
    """Return the folder of a result: `out`, or one in the store's folder.

    ParameterError if the store is at a URL, or a link would be written through.
    """
    if out is not None:
        return out
    if is_remote(store):
        raise ParameterError(f"{store} is read-only; pass `out` for the results")
    folder = Results(store).place(name).folder
    if link := next((path for path in (folder.parent, folder) if path.is_symlink()), None):
        raise ParameterError(
            f"{link} is a link to {link.readlink()}, where files would be replaced; move it away,"
            " or pass `out`"
        )
    return folder
