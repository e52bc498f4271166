"""`esc50`: environmental sounds of fifty kinds, five seconds each.

Source: Piczak, ESC: Dataset for Environmental Sound Classification, ACM Multimedia 2015. Source of
the prompt: the public code of CALM, arXiv 2602.07077, whose question lists four options that are
drawn at random with the truth among them. Its own files are read with these options; for the
authors' file the question is asked without any.
"""

import re
from collections.abc import Iterator

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.general import measure
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row

QUESTION = "What caption does the given audio belong to?"
CLIP = re.compile(r"(?:.*[/\\])?\d-(\d+)-[A-Z]-\d+\.\w+", re.ASCII)
"""FOLD-CLIP-TAKE-TARGET.wav; takes of one clip were cut from one recording of freesound.org."""


def calm_prompt(question: str) -> str:
    """Return the prompt that CALM's code makes of a question about a sound."""
    return f"{SOUNDS.mark}{question} Answer with the class name."


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a clip of `meta/esc50.csv`, or of a JSON file of CALM's code."""
    of_calm = "wav" in row.values
    name = row.required_medium("wav") if of_calm else f"audio/{row.text('filename')}"
    clip = CLIP.fullmatch(name)
    if clip is None:
        raise row.error(f"the file is called {name!r}", "expected FOLD-CLIP-TAKE-TARGET.wav")
    yield Fields(
        label=row.text("mapped_label" if of_calm else "category").replace("_", " "),
        prompt=calm_prompt(row.text("question") if of_calm else QUESTION),
        media=(name,),
        group=clip[1],
    )


OF_CALM = {
    "wav": "files of CALM's code: name of the sound; a path of another machine is matched by its"
    " end",
    "question": "files of CALM's code: the question",
    "mapped_label": "files of CALM's code: the class",
}
"""Columns of the JSON files of CALM's code."""

ESC50 = Benchmark(
    name="esc50",
    summary="which of fifty environmental sounds is this?",
    columns={
        "filename": "meta/esc50.csv: name of the sound in the folder audio; its clip id is the"
        " group",
        "category": "meta/esc50.csv: the class; underscores become spaces",
        **OF_CALM,
    },
    parse_row=parse_row,
    measure=measure,
    reads=SCORED,
    about=About(
        task="classification of sounds of 5 s, fifty classes",
        metrics=(*CLASS_METRICS,),
        sizes="2,000 clips in 5 folds; 40 per class",
        source="Piczak, ACM Multimedia 2015; github.com/karolpiczak/ESC-50",
        licence="CC BY-NC 3.0",
        files="--train ESC-50-master/meta/esc50.csv --media-root ESC-50-master --test fold=1,"
        " and so for each fold; or esc_mcq_*.json of CALM's code",
        sample={
            "filename": "1-100032-A-0.wav",
            "fold": 1,
            "target": 0,
            "category": "dog",
            "esc10": True,
            "src_file": 100032,
            "take": "A",
        },
    ),
)
