"""The tab Label: which image is next, what a label does, and heads chosen again in the background.

A label is in the store before the next image is shown. What is kept in memory is only which browser
shows which image, and the curve of this run.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import polars as pl

from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.datasets.many_labels import states_unknown, text_of
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.app.choosing import Chosen, Expected, choose_again
from savs.pipeline.app.frames import render_frame
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.suggest import suggest_from_store
from savs.pipeline.evaluation.suspects import load_suspects
from savs.pipeline.inputs.labelling import Labeller, State
from savs.pipeline.reports.pages.charts import Chart, Value, draw_lines
from savs.pipeline.reports.pages.keys import keys_of
from savs.pipeline.reports.pages.pictures import Picture, open_images
from savs.pipeline.running.formatting import measured, measured_interval
from savs.pipeline.targets import Target, target_of
from savs.stores import FeatureStore
from savs.stores.format.layout import UNLABELLED

EVERY = 10
"""Labels after which heads are chosen again."""
QUEUE = 20
"""Examples that are suggested at a time: of more, the first would be less unsure."""
SIDE_PX = 640
"""Largest width and height of the image to label."""
UNSURE, DOUBTFUL = "unsure", "doubtful"
"""Which examples are shown: those that the classifier should be taught next, or suspects."""


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


@dataclass(slots=True)
class Session:
    """What one browser did; lost with its page, the labels are not."""

    browser: str
    passed: list[str] = field(default_factory=list)
    """Examples that were skipped or confirmed."""
    labelled: list[tuple[Waiting, State]] = field(default_factory=list)
    """Examples that it labelled, as it displayed them, and as its labels left them: for undo."""
    displayed: dict[str, Waiting] = field(default_factory=dict)
    """Id -> example as it displayed it last."""
    undone: Waiting | None = None
    """The example whose label was just taken back: it is next."""


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
        self._queues: dict[tuple[str, str | None], list[Waiting]] = {}
        self._labelled: set[str] = set()
        """Examples that were labelled here: a queue that was made before may have them."""
        self._displayed: dict[str, str] = {}
        """Browser -> the example that it displays."""
        self._classes: defaultdict[str | None, dict[str, None]] = defaultdict(dict)
        """Subtask -> its classes, in the order of their keys."""
        self._typed: set[str] = set()
        """Classes that were typed, and may have no example yet."""
        self._new = 0
        """Labels since heads were last chosen."""
        self._again = False
        """Whether that is to be done once more."""

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
        """Add a class that has no example yet; return a message for the browser, if any.

        Raises
        ------
        ParameterError
            There is no name, or none of a level.
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
                return f"{same} is a class already"
            self._classes[subtask][name] = None
            self._typed.add(name)
            return ""

    def next(self, session: Session, kind: str, subtask: str | None) -> Waiting | None:
        """Return the first example of the queue that no other browser displays; None without any.

        Raises
        ------
        SelectionError, StoreError
            The queue cannot be made.
        """
        with self._turn:
            self._displayed.pop(session.browser, None)
            waiting = self._first(session, self._queues.get((kind, subtask), ()))
            if waiting is None:  # what was suggested is labelled, passed, or displayed elsewhere
                hidden = len(session.passed) + len(self._displayed)
                fresh = queue_of(self.workspace, kind, subtask, QUEUE + hidden)
                self._queues[kind, subtask] = fresh
                waiting = self._first(session, fresh)
            if waiting is not None:
                self._displayed[session.browser] = waiting.id
                session.displayed[waiting.id] = waiting
            return waiting

    def _first(self, session: Session, queue: Sequence[Waiting]) -> Waiting | None:
        hidden = {*self._displayed.values(), *self._labelled, *session.passed}
        return session.undone or next((one for one in queue if one.id not in hidden), None)

    def forget(self, browser: str) -> None:
        """Let others have the example that a browser displayed, which was closed."""
        with self._turn:
            self._displayed.pop(browser, None)

    # What a click does.

    def give(self, session: Session, identifier: str, label: str | Sequence[str]) -> str:
        """Write a label into the store; return a message for the browser, if any.

        An example that is not as this browser displayed it, because somebody else labelled it,
        stays so. Of many labels `label` are those that are there; others that were unknown stay
        unknown.

        Raises
        ------
        ParameterError
            The browser did not display it.
        """
        waiting = session.displayed.get(identifier)
        if waiting is None:
            raise ParameterError(f"{identifier!r} is not on this page; label the image that is")
        names = [label] if isinstance(label, str) else list(label)
        if not isinstance(label, str):
            unknown = states_unknown(waiting.label)
            label = text_of({**dict.fromkeys(unknown), **dict.fromkeys(names, True)})
        with self._turn:
            session.undone = None
            outcome = self._open().give(
                {identifier: label},
                new_classes=not self._typed.isdisjoint(names),
                seen={identifier: (waiting.split, waiting.label)},
            )
            self._labelled.add(identifier)
            if outcome.taken:
                return f"{identifier} was labelled meanwhile, and keeps that label"
            if not outcome.changes.height:
                session.passed.append(identifier)
                return ""
            split, text = outcome.changes.select("split", "label").row(0)
            session.labelled.append((waiting, (split, text)))
            self._new += 1
            is_due = self._new >= EVERY
        if is_due:
            self.fit()
        return ""

    def skip(self, session: Session, identifier: str) -> str:
        """Do not show an example again in this browser; there is nothing to tell."""
        session.undone = None
        session.passed.append(identifier)
        return ""

    def undo(self, session: Session) -> str:
        """Take back the last label of this browser, and show its example again.

        A label that somebody else gave it since stays. Return a message for the browser, if any.
        """
        with self._turn:
            if not session.labelled:
                return "there is no label of this page to take back"
            waiting, given = session.labelled.pop()
            outcome = self._open().give({waiting.id: waiting.label}, seen={waiting.id: given})
            if outcome.taken:
                return f"{waiting.id} was labelled again meanwhile, and keeps that label"
            self._labelled.discard(waiting.id)
            session.undone = waiting
            return ""

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
        fitted = Chosen(problem="choosing heads failed; the terminal says why")
        queues: dict[tuple[str, str | None], list[Waiting]] = {}
        try:
            with self.workspace.saving:
                fitted = choose_again(self.workspace)
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
                self._queues = queues
                self._labeller = None  # examples may have been appended meanwhile
                again = self._again
            if again:
                self.fit()


def queue_of(
    workspace: Workspace, kind: str, subtask: str | None, count: int = QUEUE
) -> list[Waiting]:
    """Return `count` examples of a subtask that wait for a label, the most useful first.

    Test examples with a label are none of them: what they are for would be lost.

    Raises
    ------
    SelectionError
        Suspects are wanted, and heads were not chosen here.
    """
    store = workspace.store()
    selection = workspace.selection() if workspace.result.is_selected else None
    if kind == DOUBTFUL:
        table = None if selection is None else load_suspects(workspace.folder)
        if table is None:
            raise SelectionError("doubtful labels are not known yet; press Choose heads now")
        rows = store.examples("train").select(COLUMNS)
        predictions = _one_per_image(store, _of_subtask(table, subtask))
    else:
        rows = store.examples().select(COLUMNS).filter(pl.col("split").is_in((UNLABELLED, "test")))
        rows = _of_subtask(rows, subtask).filter(pl.col("label").is_null())
        if not rows.height:
            return []
        if selection is not None and subtask not in (None, *(t.subtask for t in selection.tasks)):
            selection = None  # heads were chosen before this subtask had labels
        table = suggest_from_store(store, selection, count, subtask=subtask).table
        predictions = table.select(pl.nth(0).alias("id"), "prediction")  # ids have a user's name
    rows = _one_per_image(store, rows.with_columns(pl.col("prompt").fill_null(""), row="id"))
    waiting = predictions.select("id", "prediction").join(rows, on="id", maintain_order="left")
    return [Waiting(**row) for row in waiting.iter_rows(named=True)]


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
    """Return the page of the next example, below a message."""
    waiting = labelling.next(session, kind, subtask)
    classes, store = labelling.classes(subtask), labelling.store()
    target = labelling.target()
    pictures: Sequence[Picture] = ()
    if waiting is not None:
        root = labelling.workspace.media_root
        images = open_images(store, waiting.split, [waiting.row], root, side=SIDE_PX)
        pictures = images.find(waiting.row, waiting.media)
    return render_frame(
        "label.html",
        waiting=waiting,
        pictures=pictures,
        classes=list(zip_longest(classes, keys_of(classes), fillvalue="")),
        message=labelling.workspace.spelled(message),
        labelled=len(session.labelled),
        kind=kind,
        given_as=target.given_as,
        label=target.named(waiting and waiting.label),
        prediction=target.named(waiting and waiting.prediction),
        unknown=dict.fromkeys(target.unknown(waiting and waiting.label)),
    )


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
