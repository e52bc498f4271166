"""Which examples a stage reads: the input files of both splits and how they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from savs.datasets.example import VIDEO_INPUTS
from savs.datasets.splits.shots import Shots
from savs.foundation.errors import ParameterError


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

    test: str | Path | None = None
    """Examples to classify: a file, a folder of Parquet or tar files, a pattern with `*`, or
    `hf://owner/name`. Without them there are training examples only."""
    train: str | Path | None = None
    """Labelled few-shot examples, as `test`; without them `shots` are drawn from `test`."""
    columns: Mapping[str, str] | None = None
    """Field of `general` -> the column that holds it: `{"question": "prompt"}`."""
    question: str | Sequence[str] | None = None
    """Prompt of every row, for files of `general` without questions and for `image-folder`. Of
    several, each row is put to all of them, and each is a subtask."""
    shots: Shots | None = None
    """How training examples are drawn: from `train`, or, without it, from `test`, whose other
    examples are then classified. All of `train` by default."""
    media_root: str | Path | None = None
    """Folder of the images; the folder of each input file by default."""
    video: str | None = None
    """`native`, the default, puts a video to a model as a video, with the times of its frames;
    `frames` puts its frames to it as images, which every model that reads images takes. Part of
    what a store is of, where it is given or there are videos."""
    video_frames: int | None = None
    """Frames of a video that the model reads, evenly spaced in time; 8 by default."""
    jpeg_draft: int | None = None
    """Decode a JPEG at a half, a quarter or an eighth of its width and height, as long as this many
    pixels remain: several times as fast for photos far above the model's limit, with slightly other
    values. Part of what a store is of."""
    max_image_pixels: int | None = None
    """Skip an image with more pixels, a WebP with more than half, and a video whose frames have
    more than four times as many together; 67,108,864 by default. More needs more memory."""
    allow_outside: bool = False
    """Whether names of media may lead out of `media_root`."""
    fetch_urls: bool = False
    """Whether media at http or https URLs are fetched; `extract` keeps them in `STORE.fetched`,
    next to the store."""
    fetch_gb: int | None = None
    """The most gigabytes that a run fetches; 100 by default."""
    allow_private_addresses: bool = False
    """Whether media are also fetched from hosts in private networks, this machine included."""
    limit: int | None = None
    """Examples of each split, from the start of the file, before they are put to several prompts;
    all by default. A larger limit later extends the store."""
    strict: bool = False
    """Whether doubtful training labels are an error, see `label_doubts`; else they are named."""

    def __post_init__(self) -> None:
        for name in ("video_frames", "jpeg_draft", "max_image_pixels", "fetch_gb", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ParameterError(f"{name} is {value}, expected at least 1")
        if self.video is not None and self.video not in VIDEO_INPUTS:
            raise ParameterError(f"video is {self.video!r}, expected {' or '.join(VIDEO_INPUTS)}")
