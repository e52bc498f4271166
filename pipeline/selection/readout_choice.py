"""Which readout: the best by cross-validation, and how good a classifier that is chosen so will be.

The accuracy of the best of several is too high to be expected again. So the choice is part of what
is measured (nested cross-validation, Varma and Simon, doi 10.1186/1471-2105-7-91): in each fold's
turn the readout is chosen by cross-validation within the other folds, and classifies the fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.folds import FOLDS
from savs.pipeline.readouts import ClassScores, Readout, choose_readout
from savs.pipeline.readouts.answers import ALONE
from savs.pipeline.selection.left_out import LeftOut, held_out, leave_out, leave_out_of
from savs.pipeline.selection.selection import Heads, Selection, choose_heads
from savs.pipeline.selection.training_data import Training, TrainingData, TrainingTask, training_of
from savs.stores.format.layout import grid_widths
from savs.stores.read.store import as_store

LARGEST = 1_000_000
"""Most training examples times heads for which readouts are tried: a minute or two of work."""


@dataclass(frozen=True, slots=True)
class ReadoutChoice:
    """The selection of the best readout."""

    selection: Selection
    accuracies: dict[str, float]
    """Readout -> share of the training examples that it classifies rightly when they are left out,
    or mean average precision of many labels; empty if there was nothing to choose."""
    left_out: list[LeftOut] = field(repr=False)
    """The examples of each task, classified by the readout that the other folds choose;
    `assess_left_out` measures them. Empty if no example can be left out."""
    note: str | None = None
    """Why nothing was chosen."""


def choose_readout_by_folds(
    training: Training,
    *,
    heads: Heads | None = None,
    readouts: Sequence[str | Path | Readout] = (),
    folds: int = FOLDS,
    **options: Any,
) -> ReadoutChoice:
    """Select heads for each readout, and return the selection that is best by cross-validation.

    Of equally good ones the first is taken. All subtasks get the same readout. Where the examples
    of a class are too few to leave some out twice, the first readout is taken, and `note` says so.

    With the model's own answers the last of `Target.tried_with_answers` is always taken: it weighs
    answers and heads by left-out examples, and is on average nearer to the best of them than the
    one that cross-validation chooses (scripts/compare_answers.py).

    `readouts` are by default those that the target tries; `folds` parts are left out in turn, and
    again without each. The other arguments and errors are those of `select`.
    """
    training = as_store(training) if isinstance(training, str | Path) else training
    data, note = training_of(training), None
    readouts = readouts or tried_readouts(data)
    if len(readouts) > 1 and (size := data.count * len(grid_widths(data.source.grid))) > LARGEST:
        readouts = readouts[:1]
        note = (
            f"{size:,} features of heads are too many to choose a readout by trying: it is"
            f" {readouts[0]}; `savs sweep STORE --readout vote,lda` compares some"
        )
    rules = [choose_readout(name) for name in readouts]
    selections = [
        choose_heads(
            training, heads=None if rule.answers == ALONE else heads, readout=rule, **options
        )
        for rule in rules
    ]
    with_answers = readouts == data.target.tried_with_answers
    default = len(selections) - 1 if with_answers else 0
    first = selections[default]
    try:
        outer = [leave_out(training, selection, folds) for selection in selections]
    except SelectionError as error:
        return ReadoutChoice(first, {}, [], f"no accuracy can be estimated: {error}")
    if len(selections) == 1:
        return ReadoutChoice(first, {}, outer[0], note)
    right = [first.target.right(parts) for parts in outer]
    accuracies = {one.readout: share for one, share in zip(selections, right, strict=True)}
    if with_answers:
        return ReadoutChoice(first, accuracies, outer[default], note)
    best = int(np.argmax(right))
    try:
        nested = _nested(data, selections, outer, folds)
    except SelectionError as error:  # too few examples to choose by: nothing else is measured
        note = f"the readout is {first.readout}, too few examples to try others: {error}"
        return ReadoutChoice(first, {}, outer[default], note)
    return ReadoutChoice(selections[best], accuracies, nested)


def tried_readouts(data: TrainingData) -> tuple[str, ...]:
    """Return what is tried on training examples: with the model's own answers, if there are any."""
    with_answers = data.target.tried_with_answers
    return with_answers if with_answers and data.has_answers else data.target.tried_readouts


def _nested(
    data: TrainingData,
    selections: Sequence[Selection],
    outer: Sequence[Sequence[LeftOut]],
    folds: int,
) -> list[LeftOut]:
    """Return each fold as it was classified by the readout that is best within the others."""
    tasks = data.tasks()
    outs = held_out(data, selections[0], tasks, folds)
    turns = sorted({turn for parts in outs for turn in parts})
    # a task with fewer folds is whole in the last turns
    others = [
        task.part(~parts[turn]) if turn in parts else task
        for turn in turns
        for task, parts in zip(tasks, outs, strict=True)
    ]
    right = np.array([_shares(data, selection, others, folds) for selection in selections])
    chosen = dict(zip(turns, right.argmax(axis=0).tolist(), strict=True))
    return [_mixed(chosen, by_readout) for by_readout in zip(*outer, strict=True)]


def _shares(
    data: TrainingData, selection: Selection, others: Sequence[TrainingTask], folds: int
) -> list[float]:
    """Return for each turn the share of the training examples that a readout classifies rightly.

    `others` are those of all tasks in the first turn, then in the next. All turns are one pass over
    the features, which a store would else read once for each.
    """
    parts = leave_out_of(data, selection, list(zip(others, cycle(selection.tasks))), folds)
    count = len(selection.tasks)
    starts = range(0, len(parts), count)
    return [selection.target.right(parts[start : start + count]) for start in starts]


def _mixed(chosen: Mapping[int, int], by_readout: Sequence[LeftOut]) -> LeftOut:
    """Return the folds of a task, each as the readout that was chosen in its turn classified it."""
    first = by_readout[0]
    if not first.folds:
        return first
    by_turn = {turn: by_readout[number].scores for turn, number in chosen.items()}
    pieces = [by_turn[turn].part(first.fold == turn) for turn in dict.fromkeys(first.fold.tolist())]
    return replace(first, scores=ClassScores.joined(pieces), by_turn=by_turn)
