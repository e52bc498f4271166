"""Stage 2, `select`: score the heads on the training examples, keep the best, fit the readout."""

from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Literal

from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import SCORINGS
from savs.pipeline.heads.training_set import train_digest, training_tasks
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.readouts import Readout, choose_readout
from savs.pipeline.selection.compatibility import require_same_model
from savs.pipeline.selection.config_json import SelectionConfig
from savs.pipeline.selection.task_selection import (
    TaskSelection,
    best_heads,
    fit_tasks,
    given_heads,
    score_tasks,
)
from savs.stores import FeatureStore, Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(SelectionConfig):
    """A few-shot classifier, whole: heads, classes, fit, and the model that they belong to."""

    tasks: tuple[TaskSelection, ...]
    """One for each subtask, in the order of the train file."""
    rule: Readout
    """The readout that was fitted."""

    @property
    def top_heads(self) -> list[tuple[int, int, int]]:
        """The heads as the public reference writes them: `(layer, head, -1)`, best first.

        Raises
        ------
        SelectionError
            There are several subtasks; take `tasks[i].heads`.
        """
        return [(layer, head, -1) for layer, head in self.only_task().heads]

    def only_task(self) -> TaskSelection:
        """Return the only subtask's selection; SelectionError where there are several."""
        if len(self.tasks) != 1:
            names = [task.subtask for task in self.tasks]
            raise SelectionError(
                f"{len(names)} subtasks were selected ({names}); use one of selection.tasks"
            )
        return self.tasks[0]


def default_heads(store: FeatureStore) -> int:
    """Return how many heads are kept by default: 20, or all of a store that has fewer."""
    return min(DEFAULT_HEADS, len(store.heads))


def select(
    store: FeatureStore,
    *,
    heads: int | Literal["all"] | None = None,
    readout: str | Path | Readout = "vote",
    scoring: str = "resubstitution",
    heads_from: SelectionConfig | None = None,
) -> Selection:
    """Choose the heads that tell the training classes apart, for each subtask by itself.

    Heads are ordered by score, then margin, then (layer, head). Memory holds the training features
    of one layer at a time.

    Parameters
    ----------
    store
        Features; the train split is read.
    heads
        How many to keep, or `all`; 20 by default, or all of a store that has fewer.
    readout
        The rule that is fitted on the chosen heads: its name, a Python file, or an object.
    scoring
        How heads are scored: `resubstitution` as in the paper, `loo` or `kfold`.
    heads_from
        Fit the heads of this selection, which may be of another task, on this store's training
        examples; `heads` is not used then. `load_config` reads one without its readout.

    Raises
    ------
    SelectionError
        Unknown readout or scoring, more heads than the store has, a class without a usable
        training example, one class only, or heads of another model.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    rule = choose_readout(readout)
    require_scoring(scoring)
    tasks = training_tasks(store)
    if heads_from is not None:
        given = _heads_of(store, heads_from, [task.subtask for task in tasks])
        chosen = [
            given_heads(store, rule, scoring, task, heads)
            for task, heads in zip(tasks, given, strict=True)
        ]
    else:
        count = default_heads(store) if heads is None else head_count(store, heads)
        scores = score_tasks(store, rule, scoring, tasks)
        chosen = [
            best_heads(store, task, own, count) for task, own in zip(tasks, scores, strict=True)
        ]
    return Selection(
        source=store.manifest.identity.source(),
        train=train_digest(store),
        readout=rule.name,
        readout_file=rule.file,
        rule=rule,
        scoring=scoring,
        tasks=tuple(fit_tasks(store, rule, chosen)),
        heads_from=heads_from.train if heads_from else None,
    )


def of_subtask(selection: Selection, subtask: str | None) -> Selection:
    """Return a selection of one of its subtasks; of all, unchanged, for None.

    Raises
    ------
    SelectionError
        It has no subtask of this name.
    """
    found = tuple(task for task in selection.tasks if subtask in (None, task.subtask))
    if not found:
        names = ", ".join(str(task.subtask) for task in selection.tasks)
        raise SelectionError(f"the selection has no subtask {subtask!r}; it has: {names}")
    return selection if len(found) == len(selection.tasks) else replace(selection, tasks=found)


def require_scoring(name: str) -> None:
    """Raise SelectionError where no scoring has this name."""
    if name not in SCORINGS:
        raise SelectionError(f"no scoring is called {name!r}; expected: {', '.join(SCORINGS)}")


def head_count(store: FeatureStore, heads: int | Literal["all"]) -> int:
    """Return a number of heads; SelectionError where the store has fewer, or it is no number."""
    count = len(store.heads) if heads == "all" else heads
    if not isinstance(count, Integral):
        raise SelectionError(f"heads is {heads!r}, expected a whole number or 'all'")
    if not 1 <= count <= len(store.heads):
        raise SelectionError(
            f"{count!r} heads were requested, but the store has {len(store.heads)}; use --heads 1"
            f" to {len(store.heads)}, or all"
        )
    return count


def _heads_of(
    store: FeatureStore, selection: SelectionConfig, subtasks: list[str | None]
) -> list[tuple[Head, ...]]:
    """Return a selection's heads for each subtask: its own, or those of its only one."""
    require_same_model(store, selection)
    heads = {task.subtask: task.heads for task in selection.tasks}
    if len(heads) == 1:
        return [next(iter(heads.values()))] * len(subtasks)
    absent = [subtask for subtask in subtasks if subtask not in heads]
    if absent:
        raise SelectionError(
            f"the selection of --heads-from has no subtask {absent[0]!r}; it has"
            f" {', '.join(map(str, heads))}: use one with a single task, or with the same subtasks"
        )
    return [heads[subtask] for subtask in subtasks]
