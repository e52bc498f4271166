"""The tab Label: which image is next, what a label does, and heads chosen again in the background.

A label is in the store before the next image is shown. What is kept in memory is only which browser
shows which image, and the curve of this run.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import polars as pl

from savs.datasets.benchmarks.options import stored_prompts, without_prompt
from savs.foundation.errors import ParameterError, SavsError
from savs.pipeline.app.answers import HERE, SCRIPT
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.errors import SelectionError
from savs.pipeline.evaluation.cross_validation import assess_left_out
from savs.pipeline.evaluation.suggest import suggest
from savs.pipeline.evaluation.suspects import SUSPECTS, load_suspects, save_suspects, suspects
from savs.pipeline.inputs.labelling import Labeller
from savs.pipeline.reports.pages.pictures import Picture, open_images
from savs.pipeline.reports.pages.rendering import render
from savs.pipeline.running.result_files import whole_result
from savs.pipeline.selection.left_out import calibrate
from savs.pipeline.selection.selection import Selection, select
from savs.pipeline.selection.selection_file import save_selection
from savs.pipeline.selection.training_data import train_digest
from savs.stores import FeatureStore
from savs.stores.format.layout import UNLABELLED

EVERY = 10
"""Labels after which heads are chosen again."""
QUEUE = 20
"""Examples that are suggested at a time: of more, the first would be less unsure."""
KEYS = "1234567890"
"""Keys of the first classes."""
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
    media: tuple[str, ...]
    prompt: str
    subtask: str | None
    label: str | None
    """The one that is doubtful."""
    prediction: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """What a classifier of so many labels is expected to reach."""

    labels: int
    value: float
    low: float
    high: float


@dataclass(slots=True)
class Session:
    """What one browser did; lost with its page, the labels are not."""

    browser: str
    seen: list[str] = field(default_factory=list)
    """Examples that were skipped or confirmed."""
    given: list[tuple[str, str | None]] = field(default_factory=list)
    """Examples that it labelled, for undo, with the labels that they had."""
    shown: dict[str, Waiting] = field(default_factory=dict)
    """Those that it was shown."""
    back: Waiting | None = None
    """The example whose label was just taken back: it is shown again."""
    turn: int = 0


@dataclass(slots=True)
class Fits:
    """How choosing heads goes."""

    version: int = 0
    """Grows with each change, so that a page knows when to draw it again."""
    running: bool = False
    seconds: float = 0.0
    """Time that the last one took."""
    problem: str = ""
    points: list[Point] = field(default_factory=list)


class Labelling:
    """The labels of a store, given by one browser or several.

    Parameters
    ----------
    workspace
        The store and its classifier.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.fits = Fits()
        self._turn = threading.RLock()
        self._labeller: Labeller | None = None
        self._queues: dict[tuple[str, str | None], list[Waiting]] = {}
        self._done: set[str] = set()
        """Examples that were labelled since the queues were made."""
        self._shown: dict[str, str] = {}
        """Browser -> the example that it shows."""
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

    def store(self) -> FeatureStore:
        """Return the store as it was when the last label was given."""
        with self._turn:
            return self._open().store

    def _open(self) -> Labeller:
        """Return what writes labels; the examples and classes of the store are read once."""
        if self._labeller is None:
            store = self.workspace.store()
            labelled = [
                store.examples(split).select("subtask", "label").drop_nulls("label")
                for split in ("train", "test")
                if store.ids(split)
            ]
            for rows in labelled:
                for part, name in rows.unique().sort("label").iter_rows():
                    self._classes[part].setdefault(name)
            self._labeller = Labeller(store)
        return self._labeller

    def add_class(self, text: str, subtask: str | None) -> str:
        """Add a class that has no example yet; return what the browser should be told, if anything.

        Raises
        ------
        ParameterError
            There is no name.
        """
        name = " ".join(text.split())
        if not name:
            raise ParameterError("type the name of the new class")
        with self._turn:
            known = self.classes(subtask)
            same = next((one for one in known if one.casefold() == name.casefold()), None)
            if same is not None:
                return f"{same} is a class already"
            self._classes[subtask][name] = None
            self._typed.add(name)
            return ""

    def next(self, session: Session, kind: str, subtask: str | None) -> Waiting | None:
        """Return the first example of the queue that no other browser shows; None if all is done.

        Raises
        ------
        SelectionError, StoreError
            The queue cannot be made.
        """
        with self._turn:
            self._shown.pop(session.browser, None)
            waiting = self._first(session, self._queue(kind, subtask))
            if waiting is None:  # all that was suggested is done, skipped, or shown elsewhere
                passed = len(session.seen) + len(self._shown)
                fresh = queue_of(self.workspace, kind, subtask, QUEUE + passed)
                self._queues[kind, subtask] = fresh
                waiting = self._first(session, fresh)
            if waiting is not None:
                self._shown[session.browser] = waiting.id
                session.shown[waiting.id] = waiting
            session.turn += 1
            return waiting

    def _first(self, session: Session, queue: Sequence[Waiting]) -> Waiting | None:
        hidden = {*self._shown.values(), *self._done, *session.seen}
        return session.back or next((one for one in queue if one.id not in hidden), None)

    def forget(self, browser: str) -> None:
        """Let others have the example that a browser showed, which was closed."""
        with self._turn:
            self._shown.pop(browser, None)

    def _labeller_now(self) -> Labeller:
        if self._labeller is None:
            self._labeller = Labeller(self.workspace.store())
        return self._labeller

    def _queue(self, kind: str, subtask: str | None) -> list[Waiting]:
        if (kind, subtask) not in self._queues:
            self._queues[kind, subtask] = queue_of(self.workspace, kind, subtask)
        return self._queues[kind, subtask]

    # What a click does.

    def give(self, session: Session, identifier: str, label: str, was: str | None = None) -> str:
        """Write a label into the store; return what the browser should be told, if anything.

        A label that is there already stays, unless it is the one that the browser showed, `was`.
        """
        with self._turn:
            session.back = None
            done = self._open().give(
                {identifier: label},
                new_classes=label in self._typed,
                replace=was is not None and self._label_of(identifier) == was,
            )
            self._done.add(identifier)
            if done.taken:
                return f"{identifier} was labelled meanwhile, and keeps that label"
            if not done.changes.height:
                session.seen.append(identifier)
                return ""
            session.given.append((identifier, was))
            self._new += 1
            is_due = self._new >= EVERY
        if is_due:
            self.fit()
        return ""

    def _label_of(self, identifier: str) -> str | None:
        """Return the label of a training example, of an image under several prompts, too."""
        rows = self.store().examples("train").select("id", "label")
        found = rows.filter(pl.col("id").is_in([identifier, f"{identifier}#1"]))["label"]
        return found[0] if len(found) else None

    def skip(self, session: Session, identifier: str) -> str:
        """Do not show an example again in this browser; there is nothing to tell."""
        session.back = None
        session.seen.append(identifier)
        return ""

    def undo(self, session: Session) -> str:
        """Take back the last label of this browser, and show its example again."""
        with self._turn:
            if not session.given:
                return "there is no label of this page to take back"
            identifier, was = session.given.pop()
            self._open().give({identifier: was})
            self._done.discard(identifier)
            session.back = session.shown.get(identifier)
            return ""

    # Heads that are chosen again.

    def begin(self) -> None:
        """Begin the curve with the classifier that is there; one that lacks labels is made anew."""
        with self._turn:
            is_begun = self.fits.running or self.fits.points
        if not is_begun and self.workspace.has_selection():
            self.fit()

    def fit(self) -> None:
        """Choose heads again in the background; where that is going on, after it."""
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
        chosen = Chosen(problem="choosing heads failed; the terminal says why")
        queues: dict[tuple[str, str | None], list[Waiting]] = {}
        try:
            with self.workspace.saving:
                chosen = choose_again(self.workspace)
            queues |= {key: queue_of(self.workspace, *key) for key in [*self._queues]}
        except SavsError as error:
            chosen = replace(chosen, problem=str(error))
        finally:
            with self._turn:
                self.fits.running = False
                self.fits.version += 1
                self.fits.problem = chosen.problem
                self.fits.seconds = time.monotonic() - started
                if chosen.point is not None:
                    self.fits.points.append(chosen.point)
                self._queues = queues
                self._labeller = None  # examples may have been appended meanwhile
                again = self._again
            if again:
                self.fit()


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of choosing heads."""

    point: Point | None = None
    problem: str = ""


def choose_again(workspace: Workspace) -> Chosen:
    """Choose heads, fit and calibrate as `savs select --suspects` does, and save the classifier.

    The readout, the scoring and the number of heads are those of the classifier that is there. It
    is measured alone, and stays as it is, where it was made from the labels as they are.

    Raises
    ------
    SelectionError, StoreError
        The examples are too few, or cannot be read, or the classifier cannot be written.
    """
    store = workspace.store()
    before = workspace.selection() if workspace.has_selection() else None
    is_new = before is None or before.train != train_digest(store)
    selection = _like(store, before) if is_new or before is None else before
    evaluation, point, problem = None, None, ""
    try:
        calibrated = calibrate(store, selection)
        selection = calibrated.selection if is_new else selection
        evaluation = assess_left_out(store, selection, calibrated.left_out)
    except SelectionError as error:
        problem = f"No accuracy is known yet: {error}"
    labels = sum(task.examples for task in selection.tasks)
    if evaluation is not None and (metric := evaluation.metrics[0]).low is not None:
        point = Point(labels, metric.value, metric.low, metric.high or metric.value)
    with whole_result(workspace.folder):
        if is_new:
            save_selection(selection, workspace.folder)
        if evaluation is None:
            (workspace.folder / SUSPECTS).unlink(missing_ok=True)
        else:
            save_suspects(suspects(store, selection, evaluation), workspace.folder)
    return Chosen(point, problem)


def _like(store: FeatureStore, before: Selection | None) -> Selection:
    """Return a selection that is made as an earlier one was, or by default."""
    if before is None:
        return select(store)
    heads = before if before.heads_from is not None else len(before.tasks[0].heads)
    return select(
        store,
        heads=heads,
        readout=before.rule,
        scoring=before.scoring,
        max_layer=before.max_layer,
    )


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
    if kind == DOUBTFUL:
        return _suspects(workspace, store, subtask)
    known: dict[str, Waiting] = {}
    for split in (UNLABELLED, "test"):
        if store.ids(split):
            rows = _of_subtask(store.examples(split).select(*COLUMNS), subtask)
            known |= _waiting(store, rows.filter(pl.col("label").is_null()), {})
    if not known:
        return []
    selection = workspace.selection() if workspace.has_selection() else None
    if selection is not None and subtask not in (None, *(task.subtask for task in selection.tasks)):
        selection = None  # heads were chosen before this subtask had labels
    table = suggest(store, selection, count, subtask=subtask).table
    said = dict(zip(table.to_series(0), table["prediction"], strict=True))  # ids come first
    return [replace(known[name], prediction=said[name]) for name in said if name in known]


def _of_subtask(rows: pl.DataFrame, subtask: str | None) -> pl.DataFrame:
    """Return the rows of a subtask, all for None."""
    return rows if subtask is None else rows.filter(pl.col("subtask") == subtask)


COLUMNS = ("id", "split", "media", "prompt", "subtask", "label")


def _suspects(workspace: Workspace, store: FeatureStore, subtask: str | None) -> list[Waiting]:
    table = load_suspects(workspace.folder) if workspace.has_selection() else None
    if table is None:
        raise SelectionError("doubtful labels are not known yet; press Choose heads now")
    table = _of_subtask(table, subtask)
    said = dict(table.select("id", "prediction").iter_rows())
    rows = store.examples("train").select(*COLUMNS).filter(pl.col("id").is_in([*said]))
    known = _waiting(store, rows, said)
    return [known[name] for name in said if name in known]


def _waiting(
    store: FeatureStore, rows: pl.DataFrame, said: Mapping[str, str | None]
) -> dict[str, Waiting]:
    """Return rows by id; an image under several prompts is one, by the id that it had before."""
    rows = rows.with_columns(row=pl.col("id"))
    if stored_prompts(store.manifest.identity.benchmark):
        rows = rows.with_columns(without_prompt(rows["id"]))
        rows = rows.unique("id", keep="first", maintain_order=True)
    return {
        row["id"]: Waiting(
            id=row["id"],
            row=row["row"],
            split=row["split"],
            media=tuple(row["media"] or ()),
            prompt=row["prompt"] or "",
            subtask=row["subtask"],
            label=row["label"],
            prediction=said.get(row["id"]),
        )
        for row in rows.iter_rows(named=True)
    }


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy by number of labels, as an SVG drawing of `WIDTH` x `HEIGHT`."""

    line: str
    """Points of a polyline."""
    marks: tuple[tuple[float, float, float, float, Point], ...]
    """x, y, y of both ends of the interval, and what they stand for."""


WIDTH, HEIGHT = 600.0, 160.0


def curve_of(points: Sequence[Point]) -> Curve:
    """Return the drawing of a curve; equal numbers of labels lie at one x.

    Examples
    --------
    >>> curve_of([Point(10, 0.5, 0.25, 1), Point(20, 1, 0.5, 1)]).line
    '0,80 600,0'
    """
    first, last = (end(point.labels for point in points) if points else 0 for end in (min, max))
    marks = [
        (
            WIDTH * (point.labels - first) / max(last - first, 1),
            HEIGHT * (1 - point.value),
            HEIGHT * (1 - point.low),
            HEIGHT * (1 - point.high),
            point,
        )
        for point in points
    ]
    return Curve(" ".join(f"{x:g},{y:g}" for x, y, *_ in marks), tuple(marks))


# The page.


def label_page(
    labelling: Labelling, session: Session, kind: str, subtask: str | None, told: str = ""
) -> str:
    """Return the page of the next example; `told` is said above it."""
    waiting = labelling.next(session, kind, subtask)
    classes = labelling.classes(subtask)
    pictures: Sequence[Picture] = ()
    if waiting is not None:
        store, root = labelling.store(), labelling.workspace.media_root
        images = open_images(store, waiting.split, [waiting.row], root, side=SIDE_PX)
        pictures = images.find(waiting.row, waiting.media)
    return render(
        HERE,
        "label.html",
        script=SCRIPT.read_text("utf-8"),
        waiting=waiting,
        pictures=pictures,
        classes=list(zip_longest(classes, KEYS[: len(classes)], fillvalue="")),
        told=labelling.workspace.spelled(told),
        given=len(session.given),
        turn=session.turn,
        kind=kind,
    )


def fits_page(labelling: Labelling) -> str:
    """Return the page of the curve, and of what goes on."""
    fits = labelling.fits
    return render(
        HERE,
        "fits.html",
        script=SCRIPT.read_text("utf-8"),
        fits=fits,
        problem=labelling.workspace.spelled(fits.problem),
        curve=curve_of(fits.points),
        every=EVERY,
    )
