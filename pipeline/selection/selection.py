"""Stage 2, `select`: score the heads on the training examples, keep the best, fit the readout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Literal

from savs.pipeline.errors import SelectionError
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.selection.compatibility import require_same_model
from savs.pipeline.selection.config_json import GIVEN, SelectionConfig
from savs.pipeline.selection.heads.head_scores import SCORINGS
from savs.pipeline.selection.heads.training_set import TrainingTask, named_tasks, train_digest
from savs.pipeline.selection.readouts import Readout, choose_readout
from savs.pipeline.selection.readouts.tuning import require_examples
from savs.pipeline.selection.task_selection import (
    TaskSelection,
    best_heads,
    fit_tasks,
    given_heads,
    heads_up_to,
    score_tasks,
)
from savs.stores import FeatureStore, Head
from savs.stores.read.store import require_store


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


def default_heads(heads: Sequence[Head]) -> int:
    """Return how many of the heads are kept by default: 20, or all of fewer."""
    return min(DEFAULT_HEADS, len(heads))


def select(
    store: FeatureStore,
    *,
    heads: int | Literal["all"] | None = None,
    readout: str | Path | Readout = "vote",
    scoring: str = "resubstitution",
    heads_from: SelectionConfig | None = None,
    use_heads: Sequence[Head] | None = None,
    max_layer: int | None = None,
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
        examples. `load_config` reads one without its readout.
    use_heads
        Fit these heads, best first.
    max_layer
        Choose among the heads of layers up to this one, counted from 0: `classify` loads and runs
        no layer behind the deepest chosen head.

    Raises
    ------
    SelectionError
        Unknown readout or scoring, more heads than the store has, a class without a usable
        training example, one class only, or heads of another model. Or heads are given by
        `heads_from` or `use_heads`, and another option would choose them, too.
    StoreIncompleteError
        A shard of the train split is missing.
    """
    require_store(store)
    rule = choose_readout(readout)
    require_scoring(scoring)
    _require_one_choice(heads, heads_from, use_heads, max_layer)
    _require_layer(store, max_layer)
    tasks = named_tasks(store)
    _require_examples(tasks, rule, chooses=not (heads_from or use_heads or len(store.heads) == 1))
    given = None
    if use_heads is not None:
        store.require_heads(use_heads)
        given = [tuple(dict.fromkeys(use_heads))] * len(tasks)
    elif heads_from is not None:
        given = heads_of(store, heads_from, [task.subtask for task in tasks])
    if given is not None:
        chosen = [
            given_heads(store, rule, scoring, task, heads)
            for task, heads in zip(tasks, given, strict=True)
        ]
    else:
        among = heads_up_to(store, max_layer)
        where = "" if max_layer is None else f" up to layer {max_layer}"
        count = default_heads(among) if heads is None else head_count(among, heads, where)
        scores = score_tasks(store, rule, scoring, tasks, max_layer)
        chosen = [
            best_heads(among, task, own, count) for task, own in zip(tasks, scores, strict=True)
        ]
    return Selection(
        source=store.manifest.identity.source(),
        train=train_digest(store),
        readout=rule.name,
        readout_file=rule.file,
        rule=rule,
        scoring=scoring,
        tasks=tuple(fit_tasks(store, rule, chosen)),
        heads_from=GIVEN if use_heads else heads_from.train if heads_from else None,
        max_layer=max_layer,
    )


def only_subtask(selection: Selection, subtask: str | None) -> Selection:
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


def _require_examples(tasks: Sequence[TrainingTask], rule: Readout, *, chooses: bool) -> None:
    """Check that there are training examples where a readout, or the choice of heads, needs some.

    Raises
    ------
    SelectionError
        There are none.
    """
    if any(len(task.rows) for task in tasks):
        return
    if not rule.texts:
        require_examples(tasks[0].labels, rule.name)
    if chooses:
        raise SelectionError(
            "the store has no training examples to choose heads by; give heads that another task"
            " chose: --heads-from DIR, or --use-heads L12.H3,..."
        )


def require_scoring(name: str) -> None:
    """Raise SelectionError where no scoring has this name."""
    if name not in SCORINGS:
        raise SelectionError(f"no scoring is called {name!r}; expected: {', '.join(SCORINGS)}")


def head_count(among: Sequence[Head], heads: int | Literal["all"], where: str = "") -> int:
    """Return a number of heads; SelectionError where there are fewer, or it is no number.

    `where` the heads lie is said behind their number.
    """
    count = len(among) if heads == "all" else heads
    if not isinstance(count, Integral):
        raise SelectionError(f"heads is {heads!r}, expected a whole number or 'all'")
    if not 1 <= count <= len(among):
        raise SelectionError(
            f"{count!r} heads were requested, but the store has {len(among)}{where}; use --heads 1"
            f" to {len(among)}, or all"
        )
    return count


def _require_one_choice(
    heads: int | Literal["all"] | None,
    heads_from: SelectionConfig | None,
    use_heads: Sequence[Head] | None,
    max_layer: int | None,
) -> None:
    """Raise SelectionError where heads are given, and something else would choose them, too."""
    options = {
        "--use-heads": use_heads,
        "--heads-from": heads_from,
        "--heads": heads,
        "--max-layer": max_layer,
    }
    names = [name for name, value in options.items() if value is not None]
    if len(names) > 1 and names != ["--heads", "--max-layer"]:
        raise SelectionError(f"{names[0]} gives the heads, so {names[1]} chooses none; omit one")


def _require_layer(store: FeatureStore, max_layer: int | None) -> None:
    """Raise SelectionError where no head can be chosen from layers up to `max_layer`."""
    if max_layer is None:
        return
    first, last = store.grid[0].layer, store.grid[-1].layer
    if max_layer < first:
        raise SelectionError(
            f"max_layer is {max_layer}, but the first layer of the store with heads is {first}; use"
            f" --max-layer {first} to {last}"
        )


def heads_of(
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
            f"the selection has no subtask {absent[0]!r}; it has"
            f" {', '.join(map(str, heads))}: use one with a single task, or with the same subtasks"
        )
    return [heads[subtask] for subtask in subtasks]
