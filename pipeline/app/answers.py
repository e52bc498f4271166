"""What a classifier says of dropped files: classes, how sure, and the vote of each chosen head."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from savs.datasets import MediaError
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media.videos import images_of
from savs.foundation.arrays import Array
from savs.foundation.errors import ParameterError
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.model_match import (
    decoding_of,
    decoding_rules,
    model_options,
    require_match,
)
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.model.model_options import require_extra
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.reports.explain.attention import view_example
from savs.pipeline.reports.explain.evidence import Evidence, weigh
from savs.pipeline.reports.explain.explain import OF_MAPS, TEMPLATES
from savs.pipeline.reports.pages.pictures import Picture, open_images, pictures_of
from savs.pipeline.reports.pages.rendering import render
from savs.pipeline.running.progress import Reporting
from savs.pipeline.selection.calibration import class_probabilities, least_examples, require_risk
from savs.pipeline.selection.selection import Selection, TaskSelection
from savs.stores import Head, head_name

HERE = Path(__file__).parent
SCRIPT = HERE / "frame.js"
"""What a page of the app does inside its frame."""
MOST_FILES = 100
"""Files that are classified at a time."""
SIDE_PX = 320
"""Largest width and height of a dropped image on the page."""
SHOWN = 6
"""Classes that are shown of an answer, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one chosen head says of an image."""

    head: str
    name: str
    """The class whose centroid is nearest."""
    lead: float
    """Cosine with it, less the best other one."""
    share: float
    """Of the greatest lead of the image's heads."""
    nearest: tuple[tuple[str, str], ...]
    """Ids of the nearest training examples with their labels, nearest first."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one file; `reason` alone, where it was skipped."""

    name: str
    pictures: tuple[Picture, ...] = ()
    prediction: str = ""
    probabilities: Array | None = None
    """`(classes,)`, NaN where the scores are none."""
    atypical: bool | None = None
    """None without a calibration."""
    votes: tuple[Vote, ...] = ()
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


def answer(
    workspace: Workspace, files: Sequence[str | Path], subtask: str | None, question: str = ""
) -> Answers:
    """Classify files; one that cannot be read is skipped, with its reason.

    Parameters
    ----------
    files
        Images and videos.
    subtask
        The part of the classifier that answers.
    question
        The prompt, where the training examples had several.

    Raises
    ------
    MissingExtraError
        torch and transformers are not installed.
    ParameterError
        There is no file, or too many, or no question.
    SelectionError, ModelError
        The classifier needs other inputs, or belongs to another model.
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
    asked = task.question or question.strip()
    if not asked:
        raise ParameterError("the training examples had several questions; type one")
    paths = [Path(file) for file in files]
    contents = {f"{number}: {path.name}": path for number, path in enumerate(paths, start=1)}
    heads = read_heads(
        {name: path.read_bytes() for name, path in contents.items()},
        asked,
        model_options(selection, **workspace.loading),
        RunOptions(workers=0),
        decoding_of(selection),
        selection,
        Reporting(say=loads.append),
    )
    require_match(selection, heads.source, allow_other_prompt=False)
    answers = _answers(workspace, selection, task, contents, heads.skipped, *heads.features())
    return Answers(
        files=tuple(paths),
        question=asked,
        selection=selection,
        task=task,
        answers=answers,
        nearest=_nearest(workspace, answers),
        seconds=time.monotonic() - started,
        loaded=any(line.startswith("loading") for line in loads),
    )


def _answers(
    workspace: Workspace,
    selection: Selection,
    task: TaskSelection,
    contents: Mapping[str, Path],
    skipped: Mapping[str, str],
    names: Sequence[Head],
    features: Array,
) -> tuple[Answer, ...]:
    """Return what the `(heads, n, d)` features of the files that were read say, file by file."""
    width = selection.lengths(task)["width"]
    own = features[[names.index(head) for head in task.heads], :, :width]
    read = [name for name in contents if name not in skipped]
    found = {
        name: Answer(contents[name].name, reason=reason.replace(name, contents[name].name))
        for name, reason in skipped.items()
    }
    if not read:
        return tuple(found[name] for name in contents)
    scores = task.fitted.scores(own)
    table = class_probabilities(scores, task.calibration)
    known = task.calibration
    is_atypical: list[bool | None] = [None] * len(read)
    if known is not None:
        is_atypical = (known.typicality(own, task.fitted, scores) < known.typical).tolist()
    trained = workspace.fitted().trained[task.subtask]
    rules = replace(decoding_rules(decoding_of(selection)), draft_pixels=(2 * SIDE_PX) ** 2)
    for place, name in enumerate(read):
        evidence = None if trained is None else weigh(name, trained, own[:, place])
        found[name] = Answer(
            contents[name].name,
            _pictures(contents[name], rules),
            prediction=task.classes[scores.choice[place]],
            probabilities=table[place],
            atypical=is_atypical[place],
            votes=() if evidence is None else _votes(evidence),
            evidence=evidence,
        )
    return tuple(found[name] for name in contents)


def _pictures(path: Path, rules: MediaRules) -> tuple[Picture, ...]:
    try:
        images = images_of(decode_medium(path.read_bytes(), path.name, rules))
    except MediaError:  # the model's own processor could read it
        return ()
    step = max(1, len(images) // 4)
    return tuple(pictures_of(path.name, images[::step][:4], SIDE_PX))


def _votes(evidence: Evidence) -> tuple[Vote, ...]:
    trained = evidence.trained
    classes, most = trained.selection.classes, max(float(evidence.leads.max()), 1e-12)
    return tuple(
        Vote(
            head=head_name(head),
            name=classes[evidence.votes[place]],
            lead=float(evidence.leads[place]),
            share=max(float(evidence.leads[place]), 0.0) / most,
            nearest=tuple(
                (trained.ids[number], classes[trained.labels[number]])
                for number in evidence.nearest[place]
            ),
        )
        for place, head in enumerate(trained.selection.heads)
    )


def _nearest(workspace: Workspace, answers: Sequence[Answer]) -> dict[str, Picture]:
    """Return a picture of each training example that a vote names."""
    store = workspace.fitted().store
    votes = [vote for one in answers for vote in one.votes]
    wanted = list(dict.fromkeys(name for vote in votes for name, _ in vote.nearest))
    if store is None or not wanted:
        return {}
    images = open_images(store, "train", wanted, workspace.media_root)
    media = dict(store.examples("train").select("id", "media").iter_rows())
    found = {name: images.find(name, media[name])[:1] for name in wanted}
    return {name: pictures[0] for name, pictures in found.items() if pictures}


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as the page says it, at a risk."""

    answer: Answer
    classes: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities; none without probabilities."""
    inside: tuple[str, ...] | None
    """The prediction set; None without a calibration."""

    @property
    def probability(self) -> float | None:
        """That of the prediction."""
        return dict(self.classes).get(self.answer.prediction)


def answers_page(found: Answers, risk: float) -> str:
    """Return the page of some answers, with prediction sets at a risk."""
    require_risk(risk)
    known, examples = found.task.calibration, found.task.examples
    least = least_examples(risk)
    return render(
        HERE,
        "answers.html",
        script=SCRIPT.read_text("utf-8"),
        found=found,
        verdicts=[_verdict(one, found.task, risk) for one in found.answers],
        risk=risk,
        has_neighbours=any(vote.nearest for one in found.answers for vote in one.votes),
        is_calibrated=known is not None,
        too_few=f"{examples:,} training examples are too few for this risk: at least {least:,} are"
        " needed, so each set has all classes"
        if known is not None and len(known.nonconformity) < least
        else "",
    )


def _verdict(one: Answer, task: TaskSelection, risk: float) -> Verdict:
    if one.probabilities is None or np.isnan(one.probabilities).any():
        return Verdict(one, (), None)
    order = np.argsort(-one.probabilities, kind="stable")
    inside = None
    if task.calibration is not None:
        flags = task.calibration.sets(one.probabilities[None], risk)[0]
        inside = tuple(task.classes[c] for c in order if flags[c])
    likely = tuple((task.classes[c], float(one.probabilities[c])) for c in order[:SHOWN])
    return Verdict(one, likely, inside)


def attention_page(found: Answers, number: int, head: str) -> str:
    """Return the page of where one head looks in one of the images that were classified.

    Raises
    ------
    ParameterError
        There is no such image or head, or the classifier has no centroids.
    MediaError, ReportError, ModelError
        It cannot be looked at, see `view_example`.
    """
    from savs.pipeline.classifying.image_heads import GivenMedia, resident_model

    heads = [head_name(one) for one in found.task.heads]
    if not 0 <= number < len(found.answers) or head not in heads:
        raise ParameterError("choose an image and a head")
    one = found.answers[number]
    if one.evidence is None:
        raise ParameterError(
            f"{one.name}: {one.reason or 'the classifier has no centroids to compare heads with'}"
        )
    path = found.files[number]
    if not path.exists():
        raise MediaError(f"{one.name} was removed meanwhile; drop it again")
    rules = decoding_rules(decoding_of(found.selection))
    media = GivenMedia(Path(), None, rules, {one.name: path.read_bytes()})
    evidence = _of_head(one.evidence, heads.index(head))
    with resident_model() as model:
        views = view_example(model, found.question, [one.name], media, evidence)
    return render(
        HERE,
        "attention.html",
        script=SCRIPT.read_text("utf-8"),
        also=(TEMPLATES,),
        answer=one,
        views=views,
        **OF_MAPS,
    )


def _of_head(evidence: Evidence, place: int) -> Evidence:
    """Return the evidence of one head alone."""
    one = slice(place, place + 1)
    trained = evidence.trained
    task = trained.selection
    alone = replace(task, heads=task.heads[one], scores=task.scores[one], margins=task.margins[one])
    return replace(
        evidence,
        trained=replace(
            trained,
            selection=alone,
            features=trained.features[one],
            centroids=trained.centroids[one],
        ),
        features=evidence.features[one],
        table=evidence.table[one],
        votes=evidence.votes[one],
        leads=evidence.leads[one],
        nearest=evidence.nearest[one],
        similar=evidence.similar[one],
    )
