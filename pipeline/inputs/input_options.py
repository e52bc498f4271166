"""Which examples a stage reads: the input files of both splits and how they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from savs.datasets.example import VIDEO_INPUTS
from savs.datasets.splits.shots import Shots
from savs.foundation.errors import ParameterError
from savs.pipeline.running.options import Option


class ReadingKeywords(TypedDict, total=False):
    """The fields of `InputOptions` that say how a file is read."""

    columns: Mapping[str, str] | None
    media_root: str | Path | None
    allow_outside: bool
    fetch_urls: bool
    fetch_gb: int | None
    allow_private_addresses: bool


class NewImageKeywords(ReadingKeywords, total=False):
    """The fields of `InputOptions` that `classify` takes."""

    max_image_pixels: int | None


class AskingKeywords(ReadingKeywords, total=False):
    """The fields of `InputOptions` that say how rows become examples; `split` takes them."""

    question: str | Sequence[str] | None


class InputKeywords(AskingKeywords, total=False):
    """The fields of `InputOptions` as keyword arguments."""

    test: str | Path | None
    train: str | Path | None
    shots: Shots | None
    video: str | None
    video_frames: int | None
    jpeg_draft: int | None
    max_image_pixels: int | None
    limit: int | None
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """Input files of both splits and how they are read.

    Raises
    ------
    ParameterError
        A number is below 1, or `video` is neither `native` nor `frames`.
    """

    test: Annotated[
        str | Path | None,
        Option(
            "Test examples: a file, folder or hf:// data set (default: none).",
            "Input",
            metavar="FILE",
        ),
    ] = None
    """Also a folder of Parquet or tar files, or a pattern with `*`."""
    train: Annotated[
        str | Path | None,
        Option(
            "Labelled training examples: a file, folder or hf:// data set.", "Input", metavar="FILE"
        ),
    ] = None
    """Without them, `shots` are drawn from `test`."""
    columns: Annotated[
        Mapping[str, str] | None,
        Option(
            "Map a field of general to a column, e.g. question=prompt. Repeatable.",
            "Input",
            metavar="FIELD=COLUMN",
            name="column",
        ),
    ] = None
    """In Python a dictionary: `{"question": "prompt"}`."""
    question: Annotated[
        str | Sequence[str] | None,
        Option(
            "One prompt for all rows (general, image-folder). Repeat it to put each row to"
            " several.",
            "Input",
            metavar="TEXT",
        ),
        Option(
            "Text file of such prompts, one per line.", "Input", metavar="FILE", name="questions"
        ),
    ] = None
    """Each of several prompts is a subtask. Files of `general` must have no questions then."""
    shots: Annotated[
        Shots | None,
        Option("Draw N training examples per class, from `train` or `test`.", "Input", min=1),
        Option(
            "Draw N complete groups per subtask as training examples.",
            "Input",
            min=1,
            name="train_groups",
        ),
        Option("Random seed of `shots` and `train_groups`.", "Input", name="seed"),
    ] = None
    """Drawn from `train`, or, without it, from `test`, whose other examples are then classified.
    All of `train` by default."""
    limit: Annotated[
        int | None,
        Option("Use the first N examples of each split; can be raised later.", "Input", min=1),
    ] = None
    """Counted before examples are put to several prompts. A larger limit extends the store."""
    strict: Annotated[
        bool, Option("Refuse doubtful training labels instead of naming them.", "Input")
    ] = False
    """See `label_doubts`."""
    media_root: Annotated[
        str | Path | None,
        Option("Folder of the images (default: the folder of each file).", "Media", metavar="DIR"),
    ] = None
    allow_outside: Annotated[bool, Option("Allow media paths outside the media root.", "Media")] = (
        False
    )
    video: Annotated[
        str | None,
        Option(
            "native: a video goes in as a video (default); frames: its frames go in as images.",
            "Media",
            metavar="native|frames",
        ),
    ] = None
    """A video has the times of its frames; every model that reads images takes `frames`. Part of
    what a store is of, where it is given or there are videos."""
    video_frames: Annotated[
        int | None, Option("Frames per video (default: 8).", "Media", min=1)
    ] = None
    """Evenly spaced in time."""
    jpeg_draft: Annotated[
        int | None,
        Option(
            "Decode large JPEGs at 1/2, 1/4 or 1/8 of their size, down to N pixels: faster, not"
            " equal.",
            "Media",
            metavar="N",
            min=1,
        ),
    ] = None
    """Several times as fast for photos far above the model's limit, with slightly other values.
    Part of what a store is of."""
    max_image_pixels: Annotated[
        int | None,
        Option(
            "Skip larger images and videos (default: 67108864 pixels). More takes more memory.",
            "Media",
            metavar="N",
            min=1,
        ),
    ] = None
    """A WebP may have half as many, all frames of a video together four times as many."""
    fetch_urls: Annotated[
        bool,
        Option("Download media from http(s) URLs; extract caches them in STORE.fetched.", "Media"),
    ] = False
    fetch_gb: Annotated[
        int | None,
        Option("Gigabytes to download in one run at most (default: 100).", "Media", min=1),
    ] = None
    allow_private_addresses: Annotated[
        bool, Option("Also download from private networks and this machine.", "Media")
    ] = False

    def __post_init__(self) -> None:
        for name in ("video_frames", "jpeg_draft", "max_image_pixels", "fetch_gb", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}, expected at least 1")
        if self.video is not None and self.video not in VIDEO_INPUTS:
            raise ParameterError(f"video is {self.video!r}, expected {' or '.join(VIDEO_INPUTS)}")
