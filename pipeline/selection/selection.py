"""Stage 2, `select`: score the heads on the training examples, keep the best, fit the readout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np

from savs.foundation.arrays import Array
from savs.foundation.bounds import whole_number
from savs.foundation.errors import ParameterError
from savs.foundation.progress import track
from savs.pipeline.errors import SelectionError
from savs.pipeline.heads.head_scores import (
    PAIR_SCORINGS,
    HeadScores,
    Ranking,
    joined,
    require_pairs,
    score_pairs,
    with_sets,
)
from savs.pipeline.heads.neurons import require_neurons, score_neurons
from savs.pipeline.heads.scoring import Scoring, choose_scoring
from savs.pipeline.names import DEFAULT_HEADS
from savs.pipeline.readouts import Fitted, HeadsFit, Readout, choose_readout
from savs.pipeline.readouts.answers import ALONE, ANSWERS, score_answers
from savs.pipeline.readouts.readout import ClassTexts, require_examples, score_heads
from savs.pipeline.running.formatting import counted, listed
from savs.pipeline.selection.compatibility import require_fit
from savs.pipeline.selection.pseudo_labels import AnsweredTraining, labelled_by_answers
from savs.pipeline.selection.selection_config import (
    GIVEN,
    SelectionConfig,
    load_config,
    model_heads,
)
from savs.pipeline.selection.training_data import (
    NO_EXAMPLES,
    RowsCopier,
    StoredTraining,
    Training,
    TrainingData,
    chosen_features,
    chosen_in_parts,
    text_arguments,
    training_of,
)
from savs.pipeline.targets import chosen_target, target_package
from savs.pipeline.targets.target import Target
from savs.pipeline.targets.tasks import Run, TaskSelection, TrainingTask
from savs.stores import ANSWERS_HEAD, FeatureStore, Head, LayerGrid, head_name
from savs.stores.format.layout import grid_widths, is_neuron, neuron, parse_address

Heads = int | Literal["all"] | str | Path | Sequence[Head] | SelectionConfig
"""What `select` takes as heads, see there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection(SelectionConfig):
    """A few-shot classifier, whole: heads, classes, fit, and the model that they belong to."""

    tasks: tuple[TaskSelection, ...]
    """One for each subtask, in the order of the train file."""
    rule: Readout
    """The readout that was fitted."""
    scorer: Scoring
    """How heads were scored."""

    def __repr__(self) -> str:
        """Return a few lines: readout, model, classes or subtasks, heads, and what comes next."""
        units = counted(self.head_count, self.rule.unit)
        of_units = f" of {units}" if self.head_count else ""
        lines = [f"Selection({self.readout}{of_units}, {self.model.get('name')})"]
        examples = counted(sum(task.examples for task in self.tasks), "training example")
        if len(self.tasks) == 1:
            (task,) = self.tasks
            lines.append(f"  {self.target.in_words(task.classes)}; {examples}")
            names = [head_name(head) for head in task.heads]
            lines.append(f"  {self.rule.unit}s, best first: {listed(names)}")
        else:
            names = [str(task.subtask) for task in self.tasks]
            lines.append(f"  {counted(len(names), self.target.part)}: {listed(names)}; {examples}")
        lines.append("  next: savs.evaluate(STORE, selection), savs.save_selection(...)")
        return "\n".join(lines)

    @property
    def top_heads(self) -> list[tuple[int, int, int]]:
        """The heads as the public reference writes them: `(layer, head, -1)`, best first.

        SelectionError if there are several subtasks; take `tasks[i].heads`.
        """
        return [(layer, head, -1) for layer, head in model_heads(self.only_task().heads)]

    def runs(self) -> list[Run]:
        """Return what examples are scored by, see `Target.runs`."""
        return self.target.runs(self, self.widths())

    def only_task(self) -> TaskSelection:
        """Return the only subtask's selection; SelectionError if there are several."""
        if len(self.tasks) != 1:
            names = [task.subtask for task in self.tasks]
            raise SelectionError(
                f"{len(names)} subtasks were selected ({names}); use one of selection.tasks"
            )
        return self.tasks[0]


def choose_heads(
    training: Training,
    *,
    heads: Heads | None = None,
    readout: str | Path | Readout | None = None,
    scoring: str | Path | Scoring | None = None,
    max_layer: int | None = None,
    joint_heads: bool = False,
    precision: float | None = None,
    pseudo_labels: float | None = None,
    target: str | None = None,
) -> Selection:
    """Choose the heads of each subtask or label, and fit the readout on them.

    Parameters and errors are those of `savs.select`, which also calibrates, estimates and saves.
    """
    rule = None if readout is None else choose_readout(readout)
    data = training_of(training, None if target is None else chosen_target(target))
    if isinstance(data, StoredTraining):
        if pseudo_labels is not None:
            data = AnsweredTraining(labelled_by_answers(data.store), pseudo_labels)
    elif (pseudo_labels, target) != (None, None):
        name = "target" if pseudo_labels is None else "pseudo_labels"
        raise ParameterError(f"{data.name} have no answers of a model; omit `{name}`")
    aim = data.target
    if rule is not None and rule.answers:
        data = data.with_answers()
    rule = rule or choose_readout(aim.default_readout)
    scorer = choose_scoring(scoring or aim.default_scoring)
    aim.require_method(rule, scorer.name, data.name, joint_heads=joint_heads, precision=precision)
    wanted = (ANSWERS_HEAD,) if rule.answers == ALONE else parse_heads(heads)
    if rule.answers == ALONE and heads is not None:
        raise ParameterError(f"readout {rule.name!r} reads no head of the model; omit `heads`")
    is_given = isinstance(wanted, tuple | SelectionConfig)
    if is_given and max_layer is not None:
        raise SelectionError("`heads` gives the heads, so `max_layer` chooses none; omit one")
    source = data.source
    require_layer(source.grid, max_layer)
    held = grid_widths(source.grid)
    among = choosable(rule, source.grid, max_layer)
    if joint_heads and is_given:
        raise ParameterError("`heads` gives the heads, so `joint_heads` chooses none; omit one")
    tasks = data.tasks(named=True)
    _require_examples(tasks, rule, is_choice=not is_given and len(held) > 1)
    heads_from = count = None
    if rule.answers == ALONE:
        chosen = [ScoredHeads(task) for task in tasks]
    elif isinstance(wanted, tuple | SelectionConfig):
        if isinstance(wanted, tuple):
            data.widths(wanted)  # all of them are there
            fixed, heads_from = [wanted] * len(tasks), GIVEN
        else:
            fixed = heads_of(data, wanted, [task.subtask for task in tasks])
            heads_from = wanted.train
        for best in fixed:
            require_neurons(model_heads(best), rule.name, of_neurons=rule.of_neurons)
        chosen = [
            given_heads(data, rule, scorer, task, best)
            for task, best in zip(tasks, fixed, strict=True)
        ]
    else:
        where = "" if max_layer is None else f" up to layer {max_layer}"
        count = default_heads(among) if wanted is None else head_count(among, wanted, where)
        scores = score_tasks(data, rule, scorer, tasks, max_layer)
        order = joint_scores(list(zip(tasks, scores, strict=True))) if joint_heads else None
        chosen = [
            best_heads(among, task, of_task, count, order)
            for task, of_task in zip(tasks, scores, strict=True)
        ]
    chosen = add_answers(data, rule, chosen)
    return Selection(
        source=source,
        train=data.train if any(len(task.rows) for task in tasks) else NO_EXAMPLES,
        readout=rule.name,
        readout_file=rule.file,
        readout_package=rule.package,
        rule=rule,
        scoring=scorer.name,
        scoring_file=scorer.file,
        scoring_package=scorer.package,
        scorer=scorer,
        tasks=tuple(fit_tasks(data, rule, scorer, chosen)),
        heads_from=heads_from,
        max_layer=max_layer,
        labels=aim.name,
        target_package=target_package(aim.name),
        joint_heads=joint_heads,
        precision=precision,
        heads_each=count if any(one.members is not None for one in chosen) else None,
    )


def choose_heads_like(training: Training, before: Selection) -> Selection:
    """Choose heads as an earlier selection did; heads that it was given are fitted again."""
    count = before.heads_each or before.head_count or None
    return choose_heads(
        training,
        heads=count if before.heads_from is None else before,
        readout=before.rule,
        scoring=before.scorer,
        max_layer=before.max_layer,
        joint_heads=before.joint_heads,
        precision=before.precision,
    )


def asked_selection(store: FeatureStore) -> Selection:
    """Return the classifier that reads what `savs ask` keeps in a store, and learns nothing.

    ResultError if the store keeps no answers.
    """
    return choose_heads(store.in_one_split("test"), readout=ANSWERS)


def parse_heads(
    heads: Heads | None,
) -> int | Literal["all"] | tuple[Head, ...] | SelectionConfig | None:
    """Return what `heads` asks for: a number, all, these heads, or those of a selection.

    SelectionError for anything else.

    >>> parse_heads("20"), parse_heads("L12.H7,L3.H0")
    (20, ((12, 7), (3, 0)))
    """
    if heads is None or isinstance(heads, int | Integral | SelectionConfig):
        return heads
    if not isinstance(heads, str | Path):
        try:
            return tuple(dict.fromkeys((int(layer), int(head)) for layer, head in heads))
        except (TypeError, ValueError) as error:
            raise SelectionError(
                f"`heads` is {heads!r:.100}, expected a whole number, 'all', pairs (layer, head),"
                " or a selection"
            ) from error
    text = str(heads)
    if text == "all":
        return "all"
    if (number := whole_number(text)) is not None:
        return number
    named = [parse_address(name) for name in text.split(",")]
    if None not in named:
        return tuple(dict.fromkeys(head for head in named if head is not None))
    if not text or not Path(text).exists():
        raise SelectionError(
            f"`heads` is {text!r:.100}, expected a number, all, a list such as L12.H7,L13.H0, or"
            " the folder of a selection"
        )
    return load_config(text)


def default_heads(heads: Sequence[Head]) -> int:
    """Return how many of the heads are kept by default: 20, or all of fewer."""
    return min(DEFAULT_HEADS, len(heads))


def head_count(among: Sequence[Head], heads: int | Literal["all"], where: str = "") -> int:
    """Return a number of heads; SelectionError if there are fewer, or it is not a number.

    `where` the heads lie is said after their number.
    """
    count = len(among) if heads == "all" else heads
    if not isinstance(count, Integral) or isinstance(count, bool):
        raise SelectionError(f"`heads` is {heads!r}, expected a whole number or 'all'")
    if not 1 <= count <= len(among):
        raise SelectionError(
            f"{count!r} {'neurons' if is_neuron(among[0]) else 'heads'} were requested, but there"
            f" are {len(among)}{where}; use 1 to"
            f" {len(among)}, or all"
        )
    return int(count)


def heads_up_to(heads: Sequence[Head], max_layer: int | None) -> list[Head]:
    """Return the heads that lie in layers up to `max_layer`; None for all."""
    return [head for head in heads if max_layer is None or head[0] <= max_layer]


def choosable(
    rule: Readout, grids: Sequence[LayerGrid], max_layer: int | None = None
) -> list[Head]:
    """Return what a readout chooses from, as `score_tasks` orders it: the heads, or all neurons."""
    widths = grid_widths(grids)
    heads = heads_up_to([*widths], max_layer)
    if not rule.of_neurons:
        return heads
    return [neuron(head, index) for head in heads for index in range(widths[head])]


def score_tasks(
    training: TrainingData,
    rule: Readout,
    scoring: Scoring,
    tasks: Sequence[TrainingTask],
    max_layer: int | None = None,
) -> list[HeadScores]:
    """Return the scores of the heads or neurons, in the order of `choosable`, for each task.

    Memory holds the training features of one layer at a time, and one pass serves all tasks.
    """
    layers: list[list[HeadScores]] = [[] for _ in tasks]
    of_prompts = scoring.of_prompts
    versions = [
        training.under_prompts(task, scoring.name) if of_prompts else [task] for task in tasks
    ]
    as_pairs = training.target.tasks_share_rows and scoring.left_out in PAIR_SCORINGS
    as_pairs &= scoring.is_alone and rule.score_heads is score_heads
    if as_pairs and scoring.left_out == "loo":
        for task in tasks:
            require_pairs(task.labels, task.classes, "leave-one-out")
    copier = RowsCopier()
    for grid in track(training.source.grid, "layers"):
        if max_layer is not None and grid.layer > max_layer:
            continue
        heads = [(grid.layer, head) for head in grid.heads]
        features = training.features(heads)
        if as_pairs:
            pairs = [(task.rows, task.labels) for task in tasks]
            of_tasks = score_pairs(features, pairs, scoring.left_out)
            for scores, of_task in zip(layers, of_tasks, strict=True):
                scores.append(of_task)
            continue
        for parts, scores in zip(versions, layers, strict=True):
            of_parts = [
                _score(training, rule, scoring, part, heads, copier.copy(features, part.rows))
                for part in parts
            ]
            scores.append(with_sets(of_prompts, of_parts) if of_prompts else of_parts[0])
    whole = [with_sets(joined, scores) for scores in layers]
    if scoring.of_all is None:
        return whole
    return [scoring.of_all(one, task.labels) for one, task in zip(whole, tasks, strict=True)]


def _score(
    training: TrainingData,
    rule: Readout,
    scoring: Scoring,
    task: TrainingTask,
    heads: Sequence[Head],
    features: Array,
) -> HeadScores:
    """Return the scores of heads each alone, from their `(heads, n, d)` features of a task."""
    if scoring.score is not None:
        if rule.of_neurons:
            raise SelectionError(
                f"{scoring.name} scoring looks at whole heads, and readout {rule.name!r} chooses"
                " neurons; use another `scoring`, or readout"
            )
        return scoring.score(features, task.labels, task.classes)
    texts, widths = text_arguments(training, rule.texts, task, heads), training.widths(heads)
    return training.target.score(rule, features, task, widths, scoring.left_out, **texts)


@dataclass(frozen=True, slots=True)
class ScoredHeads:
    """The chosen heads of a task, before a readout is fitted on them."""

    task: TrainingTask
    heads: tuple[Head, ...] = ()
    """Best first."""
    scores: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()
    members: Array | None = None
    """`(heads, parts)` flags: which part of the readout reads which head; None if all read all."""


def add_answers(
    training: TrainingData, rule: Readout, chosen: Sequence[ScoredHeads]
) -> list[ScoredHeads]:
    """Return chosen heads with the model's own answers as the last, where a readout reads them."""
    if not rule.answers:
        return list(chosen)
    wanted = [((ANSWERS_HEAD,), one.task.rows) for one in chosen]
    both = []
    for one, answers in zip(chosen, chosen_in_parts(training, wanted), strict=True):
        found = score_answers(answers, one.task.labels, one.task.classes)
        both.append(
            replace(
                one,
                heads=(*one.heads, ANSWERS_HEAD),
                scores=(*one.scores, *found.score.tolist()),
                margins=(*one.margins, *found.margin.tolist()),
            )
        )
    return both


def joint_scores(scored: Sequence[tuple[TrainingTask, HeadScores]]) -> HeadScores:
    """Return the mean over tasks of the scores of heads, each as a share of its examples."""
    return HeadScores(
        np.mean([scores.score / len(task.rows) for task, scores in scored], axis=0),
        np.mean([scores.margin for _, scores in scored], axis=0),
    )


def best_heads(
    heads: Sequence[Head],
    task: TrainingTask,
    scores: HeadScores,
    count: int,
    order: HeadScores | None = None,
) -> ScoredHeads:
    """Return the `count` best of the heads scored on a task, by `order` if there is one.

    Where parts of a readout have a set of heads each, each set has `count`.
    """
    chosen, members = Ranking.of(scores if order is None else order, heads).best(count)
    return ScoredHeads(
        task,
        tuple(heads[i] for i in chosen),
        tuple(float(scores.score[i]) for i in chosen),
        tuple(float(scores.margin[i]) for i in chosen),
        members,
    )


def given_heads(
    training: TrainingData,
    rule: Readout,
    scoring: Scoring,
    task: TrainingTask,
    heads: Sequence[Head],
) -> ScoredHeads:
    """Return heads that were chosen elsewhere, in their order, scored on a task."""
    of_prompts = scoring.of_prompts
    versions = training.under_prompts(task, scoring.name) if of_prompts else [task]
    read = chosen_features(training, [(tuple(heads), part.rows) for part in versions])
    of_parts = [
        _score(training, rule, scoring, part, heads, features)
        for part, features in zip(versions, read, strict=True)
    ]
    scores = of_prompts(of_parts) if of_prompts else of_parts[0]
    if scoring.of_all is not None:
        scores = scoring.of_all(scores, task.labels)
    return ScoredHeads(
        task, tuple(heads), tuple(scores.score.tolist()), tuple(scores.margin.tolist())
    )


def heads_of(
    training: TrainingData, selection: SelectionConfig, subtasks: list[str | None]
) -> list[tuple[Head, ...]]:
    """Return a selection's heads for each subtask: its own, or those of its only one."""
    require_fit(selection, training.source, training.name)
    heads = {task.subtask: model_heads(task.heads) for task in selection.tasks}
    if len(heads) == 1:
        return [next(iter(heads.values()))] * len(subtasks)
    absent = [subtask for subtask in subtasks if subtask not in heads]
    if absent:
        raise SelectionError(
            f"the selection has no subtask {absent[0]!r}; it has"
            f" {', '.join(map(str, heads))}: use one with a single task, or with the same subtasks"
        )
    return [heads[subtask] for subtask in subtasks]


def fit_tasks(
    training: TrainingData, rule: Readout, scoring: Scoring, chosen: Sequence[ScoredHeads]
) -> list[TaskSelection]:
    """Return the tasks with the readout fitted on their heads."""
    wanted = [(one.heads, one.task.rows) for one in chosen]
    tasks = []
    for one, features in zip(chosen, chosen_in_parts(training, wanted), strict=True):
        fitted = fit_heads(training, rule, one, features)
        tasks.append(
            TaskSelection(
                subtask=one.task.subtask,
                classes=one.task.classes,
                written=training.written(one.task) if rule.answers else {},
                heads=one.heads,
                strengths=_strengths(training.target, rule, scoring, one, features),
                scores=one.scores,
                margins=one.margins,
                examples=len(one.task.rows),
                question=one.task.question,
                media=one.task.media,
                decision=one.task.decision,
                pool=fitted.pool if isinstance(fitted, HeadsFit) and rule.load is None else None,
                fitted=fitted,
            )
        )
    return tasks


def fit_heads(
    training: TrainingData, rule: Readout, chosen: ScoredHeads, features: Array
) -> Fitted:
    """Return the readout fitted on a task's heads, from their `(heads, rows, d)` features."""
    task = chosen.task
    given: dict[str, ClassTexts | Array] = {}
    given |= text_arguments(training, rule.texts, task, chosen.heads)
    if chosen.members is not None:
        given["members"] = chosen.members
    return training.target.fit(rule, features, task, training.widths(chosen.heads), **given)


def left_out_alone(rule: Readout, scoring: Scoring) -> str:
    """Return what is left out where the right examples of each head alone are counted."""
    return "resubstitution" if rule.texts else scoring.left_out  # texts are not fitted


def scores_are_strengths(target: Target, rule: Readout, scoring: Scoring) -> bool:
    """Return whether scores of heads are strengths, as sums over examples."""
    is_same = left_out_alone(rule, scoring) == scoring.left_out
    is_count = scoring.is_alone and is_same and rule.score_heads in (score_heads, score_neurons)
    return is_count or target.scores_are_strengths


def _strengths(
    target: Target, rule: Readout, scoring: Scoring, chosen: ScoredHeads, features: Array
) -> tuple[float, ...]:
    """Return the strengths of a task's heads, see `TaskConfig.strengths`."""
    task, scores = chosen.task, np.array(chosen.scores)
    if not len(task.rows):
        return (0.0,) * len(chosen.heads)
    if not scores_are_strengths(target, rule, scoring):
        left_out = left_out_alone(rule, scoring)
        heads = features[: -1 if rule.answers else None]
        alone = score_neurons if rule.of_neurons else score_heads
        given = (task.labels, task.classes, [heads.shape[2]] * len(heads), left_out)
        of_heads = alone(heads, *given).score if len(heads) else []
        scores = np.array([*of_heads, *chosen.scores[len(heads) :]])
    return tuple((scores / len(task.rows)).tolist())


def only_subtask(selection: Selection, subtask: str | None) -> Selection:
    """Return a selection of one of its subtasks; of all, unchanged, for None.

    SelectionError if it has no subtask of this name.
    """
    tasks = tuple(task for task in selection.tasks if subtask in (None, task.subtask))
    if not tasks:
        names = ", ".join(str(task.subtask) for task in selection.tasks)
        raise SelectionError(f"the selection has no subtask {subtask!r}; it has: {names}")
    return selection if len(tasks) == len(selection.tasks) else replace(selection, tasks=tasks)


def _require_examples(tasks: Sequence[TrainingTask], rule: Readout, *, is_choice: bool) -> None:
    """Raise SelectionError if a readout, or the choice of heads, needs examples and has none."""
    if any(len(task.rows) for task in tasks):
        return
    if rule.learns and not rule.texts:
        require_examples(tasks[0].labels, rule.name)
    if is_choice:
        raise SelectionError(
            "the store has no training examples to choose heads by; give those that another task"
            " chose as `heads`: the folder of its selection, or a list such as L12.H7,L13.H0"
        )


def require_layer(grid: Sequence[LayerGrid], max_layer: int | None) -> None:
    """Raise SelectionError if no head can be chosen from layers up to `max_layer`."""
    if max_layer is None:
        return
    first, last = grid[0].layer, grid[-1].layer
    if not first <= max_layer <= last:
        end = f"first layer of the store with heads is {first}"
        if max_layer > last:
            end = f"last layer of the store with heads is {last}"
        raise SelectionError(f"`max_layer` is {max_layer}, but the {end}; use {first} to {last}")
