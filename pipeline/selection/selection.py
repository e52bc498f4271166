"""Stage 2, `select`: score the heads on the training examples, keep the best, fit the readout."""

from collections.abc import Iterable, Sequence
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
    is_alone = rule.answers == ALONE
    if is_alone and heads is not None:
        raise ParameterError(f"readout {rule.name!r} reads no head of the model; omit `heads`")
    wanted = parse_heads(heads)
    is_given = is_alone or isinstance(wanted, tuple | SelectionConfig)
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
    fitter, heads_from, count, fixed = Fitter(data, rule, scorer), None, None, None
    if isinstance(wanted, tuple):
        data.widths(wanted)  # all of them are there
        fixed, heads_from = [wanted] * len(tasks), GIVEN
    elif isinstance(wanted, SelectionConfig):
        fixed = heads_of(data, wanted, [task.subtask for task in tasks])
        heads_from = wanted.train
    elif not is_alone:
        where = "" if max_layer is None else f" up to layer {max_layer}"
        count = default_heads(among) if wanted is None else head_count(among, wanted, where)
    for best in fixed or ():
        require_neurons(model_heads(best), rule.name, of_neurons=rule.of_neurons)
    chosen = fitter.choose(
        tasks,
        [count or 0] * len(tasks),
        max_layer=max_layer,
        given=fixed,
        joint=[0] * len(tasks) if joint_heads else None,
    )
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
        tasks=tuple(fitter.fit(chosen)),
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
    """Return how many of the heads are kept by default: `DEFAULT_HEADS`, or all of fewer."""
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
    """Return what a readout chooses from, in the order of `Fitter.score`: heads, or all neurons."""
    widths = grid_widths(grids)
    heads = heads_up_to([*widths], max_layer)
    if not rule.of_neurons:
        return heads
    return [neuron(head, index) for head in heads for index in range(widths[head])]


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


@dataclass(frozen=True, slots=True)
class Fitter:
    """Chooses heads of training examples by a scoring, and fits a readout on them."""

    training: TrainingData
    rule: Readout
    scoring: Scoring

    def choose(
        self,
        tasks: Sequence[TrainingTask],
        counts: Sequence[int],
        *,
        max_layer: int | None = None,
        given: Sequence[Sequence[Head]] | None = None,
        joint: Sequence[int] | None = None,
    ) -> list[ScoredHeads]:
        """Return the `counts` best heads of each task, or those `given`.

        Where parts of a readout have a set of heads each, each set has so many. Tasks of the same
        number in `joint` have the same heads. Where a readout reads the model's own answers, these
        are the last.
        """
        if self.rule.answers == ALONE:
            return self._with_answers([ScoredHeads(task) for task in tasks])
        if given is not None:
            pairs = zip(tasks, given, strict=True)
            return self._with_answers([self.given(task, heads) for task, heads in pairs])
        scores = self.score(tasks, max_layer)
        orders = scores if joint is None else _joint_scores(tasks, scores, joint)
        among = choosable(self.rule, self.training.source.grid, max_layer)
        chosen = []
        for task, of_task, order, count in zip(tasks, scores, orders, counts, strict=True):
            best, members = Ranking.of(order, among).best(count)
            heads = tuple(among[i] for i in best)
            score, margin = (
                tuple(float(of[i]) for i in best) for of in (of_task.score, of_task.margin)
            )
            chosen.append(ScoredHeads(task, heads, score, margin, members))
        return self._with_answers(chosen)

    def score(
        self, tasks: Sequence[TrainingTask], max_layer: int | None = None
    ) -> list[HeadScores]:
        """Return the scores of heads or neurons, in the order of `choosable`, for each task.

        Memory holds the training features of one layer at a time, and one pass serves all tasks.
        """
        training, scoring = self.training, self.scoring
        layers: list[list[HeadScores]] = [[] for _ in tasks]
        versions = [self._versions(task) for task in tasks]
        as_pairs = training.target.tasks_share_rows and scoring.left_out in PAIR_SCORINGS
        as_pairs &= scoring.is_alone and self.rule.score_heads is score_heads
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
                rows = (copier.copy(features, part.rows) for part in parts)
                scores.append(self._of_prompts(parts, heads, rows))
        whole = [with_sets(joined, scores) for scores in layers]
        if scoring.of_all is None:
            return whole
        return [scoring.of_all(one, task.labels) for one, task in zip(whole, tasks, strict=True)]

    def given(self, task: TrainingTask, heads: Sequence[Head]) -> ScoredHeads:
        """Return heads that were chosen elsewhere, in their order, scored on a task."""
        parts = self._versions(task)
        read = chosen_features(self.training, [(tuple(heads), part.rows) for part in parts])
        scores = self._of_prompts(parts, heads, read)
        if self.scoring.of_all is not None:
            scores = self.scoring.of_all(scores, task.labels)
        score, margin = (tuple(of.tolist()) for of in (scores.score, scores.margin))
        return ScoredHeads(task, tuple(heads), score, margin)

    def _versions(self, task: TrainingTask) -> list[TrainingTask]:
        """Return the tasks that heads are scored on: the task, or it under each prompt."""
        if self.scoring.of_prompts is None:
            return [task]
        return self.training.under_prompts(task, self.scoring.name)

    def _of_prompts(
        self, parts: Sequence[TrainingTask], heads: Sequence[Head], features: Iterable[Array]
    ) -> HeadScores:
        """Return the scores of heads each alone, from their `(heads, n, d)` features of parts."""
        scores = [self._score(*one, heads) for one in zip(parts, features, strict=True)]
        of_prompts = self.scoring.of_prompts
        return with_sets(of_prompts, scores) if of_prompts else scores[0]

    def _score(self, task: TrainingTask, features: Array, heads: Sequence[Head]) -> HeadScores:
        rule, scoring, training = self.rule, self.scoring, self.training
        if scoring.score is not None:
            if rule.of_neurons:
                raise SelectionError(
                    f"{scoring.name} scoring looks at whole heads, and readout {rule.name!r}"
                    " chooses neurons; use another `scoring`, or readout"
                )
            return scoring.score(features, task.labels, task.classes)
        texts, widths = text_arguments(training, rule.texts, task, heads), training.widths(heads)
        return training.target.score(rule, features, task, widths, scoring.left_out, **texts)

    def _with_answers(self, chosen: list[ScoredHeads]) -> list[ScoredHeads]:
        if not self.rule.answers:
            return chosen
        wanted = [((ANSWERS_HEAD,), one.task.rows) for one in chosen]
        both = []
        for one, answers in zip(chosen, chosen_in_parts(self.training, wanted), strict=True):
            answer_scores = score_answers(answers, one.task.labels, one.task.classes)
            both.append(
                replace(
                    one,
                    heads=(*one.heads, ANSWERS_HEAD),
                    scores=(*one.scores, *answer_scores.score.tolist()),
                    margins=(*one.margins, *answer_scores.margin.tolist()),
                )
            )
        return both

    def fit(self, chosen: Sequence[ScoredHeads]) -> list[TaskSelection]:
        """Return the tasks with the readout fitted on their heads."""
        rule, training = self.rule, self.training
        wanted = [(one.heads, one.task.rows) for one in chosen]
        tasks = []
        for one, features in zip(chosen, chosen_in_parts(training, wanted), strict=True):
            fitted = self.fit_one(one, features)
            pool = fitted.pool if isinstance(fitted, HeadsFit) and rule.load is None else None
            tasks.append(
                TaskSelection(
                    subtask=one.task.subtask,
                    classes=one.task.classes,
                    written=training.written(one.task) if rule.answers else {},
                    heads=one.heads,
                    strengths=self._strengths(one, features),
                    scores=one.scores,
                    margins=one.margins,
                    examples=len(one.task.rows),
                    question=one.task.question,
                    media=one.task.media,
                    decision=one.task.decision,
                    pool=pool,
                    fitted=fitted,
                )
            )
        return tasks

    def fit_one(self, chosen: ScoredHeads, features: Array) -> Fitted:
        """Return the readout fitted on a task's heads, from their `(heads, rows, d)` features."""
        training, task = self.training, chosen.task
        given: dict[str, ClassTexts | Array] = {}
        given |= text_arguments(training, self.rule.texts, task, chosen.heads)
        if chosen.members is not None:
            given["members"] = chosen.members
        return training.target.fit(
            self.rule, features, task, training.widths(chosen.heads), **given
        )

    @property
    def left_out_alone(self) -> str:
        """What is left out where the right examples of each head alone are counted."""
        is_fitted = not self.rule.texts
        return self.scoring.left_out if is_fitted else "resubstitution"

    @property
    def scores_are_strengths(self) -> bool:
        """Whether scores of heads are strengths, as sums over examples."""
        is_same = self.left_out_alone == self.scoring.left_out
        is_count = self.rule.score_heads in (score_heads, score_neurons)
        is_count &= self.scoring.is_alone and is_same
        return is_count or self.training.target.scores_are_strengths

    def _strengths(self, chosen: ScoredHeads, features: Array) -> tuple[float, ...]:
        """Return the strengths of a task's heads, see `TaskConfig.strengths`."""
        task, scores = chosen.task, np.array(chosen.scores)
        if not len(task.rows):
            return (0.0,) * len(chosen.heads)
        if not self.scores_are_strengths:
            heads = features[: -1 if self.rule.answers else None]
            alone = score_neurons if self.rule.of_neurons else score_heads
            widths = [heads.shape[2]] * len(heads)
            arguments = (task.labels, task.classes, widths, self.left_out_alone)
            of_heads = alone(heads, *arguments).score if len(heads) else []
            scores = np.array([*of_heads, *chosen.scores[len(heads) :]])
        return tuple((scores / len(task.rows)).tolist())


def _joint_scores(
    tasks: Sequence[TrainingTask], scores: Sequence[HeadScores], joint: Sequence[int]
) -> list[HeadScores]:
    """Return for each task the mean scores of heads over those of its number.

    Scores count as shares of the examples.
    """
    means = {}
    for number in dict.fromkeys(joint):
        some = [(t, one) for t, one, n in zip(tasks, scores, joint, strict=True) if n == number]
        means[number] = HeadScores(
            np.mean([one.score / len(task.rows) for task, one in some], axis=0),
            np.mean([one.margin for _, one in some], axis=0),
        )
    return [means[number] for number in joint]


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
