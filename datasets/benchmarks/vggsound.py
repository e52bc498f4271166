"""`vggsound`: sounds of ten seconds whose source is seen in the video, 309 kinds.

Source: Chen et al., VGGSound, arXiv 2004.14368. The prompt is that of `esc50`.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from savs.datasets.benchmark import About, Benchmark, Fields
from savs.datasets.benchmarks.esc50 import OF_CALM, QUESTION, calm_prompt
from savs.datasets.benchmarks.general import measure
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.metrics.metrics import CLASS_METRICS, SCORED
from savs.datasets.row import Row
from savs.datasets.rows.file_formats import read_headless
from savs.foundation.bounds import whole_number

NAMES = ("youtube_id", "start", "label", "split")
SECONDS = 10**6
"""Start of a clip at most: file names have six digits of it."""


def parse_row(row: Row, *, seen: bool = False) -> Iterator[Fields]:
    """Read a clip of `vggsound.csv`, or of a JSON file of CALM's code; all of a video are a group.

    `seen` gives the video in place of the sound.
    """
    of_calm = ("video" if seen else "wav") if "question" in row.values else None
    if of_calm:
        name = row.required_medium(of_calm)
        video = name.replace("\\", "/").rpartition("/")[2].rpartition("_")[0]
    else:
        video, text = row.text("youtube_id"), row.text("start")
        start = whole_number(text)
        if start is None or start >= SECONDS:
            raise row.error(f"the start is {text!r:.50}", "expected whole seconds")
        name = f"{video}_{start:06d}" + (".mp4" if seen else "")
    prompt = calm_prompt(row.text("question") if of_calm else QUESTION)
    yield Fields(
        label=row.text("mapped_label" if of_calm else "label"),
        prompt=prompt.replace(SOUNDS.mark, IMAGES.mark) if seen else prompt,
        media=(name,),
        group=video or None,
    )


ABOUT = About(
    task="classification of sounds of 10 s, 309 classes",
    metrics=(*CLASS_METRICS,),
    sizes="199,000 clips when published, 15,446 to test",
    source="Chen et al., arXiv 2004.14368; github.com/hche11/VGGSound",
    licence="CC BY 4.0",
    files="--train vggsound.csv --test split=test --shots 20 --media-root SOUNDS: files"
    " ID_SECONDS.wav, .flac or .mp4 with six digits; or vggsound_mcq_*.json of CALM's code",
    sample={
        "youtube_id": "---g-f_I2yQ",
        "start": 1,
        "label": "people marching",
        "split": "test",
    },
)

VGGSOUND = Benchmark(
    name="vggsound",
    summary="which of 309 sounds is this?",
    columns={
        "youtube_id": "vggsound.csv: first part of the file's name; the group",
        "start": "vggsound.csv: seconds at which the clip starts, the second part",
        "label": "vggsound.csv: the class",
        **OF_CALM,
    },
    parse_row=parse_row,
    measure=measure,
    read_table=partial(read_headless, names=NAMES),
    reads=SCORED,
    about=ABOUT,
)
VGGSOUND_VIDEO = replace(
    VGGSOUND,
    name="vggsound-video",
    summary="which of 309 sounds is in this video?",
    columns={**VGGSOUND.columns, "video": "files of CALM's code: name of the video"},
    parse_row=partial(parse_row, seen=True),
    about=replace(
        ABOUT,
        task="classification of videos of 10 s by their sound, 309 classes",
        files="as vggsound, with files ID_SECONDS.mp4; or vgg_video_*.json of CALM's code",
    ),
)
