"""The tab Label: which image is next, what a label does, and heads chosen again in the background.

A label is in the store before the next image is shown. What is kept in memory is only which browser
shows which image, and the curve of this run.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import polars as pl

from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.app.choosing import Chosen, Expected, choose_again
from savs.pipeline.app.frames import render_frame
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.suggest import most_alike, suggest_from_store
from savs.pipeline.evaluation.suspects import load_suspects
from savs.pipeline.inputs.labelling import Labeller, State
from savs.pipeline.reports.pages.charts import Chart, Value, draw_lines
from savs.pipeline.reports.pages.keys import keys_of
from savs.pipeline.reports.pages.pictures import Picture, open_images
from savs.pipeline.running.formatting import listed, measured, measured_interval
from savs.pipeline.selection.selection import Selection
from savs.pipeline.targets import Target, target_of
from savs.stores import FeatureStore
from savs.stores.format.layout import UNLABELLED

EVERY = 10
"""Labels after which heads are chosen again."""
QUEUE = 20
"""Examples that are suggested at a time: of more, the first would be less unsure."""
SIDE_PX, SMALL_PX = 480, 176
"""Largest width and height of the image to label, and of each of many."""
BATCH = 24
"""Examples that are shown at once, to label many."""
DUPLICATE = 0.995
"""Likeness, a mean cosine of heads, from which two examples are likely of the same thing."""
UNSURE, BATCHES, DOUBTFUL = "unsure", "many", "doubtful"
"""What is shown: the example that the classifier should be taught next, many alike ones at once, or
suspects."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An example that waits for a label."""

    id: str
    """What labels name: an image under several prompts has one."""
    row: str
    """Its id in the store."""
    split: str
    media: Sequence[str]
    prompt: str
    subtask: str | None
    label: str | None
    """The one that is doubtful."""
    prediction: str | None
    likeness: float | None = None
    """How much it is like the one before it, among alike ones."""


@dataclass(slots=True)
class Session:
    """What one browser did; lost with its page, the labels are not."""

    browser: str
    passed: list[str] = field(default_factory=list)
    """Examples that were skipped or confirmed."""
    labelled: list[list[tuple[Waiting, State]]] = field(default_factory=list)
    """Examples that it labelled together, as it displayed them, and as its labels left them: for
    undo."""
    displayed: dict[str, Waiting] = field(default_factory=dict)
    """Id -> example as it displayed it last."""
    undone: list[Waiting] = field(default_factory=list)
    """Examples whose labels were just taken back: they are next."""
    batch: list[Waiting] = field(default_factory=list)
    """Alike examples that it displays at once."""

    @property
    def given(self) -> int:
        """How many labels it gave."""
        return sum(map(len, self.labelled))


@dataclass(slots=True)
class Fits:
    """How choosing heads goes."""

    version: int = 0
    """Grows with each change, so that a page knows when to draw it again."""
    running: bool = False
    seconds: float = 0.0
    problem: str = ""
    curve: list[Expected] = field(default_factory=list)
    """What each classifier of this run is expected to reach, in the order of their making."""


class Labelling:
    """The labels of a store, given by one browser or several."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.fits = Fits()
        self._turn = threading.RLock()
        self._labeller: Labeller | None = None
        self._queues: dict[tuple[str, str | None], Queue] = {}
        self._labelled: set[str] = set()
        """Examples that were labelled here: a queue that was made before may have them."""
        self._displayed: dict[str, set[str]] = {}
        """Browser -> the examples that it displays."""
        self._classes: defaultdict[str | None, dict[str, None]] = defaultdict(dict)
        """Subtask -> its classes, in the order of their keys."""
        self._typed: set[str] = set()
        """Classes that were typed, and may have no example yet."""
        self._new = 0
        """Labels since heads were last chosen."""
        self._again = False
        """Whether that is to be done once more."""
        self._measured: Evaluation | None = None
        """The classifier that the next one is compared with."""

    # What is shown.

    def parts(self) -> list[str]:
        """Return the subtasks of the store, if it has several that are labelled by themselves."""
        store = self.workspace.store()
        if stored_prompts(store.manifest.identity.benchmark):
            return []
        names = store.examples()["subtask"].drop_nulls().unique(maintain_order=True).to_list()
        return names if len(names) > 1 else []

    def classes(self, subtask: str | None) -> list[str]:
        """Return the classes of a subtask; new ones last, so that no key changes its class."""
        with self._turn:
            self._open()
            parts = [subtask] if subtask is not None else [*self._classes]
            return list(dict.fromkeys([name for part in parts for name in self._classes[part]]))

    def target(self) -> Target:
        """Return what labels are."""
        return target_of(self.workspace.store().manifest.identity.benchmark)

    def store(self) -> FeatureStore:
        """Return the store as it was when the last label was given."""
        with self._turn:
            return self._open().store

    def _open(self) -> Labeller:
        """Return what writes labels; the examples and classes of the store are read once."""
        if self._labeller is None:
            self._labeller = Labeller(self.workspace.store())
            for part, names in self._labeller.classes.items():
                for name in sorted(names):
                    self._classes[part].setdefault(name)
            store = self._labeller.store
            levels = self.target().levels(store.examples()["label"])
            if levels:
                self._classes[None].update(dict.fromkeys(levels))
        return self._labeller

    def add_class(self, text: str, subtask: str | None) -> str:
        """Add a class that has no example yet, if there is none like it; return its name.

        ParameterError if there is no name, or none of a level.
        """
        name = " ".join(text.split())
        if not name:
            raise ParameterError("type the name of the new class")
        if reason := self.target().wrong_name(name):
            raise ParameterError(f"{name!r} is no level: {reason}")
        with self._turn:
            known = self.classes(subtask)
            same = next((one for one in known if one.casefold() == name.casefold()), None)
            if same is not None:
                return same
            self._classes[subtask][name] = None
            self._typed.add(name)
            return name

    def next(self, session: Session, kind: str, subtask: str | None) -> Waiting | None:
        """Return the first example of the queue that no other browser displays; None without any.

        SelectionError or StoreError if the queue cannot be made.
        """
        with self._turn:
            self._displayed.pop(session.browser, None)
            undone = [one for one in session.undone if is_shown_as(one, kind, subtask)]
            waiting = self._first(session, [*undone, *self._queue(kind, subtask).examples])
            if waiting is None:  # what was suggested is labelled, passed, or displayed elsewhere
                hidden = len(session.passed) + sum(map(len, self._displayed.values()))
                fresh = queue_of(self.workspace, kind, subtask, QUEUE + hidden)
                self._queues[kind, subtask] = fresh
                waiting = self._first(session, fresh.examples)
            self._display(session, [] if waiting is None else [waiting])
            return waiting

    def next_batch(self, session: Session, subtask: str | None) -> list[Waiting]:
        """Return alike examples: what is left of those that this browser displayed, else others.

        Errors as in `next`.
        """
        with self._turn:
            self._displayed.pop(session.browser, None)
            hidden = self._hidden(session)
            undone = [one for one in session.undone if is_shown_as(one, BATCHES, subtask)]
            batch = undone + [
                one
                for one in session.batch
                if one.id not in hidden and one not in undone and is_shown_as(one, BATCHES, subtask)
            ]
            if not batch:
                waiting = self._queue(BATCHES, subtask).waiting - hidden
                batch = batch_of(self.workspace, subtask, waiting)
            session.batch = batch
            self._display(session, batch)
            return batch

    def left(self, session: Session, kind: str, subtask: str | None) -> tuple[int, int]:
        """Return how many examples this browser has left, and with those that it had."""
        with self._turn:
            passed = set(session.passed)
            had = passed.union(one.id for group in session.labelled for one, _ in group)
            done = [
                one
                for one in session.displayed.values()
                if one.id in had and is_shown_as(one, kind, subtask)
            ]
            left = len(self._queue(kind, subtask).waiting - self._labelled - passed)
            return left, left + len(done)

    def _queue(self, kind: str, subtask: str | None) -> "Queue":
        if (kind, subtask) not in self._queues:
            self._queues[kind, subtask] = queue_of(self.workspace, kind, subtask)
        return self._queues[kind, subtask]

    def _hidden(self, session: Session) -> set[str]:
        elsewhere = set[str]().union(*self._displayed.values())
        return {*elsewhere, *self._labelled, *session.passed}

    def _first(self, session: Session, queue: Sequence[Waiting]) -> Waiting | None:
        hidden = self._hidden(session)
        return next((one for one in queue if one.id not in hidden), None)

    def _display(self, session: Session, examples: Sequence[Waiting]) -> None:
        self._displayed[session.browser] = {one.id for one in examples}
        session.displayed |= {one.id: one for one in examples}

    def forget(self, browser: str) -> None:
        """Let others have the example that a browser displayed, which was closed."""
        with self._turn:
            self._displayed.pop(browser, None)

    # What a click does.

    def give(self, session: Session, identifiers: Sequence[str], label: str | Sequence[str]) -> str:
        """Write a label of some examples into the store; return a message, if any.

        An example that is not as this browser displayed it, because somebody else labelled it,
        stays so. Of many labels `label` are those that are there; others that were unknown stay
        unknown.

        ParameterError if the browser did not display one.
        """
        if absent := [name for name in identifiers if name not in session.displayed]:
            raise ParameterError(f"{absent[0]!r} is not on this page; label the image that is")
        examples = [session.displayed[name] for name in identifiers]
        names = [label] if isinstance(label, str) else list(label)
        label = self.target().given(label, [one.label for one in examples])
        with self._turn:
            session.undone = [one for one in session.undone if one not in examples]
            outcome = self._open().give(
                dict.fromkeys(identifiers, label),
                new_classes=not self._typed.isdisjoint(names),
                seen={one.id: (one.split, one.label) for one in examples},
            )
            self._labelled.update(identifiers)
            states = {row: state for row, *state in outcome.changes["id", "split", "label"].rows()}
            changed = [
                (one, (state[0], state[1]))
                for one in examples
                if (state := states.get(one.id, states.get(one.row))) is not None
            ]
            taken = taken_of(examples, outcome.taken)
            kept = {*taken, *(one.id for one, _ in changed)}
            session.passed += [name for name in identifiers if name not in kept]
            if changed:
                session.labelled.append(changed)
            self._new += len(changed)
            is_due = self._new >= EVERY
        if is_due:
            self.fit()
        return taken_note(taken, "labelled")

    def give_new(
        self, session: Session, identifiers: Sequence[str], text: str, subtask: str | None
    ) -> str:
        """Label some examples by a class that is typed; of many labels it is one more to mark.

        Errors as in `add_class` and `give`.
        """
        name = self.add_class(text, subtask)
        is_class = self.target().given_as == "class"
        return self.give(session, identifiers, name) if is_class and identifiers else ""

    def skip(self, session: Session, identifiers: Sequence[str]) -> str:
        """Do not show some examples again in this browser; there is nothing to tell."""
        session.undone = [one for one in session.undone if one.id not in identifiers]
        session.passed += identifiers
        return ""

    def undo(self, session: Session) -> str:
        """Take back what this browser labelled last, and show it again.

        A label that somebody else gave since stays. Return a message for the browser, if any.
        """
        with self._turn:
            if not session.labelled:
                return "there is no label of this page to take back"
            examples = session.labelled.pop()
            outcome = self._open().give(
                {one.id: one.label for one, _ in examples},
                seen={one.id: state for one, state in examples},
            )
            taken = taken_of([one for one, _ in examples], outcome.taken)
            back = [one for one, _ in examples if one.id not in taken]
            self._labelled -= {one.id for one in back}
            session.undone = back
            return taken_note(taken, "labelled again")

    # Heads that are chosen again.

    def begin(self) -> None:
        """Begin the curve with the classifier that is there; one that lacks labels is made anew."""
        with self._turn:
            is_begun = self.fits.running or self.fits.curve
        if not is_begun and self.workspace.result.is_selected:
            self.fit()

    def fit(self) -> None:
        """Choose heads again in the background; if that is going on, once more after it."""
        with self._turn:
            self._new = 0
            self._again = self.fits.running
            if self._again:
                return
            self.fits.running = True
            self.fits.version += 1
        threading.Thread(target=self._fit, name="savs fit", daemon=True).start()

    def _fit(self) -> None:
        started = time.monotonic()
        fitted = Chosen(problem="training failed; the terminal says why")
        queues: dict[tuple[str, str | None], Queue] = {}
        try:
            with self.workspace.saving:
                fitted = choose_again(self.workspace, self._measured)
            queues |= {key: queue_of(self.workspace, *key) for key in [*self._queues]}
        except SavsError as error:
            fitted = replace(fitted, problem=str(error))
        finally:
            with self._turn:
                self.fits.running = False
                self.fits.version += 1
                self.fits.problem = fitted.problem
                self.fits.seconds = time.monotonic() - started
                if fitted.expected is not None:
                    self.fits.curve.append(fitted.expected)
                    self._measured = fitted.evaluation
                self._queues = queues
                self._labeller = None  # examples may have been appended meanwhile
                again = self._again
            if again:
                self.fit()


@dataclass(frozen=True, slots=True)
class Queue:
    """Examples that wait for a label."""

    examples: list[Waiting]
    """The most useful first; not all of them."""
    waiting: frozenset[str]
    """Ids of all."""


def is_shown_as(one: Waiting, kind: str, subtask: str | None) -> bool:
    """Return whether an example has a kind and a subtask: only doubtful ones have a label."""
    return (one.label is not None) == (kind == DOUBTFUL) and subtask in (None, one.subtask)


def taken_of(examples: Sequence[Waiting], taken: Collection[str]) -> list[str]:
    """Return the ids of the examples that others labelled meanwhile."""
    return [one.id for one in examples if not {one.id, one.row}.isdisjoint(taken)]


def taken_note(names: Sequence[str], done: str) -> str:
    """Return that others labelled some examples meanwhile; nothing without any."""
    if not names:
        return ""
    were, keep = ("was", "keeps that label") if len(names) == 1 else ("were", "keep those labels")
    return f"{listed(names)} {were} {done} meanwhile, and {keep}"


def queue_of(workspace: Workspace, kind: str, subtask: str | None, count: int = QUEUE) -> Queue:
    """Return examples of a subtask that wait for a label, `count` of them the most useful first.

    Test examples with a label are none of them: what they are for would be lost.

    SelectionError if suspects are wanted, and heads were not chosen here.
    """
    store = workspace.store()
    if kind == DOUBTFUL:
        table = load_suspects(workspace.folder) if workspace.result.is_selected else None
        if table is None:
            raise SelectionError("doubtful labels are not known yet; press Retrain")
        rows = store.examples("train").select(COLUMNS)
        predictions = _one_per_image(store, _of_subtask(table, subtask))
    else:
        selection = _selection_of(workspace, subtask)
        rows = _waiting(store, subtask)
        if kind == BATCHES or not rows.height:
            return Queue([], frozenset(_one_per_image(store, rows)["id"]))
        table = suggest_from_store(store, selection, count, subtask=subtask).table
        predictions = table.select(pl.nth(0).alias("id"), "prediction")  # ids have a user's name
    rows = _one_per_image(store, rows.with_columns(pl.col("prompt").fill_null(""), row="id"))
    examples = predictions.select("id", "prediction").join(rows, on="id", maintain_order="left")
    waiting = examples["id"] if kind == DOUBTFUL else rows["id"]
    return Queue([Waiting(**row) for row in examples.iter_rows(named=True)], frozenset(waiting))


def batch_of(workspace: Workspace, subtask: str | None, waiting: Collection[str]) -> list[Waiting]:
    """Return some of the examples that wait, alike ones together, with what they are predicted."""
    store = workspace.store()
    rows = _waiting(store, subtask).with_columns(pl.col("prompt").fill_null(""), row="id")
    rows = _one_per_image(store, rows).filter(pl.col("id").is_in(list(waiting)))
    if not rows.height:
        return []
    split = rows["split"][0]
    names = rows.filter(split=split)["row"].to_list()
    selection = _selection_of(workspace, subtask)
    alike = most_alike(store, selection, split, names, BATCH, subtask=rows["subtask"][0])
    batch = alike.rename({"id": "row"}).join(rows, on="row", maintain_order="left")
    return [Waiting(**row) for row in batch.iter_rows(named=True)]


def _selection_of(workspace: Workspace, subtask: str | None) -> Selection | None:
    """Return the classifier, if it was made of this subtask."""
    can_guess = workspace.result.is_selected or workspace.is_asked
    selection = workspace.selection() if can_guess else None
    if selection is None or subtask in (None, *(task.subtask for task in selection.tasks)):
        return selection
    return None  # heads were chosen before this subtask had labels


def _waiting(store: FeatureStore, subtask: str | None) -> pl.DataFrame:
    """Return the rows of a subtask without a label."""
    rows = store.examples().select(COLUMNS).filter(pl.col("split").is_in((UNLABELLED, "test")))
    return _of_subtask(rows, subtask).filter(pl.col("label").is_null())


COLUMNS = ("id", "split", "media", "prompt", "subtask", "label")


def _of_subtask(rows: pl.DataFrame, subtask: str | None) -> pl.DataFrame:
    """Return the rows of a subtask, all for None."""
    return rows if subtask is None else rows.filter(pl.col("subtask") == subtask)


def _one_per_image(store: FeatureStore, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in which an image under several prompts is one, by the id that labels name."""
    if not stored_prompts(store.manifest.identity.benchmark):
        return rows
    rows = rows.with_columns(without_prompt(rows["id"]))
    return rows.unique("id", keep="first", maintain_order=True)


def curve_of(expected: Sequence[Expected], metric: str) -> Chart:
    """Return the chart of a metric by number of labels; equal numbers lie at one x."""
    expected = sorted(expected, key=lambda one: one.labels)  # labels can be taken back
    values = [
        Value(
            one.labels,
            one.value,
            one.low,
            one.high,
            f"{one.labels:,} examples: {measured(one.value, one.scale)}"
            f" ({measured_interval(one.low, one.high, one.scale)})",
        )
        for one in expected
    ]
    ticks = [(one.labels, f"{one.labels:,}") for one in (expected[0], expected[-1])]
    are_shares = expected[0].scale == "share"
    title, lines = f"Expected {metric}" + ", %" * are_shares, {"": values}
    return draw_lines(title, "training examples", ticks, lines, are_shares=are_shares)


# The page.


def label_page(
    labelling: Labelling, session: Session, kind: str, subtask: str | None, message: str = ""
) -> str:
    """Return the page of the next example, or of many alike ones, below a message."""
    target = labelling.target()
    if kind == BATCHES:
        examples = labelling.next_batch(session, subtask)
    else:
        waiting = labelling.next(session, kind, subtask)
        examples = [] if waiting is None else [waiting]
    classes, left = labelling.classes(subtask), labelling.left(session, kind, subtask)
    shown = list(zip(examples, _pictures(labelling, examples, kind), strict=True))
    first = examples[0] if examples else None
    label = first.label if first else None
    guess = first.prediction if first else None
    return render_frame(
        "label.html",
        waiting=first,
        shown=shown,
        classes=list(zip_longest(classes, keys_of(classes), fillvalue="")),
        message=labelling.workspace.spelled(message),
        left=left,
        labelled=session.given,
        kind=kind,
        duplicate=DUPLICATE,
        given_as=target.given_as,
        label=target.named(label),
        prediction=target.named(guess),
        unknown=dict.fromkeys(target.unknown(label)),
    )


def _pictures(
    labelling: Labelling, examples: Sequence[Waiting], kind: str
) -> list[Sequence[Picture]]:
    """Return the pictures of each example."""
    side = SMALL_PX if kind == BATCHES else SIDE_PX
    store, root = labelling.store(), labelling.workspace.media_root
    names = [one.row for one in examples]
    images = {  # what was taken back may be of another split than the rest
        split: open_images(store, split, names, root, side=side)
        for split in {one.split for one in examples}
    }
    return [images[one.split].find(one.row, one.media) for one in examples]


def fits_page(labelling: Labelling) -> str:
    """Return the page of the curve, and of what goes on."""
    fits, metric = labelling.fits, labelling.workspace.metric()
    return render_frame(
        "fits.html",
        fits=fits,
        problem=labelling.workspace.spelled(fits.problem),
        chart=curve_of(fits.curve, metric) if len(fits.curve) > 1 else None,
        every=EVERY,
        metric=metric,
    )
