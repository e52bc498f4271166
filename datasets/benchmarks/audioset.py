"""`audioset`: what is heard in ten seconds of a video, many labels of 527.

Source: Gemmeke et al., Audio Set, ICASSP 2017. Source of the question: the public code of CALM,
arXiv 2602.07077, which asks once for each label of a clip, with four options and the truth among
them; here each clip is asked about once, without options.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.esc50 import calm_prompt
from savs.datasets.benchmarks.general import measure
from savs.datasets.errors import SourceError
from savs.datasets.metrics.many_labels import METRICS
from savs.datasets.metrics.metrics import SCORED
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_headless, read_values
from savs.datasets.rows.label_kinds import MANY, OPTION, Labels

QUESTION = "What audio event is present in this audio clip?"
NAMES = ("YTID", "start_seconds", "end_seconds", "positive_labels")
CLASSES = "class_labels_indices.csv"
LABELS = Labels(MANY, {"form": "list"})


def read_segments(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a file of segments, each with the names of its labels as a list.

    SourceError if the file with the names of classes is not next to it, or lacks one.
    """
    file = path.parent / CLASSES
    try:
        names = {row.get("mid"): row.get("display_name") for row in read_values(file)}
    except SourceError as error:
        raise SourceError(f"{path} needs the names of its classes: {error}") from error
    for where, values in read_headless(path, text, NAMES):
        mids = [mid.strip() for mid in (values["positive_labels"] or "").split(",")]
        if unknown := [mid for mid in mids if names.get(mid) is None]:
            raise SourceError(
                f"{where}: {file} has no class {unknown[0]!r}; take the published one"
            )
        yield where, values | {"labels": [names[mid] for mid in mids]}


def parse_row(row: Row) -> Iterator[Fields]:
    """Read a segment; its video is the group."""
    video, labels = row.text("YTID"), LABELS.read(row, "labels")
    if labels is None:
        raise row.error(
            "field 'labels' is missing or empty", f"the row has the fields {row.fields}"
        )
    yield Fields(label=labels, prompt=calm_prompt(QUESTION), media=(video,), group=video)


AUDIOSET = Benchmark(
    name="audioset",
    summary="which of 527 sounds are there? many labels",
    columns={
        "YTID": "segments file: the video, and the name of the sound without its suffix; the group",
        "positive_labels": f"segments file: classes as in the column mid of {CLASSES}, next to it",
        "labels": "the names of these classes, in files of another form",
    },
    parse_row=parse_row,
    measure=measure,
    read_table=read_segments,
    reads=SCORED,
    options={OPTION: LABELS.form},
    about=About(
        task="sound events in clips of 10 s, many labels of 527",
        metrics=METRICS,
        sizes="balanced train 22,160 clips, eval 20,371, those still online",
        source="Gemmeke et al., ICASSP 2017; research.google.com/audioset",
        licence="CC BY 4.0",
        files="--train balanced_train_segments.csv --test eval_segments.csv, with"
        f" {CLASSES} in their folder; --media-root SOUNDS: files YTID.wav, .flac or .mp4",
        sample={
            "YTID": "-0RWZT-miFs",
            "start_seconds": "420.000",
            "end_seconds": "430.000",
            "positive_labels": "/m/03v3yw,/m/0k4j",
            "labels": ["Keys jangling", "Car"],
        },
    ),
)
