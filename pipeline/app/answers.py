"""What a classifier says of dropped files: classes, how sure, and the vote of each chosen head."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from savs.datasets import MediaError
from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.decoders.images import RAISE
from savs.foundation.errors import ParameterError
from savs.pipeline.app.frames import render_frame
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.model_match import (
    decoding_of,
    decoding_rules,
    model_options,
)
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.model.model_options import require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.reports.explain.attention import view_example
from savs.pipeline.reports.explain.evidence import Evidence, of_heads, weigh
from savs.pipeline.reports.explain.explain import OF_MAPS
from savs.pipeline.reports.explain.explanation import HeadVote, head_votes
from savs.pipeline.reports.pages.pictures import Picture, open_images, pictures_of_file, thinned
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.compatibility import require_match
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.selection_config import model_heads
from savs.pipeline.targets.calibration import calibration_of, least_examples, require_risk
from savs.pipeline.targets.tasks import Said, TaskSelection
from savs.stores import Head, head_name
from savs.stores.format.layout import pick

MOST_FILES = 100
"""Files that are classified at a time."""
MOST_PIXELS = 2**25
"""Largest image, and largest frame of a video, that is classified: nobody else is meanwhile."""
SIDE_PX = 320
"""Largest width and height of a dropped image on the page."""
SMALLER = "scale it down, or run savs classify"
MOST_CLASSES = 4
"""Classes that are shown of an answer, the likeliest first."""


NOTHING = Said("")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one file; only `reason` if it was skipped."""

    name: str
    pictures: tuple[Picture, ...] = ()
    said: Said = NOTHING
    """Its probabilities are NaN if the scores are none."""
    votes: tuple[HeadVote, ...] = ()
    evidence: Evidence | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to some files."""

    files: tuple[Path, ...]
    question: str
    selection: Selection
    task: TaskSelection
    answers: tuple[Answer, ...]
    nearest: Mapping[str, Picture]
    """Pictures of the training examples that votes name, by id."""
    seconds: float
    loaded: bool
    """Whether the model had to be loaded."""

    @property
    def is_many(self) -> bool:
        """Whether an answer has many labels."""
        return self.selection.target.tasks_share_rows

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads of the model that answer."""
        return model_heads((self.selection if self.is_many else self.task).heads)

    @property
    def classes(self) -> tuple[str, ...]:
        """What probabilities are those of."""
        tasks = self.selection.tasks
        return tuple(str(one.subtask) for one in tasks) if self.is_many else self.task.classes

    @property
    def how_sure(self) -> str:
        """What left-out training examples made of the predictions, of some labels at least."""
        target, tasks = self.selection.target, self.selection.tasks
        is_calibrated = any(one.decision and one.decision.is_fitted for one in tasks)
        return target.calibrated if is_calibrated else target.uncalibrated


def answer(
    workspace: Workspace, files: Sequence[str | Path], subtask: str | None, question: str = ""
) -> Answers:
    """Classify images, videos or sounds; one that cannot be read is skipped, with its reason.

    The part of the classifier for `subtask` answers. `question` is the prompt where the training
    examples had several.

    MissingExtraError if torch and transformers are not installed; ParameterError if there is no
    file, or too many, or no question; SelectionError or ModelError if the classifier needs other
    inputs, or belongs to another model.
    """
    require_extra()
    from savs.pipeline.classifying.image_heads import read_heads

    if not 0 < len(files) <= MOST_FILES:
        raise ParameterError(
            f"{len(files)} files were dropped, expected 1 to {MOST_FILES}; run savs classify for"
            " folders"
        )
    started, loads = time.monotonic(), []
    selection, task = workspace.selection(), workspace.task(subtask)
    if task.media not in (None, 1):
        raise SelectionError(
            f"this classifier reads {task.media} images at once, and the page drops one; run savs"
            " classify with a table"
        )
    prompt = task.question or question.strip()
    if not prompt:
        raise ParameterError("the training examples had several questions; type one")
    paths = [Path(file) for file in files]
    contents = {f"{number}: {path.name}": path for number, path in enumerate(paths, start=1)}
    heads = read_heads(
        {name: path.read_bytes() for name, path in contents.items()},
        prompt,
        model_options(selection, **workspace.loading),
        RunOptions(workers=0),
        decoding_of(selection),
        selection,
        Reporting(say=loads.append),
        max_pixels=MOST_PIXELS,
    )
    require_match(selection, heads.source, allow_other_prompt=False)
    answers = {
        name: Answer(
            contents[name].name,
            reason=reason.replace(name, contents[name].name).replace(RAISE, SMALLER),
        )
        for name, reason in heads.skipped.items()
    }
    read = [name for name in contents if name not in heads.skipped]
    if read:
        names, features = heads.features()
        rules = replace(decoding_rules(decoding_of(selection)), draft_pixels=(2 * SIDE_PX) ** 2)
        runs = selection.runs()
        run = next((one for one in runs if one.subtask == task.subtask), runs[0])
        of_run = pick(features, names, run.heads)[:, :, : run.width]
        has_classes = selection.target.has_classes
        trained = workspace.fitted().trained[run.subtask] if has_classes else None
        all_said = selection.target.said(run, run.score(of_run))
        for place, (name, said) in enumerate(zip(read, all_said, strict=True)):
            evidence = None if trained is None else weigh(name, trained, of_run[:, place])
            answers[name] = Answer(
                contents[name].name,
                _pictures(contents[name], rules),
                said,
                votes=() if evidence is None else head_votes(evidence),
                evidence=evidence,
            )
    in_order = tuple(answers[name] for name in contents)
    return Answers(
        files=tuple(paths),
        question=prompt,
        selection=selection,
        task=task,
        answers=in_order,
        nearest=_nearest(workspace, in_order),
        seconds=time.monotonic() - started,
        loaded=any(line.startswith("loading") for line in loads),
    )


def _pictures(path: Path, rules: MediaRules) -> tuple[Picture, ...]:
    try:
        return thinned(pictures_of_file(path.read_bytes(), path.name, rules, SIDE_PX))
    except MediaError:  # the model's own processor could read it
        return ()


def _nearest(workspace: Workspace, answers: Sequence[Answer]) -> dict[str, Picture]:
    """Return a picture of each training example that a vote names."""
    neighbours = [near for one in answers for vote in one.votes for near in vote.nearest]
    names = list(dict.fromkeys(near.name for near in neighbours))
    if not names or (store := workspace.fitted().store) is None:
        return {}
    images = open_images(store, "train", names, workspace.media_root)
    media = dict(store.examples("train").select("id", "media").iter_rows())
    pictures = {name: images.find(name, media[name]) for name in names}
    return {name: of_example[0] for name, of_example in pictures.items() if of_example}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as the page says it, at a risk."""

    answer: Answer
    classes: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities; none without probabilities. Of many labels
    those that are predicted are among them."""
    inside: tuple[str, ...] | None
    """The prediction set; None without a calibration. Of many labels those that may be there."""
    others: tuple[tuple[str, float], ...] = ()
    """Of many labels the less probable ones."""
    decided: str = ""
    """What made the answer, where most heads are nearest to another class."""

    @property
    def probability(self) -> float | None:
        """The probability of the prediction."""
        return dict(self.classes).get(self.answer.said.prediction)


def answers_page(answers: Answers, risk: float) -> str:
    """Return the page of some answers, with prediction sets at a risk."""
    require_risk(risk)
    task, least, target = answers.task, least_examples(risk), answers.selection.target
    notes = target.notes(answers.selection)
    if answers.is_many:
        notes += target.risk_notes(answers.selection, risk)
    notice = "; ".join(notes)
    known = calibration_of(task.decision)
    if known is not None and len(known.nonconformity) < least:
        notice = (
            f"{task.examples:,} training examples are too few for this risk: at least {least:,} are"
            " needed, so each set has all classes"
        )
    return render_frame(
        "answers.html",
        answers=answers,
        verdicts=[_verdict(one, answers, risk) for one in answers.answers],
        risk=risk,
        notice=notice,
    )


def _verdict(one: Answer, answers: Answers, risk: float) -> Verdict:
    said, decided = one.said, decided_by(one, answers.selection.readout)
    if said.probabilities is None or np.isnan(said.probabilities).any():
        return Verdict(one, (), None, decided=decided)
    order = np.argsort(-said.probabilities, kind="stable")
    shares = [(answers.classes[c], float(said.probabilities[c])) for c in order]
    inside = None if said.inside is None else said.inside(risk)
    if said.labels is None:
        return Verdict(one, tuple(shares[:MOST_CLASSES]), inside, decided=decided)
    rest = [name for name, _ in shares if name not in said.labels]
    likely = {*said.labels, *rest[: max(0, MOST_CLASSES - len(said.labels))]}
    first = tuple(pair for pair in shares if pair[0] in likely)
    others = tuple(pair for pair in shares if pair[0] not in likely)
    return Verdict(one, first, inside, others)


def decided_by(one: Answer, readout: str) -> str:
    """Return what made an answer, where most heads are nearest to another class; else nothing."""
    counts = Counter(vote.vote for vote in one.votes)
    most = max(counts.values(), default=0)
    if counts[one.said.prediction] == most:
        return ""
    name = next(name for name, count in counts.items() if count == most)
    return (
        f"Most heads, {most} of {len(one.votes)}, are nearest to {name}. The readout {readout} does"
        f" not count heads: all of them weighed together say {one.said.prediction}."
    )


def attention_page(answers: Answers, number: int, head: str) -> str:
    """Return a page that shows where one head looks in a classified image.

    ParameterError if there is no such image or head, or the classifier has no centroids;
    MediaError, ReportError or ModelError if it cannot be looked at, see `view_example`.
    """
    from savs.pipeline.classifying.image_heads import MediaInMemory, resident_model

    heads = [head_name(one) for one in answers.heads]
    if not 0 <= number < len(answers.answers) or head not in heads:
        raise ParameterError("choose a file and a head")
    one = answers.answers[number]
    if one.evidence is None:
        raise ParameterError(
            f"{one.name}: {one.reason or 'the classifier has no centroids to compare heads with'}"
        )
    path = answers.files[number]
    if not path.exists():
        raise MediaError(f"{one.name} was removed meanwhile; drop it again")
    rules = decoding_rules(decoding_of(answers.selection))
    media = MediaInMemory(Path(), None, rules, {one.name: path.read_bytes()})
    evidence = of_heads(one.evidence, [heads.index(head)])
    with resident_model() as model:
        views = view_example(model, answers.question, [one.name], media, evidence)
    return render_frame("attention.html", answer=one, views=views, **OF_MAPS)
