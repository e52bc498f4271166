"""The methods of a store, measured on the same examples, and a word on which of them to take."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from savs.datasets.metrics.metrics import Scale
from savs.pipeline.errors import ComparisonError, SelectionError
from savs.pipeline.evaluation.compare.trial_sets import examples_of
from savs.pipeline.evaluation.results import FOLDS, Result, Results
from savs.pipeline.evaluation.same_examples import differences
from savs.pipeline.evaluation.stage_two import calibrated, evaluate
from savs.pipeline.evaluation.sweep.methods import what_lacks
from savs.pipeline.evaluation.sweep.shared_examples import SharedTest
from savs.pipeline.names import OWN_ANSWERS
from savs.pipeline.readouts import BUILT_IN
from savs.pipeline.readouts.hec import HEC_VT
from savs.pipeline.readouts.neurons import NEURONS
from savs.pipeline.running.formatting import apart, counted, interval, points
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.selection import choose_heads_like
from savs.pipeline.selection.training_data import StoredTraining
from savs.pipeline.targets import target_of
from savs.stores import ResultError, open_store

OF_HEADS = (NEURONS.name, HEC_VT.name)
"""Readouts of the many heads of a language model, not of the one output of an encoder."""
LEVEL = 0.05
"""A difference with a smaller p, after Holm's correction, is taken for one."""


def measured_methods(path: Path, reporting: Reporting) -> list[Path]:
    """Measure each method that a store has the features for, and return the folders of results.

    On test examples if some have labels, else on training examples, left out in turn. A result of
    the same test examples that is there is taken as it is; heads that were chosen before labels
    came are chosen again.

    StoreIncompleteError if a shard is missing, SelectionError if a class has no usable training
    example, ParameterError if the store is at a URL, ComparisonError if no method can be measured.
    """
    store = open_store(path)
    store.require_split("train")
    is_tested = bool(store.ids("test")) and store.examples("test")["label"].count() > 0
    examples = SharedTest.of({"": store}).examples if is_tested else None
    quiet = replace(reporting, say=reporting.detail)
    task, failed, folders = StoredTraining(store).tasks()[0], [], list[Path]()
    for name in target_of(store.benchmark).compared_readouts:
        rule = name if name in OWN_ANSWERS else BUILT_IN[name]
        if what_lacks(store, task, rule) or (isinstance(rule, str) and not is_tested):
            continue
        if name in OF_HEADS and len(store.heads) == 1:
            continue
        place = Results(path).place(name if is_tested else name + FOLDS)
        if examples is None or not _is_current(place, examples):
            try:
                on = "folds" if examples is None else "test"
                saved = Results(path).place(name)
                method = name
                if saved.is_older:  # `evaluate` would take its heads as they are
                    again = choose_heads_like(store, saved.selection())
                    method = calibrated(store, again, quiet)[0]
                evaluate(store, method, out=True, on=on, reporting=quiet)
            except SelectionError as error:
                failed.append(f"{name} is left out: {error}")
                continue
        folders.append(place.folder)
    if not folders:
        raise ComparisonError(f"{path} has no method to compare:\n  " + "\n  ".join(failed))
    for line in failed:
        reporting.say(f"note: {line}")
    return folders


def _is_current(result: Result, examples: pl.DataFrame) -> bool:
    """Return whether a result is whole, and of these examples and today's training examples."""
    if not result.is_evaluated or result.is_older:
        return False
    with suppress(ResultError):  # it is measured again
        return bool(result.metrics) and not differences(examples, examples_of(result))
    return False


def which_to_take(methods: pl.DataFrame) -> str:
    """Return which method to take, and why: the first one, unless the best is better beyond doubt.

    `methods` are two or more of one data set, columns `METHOD_SCHEMA`, the simplest method first.
    """
    several = methods["model"].n_unique() > 1
    names = ["{method} of {model}" if several else "{method}"] * methods.height
    rows = methods.with_columns(name=pl.Series(names)).to_dicts()
    for row in rows:
        row["name"] = row["name"].format_map(row)
    first, *others = rows
    scale: Scale = first["scale"]
    sign = -1 if scale == "error" else 1
    best = max(others, key=lambda row: sign * row["difference"])
    show = points if scale == "share" else partial(apart, scale=scale)
    ends = interval(best["difference_low"], best["difference_high"], show)
    by = f"{apart(best['difference'], scale)}, 95 % interval {ends}"
    units = counted(first["units"], "unit")
    if sign * best["difference"] > 0 and best["p_holm"] is not None and best["p_holm"] < LEVEL:
        return (
            f"take {best['name']}: better than {first['name']} by {by}, on {units}; the best of"
            f" {len(rows)} looks a little better than it is"
        )
    rule = BUILT_IN.get(first["readout"])
    unlearned = first["readout"] in OWN_ANSWERS or (rule is not None and not rule.learns)
    why = "needs no labels" if unlearned else "is the simplest"
    return (
        f"take {first['name']}: it {why}, and none is better beyond doubt on {units}; the nearest,"
        f" {best['name']}, by {by}"
    )
