"""Which examples a stage reads: the input files of both splits and how they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from savs.datasets.errors import OptionError
from savs.datasets.media_kinds.decoding import VIDEO_INPUTS, WITH_SOUND
from savs.datasets.rows.label_kinds import A_CLASS_EACH, CLASSES, OPTION, Labels
from savs.datasets.splits.shots import Shots
from savs.datasets.windows import Windows
from savs.foundation.errors import ParameterError
from savs.pipeline.names import DEFAULT_SEED
from savs.pipeline.running.option_texts import (
    parse_columns,
    parse_limit,
    parse_question,
    parse_seconds,
    parse_shots,
    parse_task,
    parse_test,
    parse_video,
    write_limit,
    write_shots,
    write_task,
    write_test,
    write_video,
)
from savs.pipeline.running.options import Option, check_values
from savs.pipeline.targets.catalogue import TARGETS, TASKS, kind_of_task, labels_of

COUNT = Option(level="python", min=1)
LONGEST_WINDOW_S = 86_400


class FileOfRows(str):
    """Path of a file that was written of rows in memory.

    Media in it may be anywhere: a program that names a file may read it, unlike a file of rows,
    which may come from somebody else.
    """

    __slots__ = ()


class NewImageKeywords(TypedDict, total=False):
    """The fields of `InputOptions` that say how new media are read."""

    columns: Mapping[str, str] | None
    media_root: str | Path | None
    allow_outside: bool
    fetch_urls: bool
    fetch_gb: int | None
    allow_private_addresses: bool
    max_image_pixels: int | None


class WindowKeywords(TypedDict, total=False):
    """The fields of `InputOptions` that divide videos."""

    window: float | int | None
    stride: float | int | None


class NewVideoKeywords(NewImageKeywords, WindowKeywords, total=False):
    """The fields of `InputOptions` that `classify` takes."""


class LabelKeywords(TypedDict, total=False):
    """The fields of `InputOptions` that say what labels are."""

    task: str | None
    positive: str | None
    label_separator: str | None
    label_columns: Sequence[str] | None


class TrainKeywords(LabelKeywords, WindowKeywords, total=False):
    """The fields of `InputOptions` that the command `train` takes."""

    question: str | Sequence[str] | None
    media_root: str | Path | None
    shots: int | None
    train_groups: int | None
    hold_out: Sequence[str] | None
    test: str | Path | None
    unlabelled: str | Path | None
    columns: Mapping[str, str] | None


class TrainInputKeywords(NewImageKeywords, LabelKeywords, WindowKeywords, total=False):
    """The fields of `InputOptions` that the function `train` passes on to `extract`."""

    shots: int | None
    train_groups: int | None
    hold_out: Sequence[str] | None
    test: str | Path | None
    unlabelled: str | Path | None
    seed: int
    limit: int | None
    strict: bool
    video: str | None
    video_frames: int | None
    jpeg_draft: int | None
    audio_max_seconds: int | None


class InputKeywords(TrainInputKeywords, TrainKeywords, total=False):
    """The fields of `InputOptions` as keyword arguments."""

    train: str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """Input files of both splits and how they are read.

    Raises
    ------
    ParameterError
        A number is below 1, or `video` is none of `VIDEO_INPUTS`.
    """

    test: Annotated[
        str | Path | None,
        Option(
            "Test examples: a file, folder or hf:// data set; or the rows of the training file with"
            " this value (default: none).",
            metavar="FILE|COLUMN=VALUE",
            parse=parse_test,
            fills={"hold_out": "COLUMN=VALUE"},
            write=write_test,
        ),
    ] = None
    """Also a folder of Parquet or tar files, or a pattern with `*`."""
    train: Annotated[
        str | Path | None,
        Option("Labelled training examples: a file, folder or hf:// data set.", metavar="FILE"),
    ] = None
    """Without them, `shots` are drawn from `test`."""
    unlabelled: Annotated[
        str | Path | None,
        Option("Examples that get a label later: a file or folder.", metavar="FILE"),
    ] = None
    """Labels in it are not read. Of `image-folder` by default the subfolder `unlabelled` of `train`
    and `test`. `savs suggest` says which to label, and `savs label` takes the labels."""
    columns: Annotated[
        Mapping[str, str] | None,
        Option(
            "Column of a table that has a field, such as question=prompt; repeatable.",
            metavar="FIELD=COLUMN",
            name="column",
            is_repeated=True,
            parse=parse_columns,
        ),
    ] = None
    """In Python a dictionary: `{"question": "prompt"}`."""
    task: Annotated[
        str | None,
        Option(
            "Kind of label (default: one class):"
            f" {', '.join(known.task for known in TARGETS.values() if known.task)}, or"
            " positive:CLASS (one class, ranked).",
            metavar="KIND",
            parse=parse_task,
            fills={
                "positive": "positive:CLASS",
                "label_separator": "many-labels:TEXT",
                "label_columns": "many-labels:A,B",
            },
            write=write_task,
        ),
    ] = None
    """Of many labels a list, or an object of true and null: labels that it does not name are
    absent, `null` ones unknown. Of numbers, `ordinal` ones are levels, such as a quality of 1 to
    5: only levels of training examples are predicted; `regression` predicts any number."""
    positive: str | None = None
    """Class of general that examples are ranked by: adds average precision, ROC-AUC and FPR at 95 %
    TPR. Such as `unsafe`. Part of the store's identity."""
    label_separator: str | None = None
    """Rows of general have many labels, such as cat|dog. A text that is the separator alone says
    that no label is there."""
    label_columns: Sequence[str] | None = None
    """Columns of general with 1 where a label is there, 0 where not, nothing if unknown."""
    question: Annotated[
        str | Sequence[str] | None,
        Option(
            "One prompt for all rows, which have none of their own; or a file of prompts, one per"
            " line. Repeat it to combine each row with several.",
            metavar="TEXT|FILE.txt",
            is_repeated=True,
            parse=parse_question,
        ),
    ] = None
    """Each of several prompts is a subtask. Files of `general` must have no questions then."""
    hold_out: Sequence[str] | None = None
    """Test on the rows with one of these values, train on the others of the one file. A shift:
    `camera=3` tests on a camera that training never saw. The file is `train` or `test`; with
    `shots`, training examples are drawn from the others."""
    shots: Annotated[
        int | None,
        Option(
            "Draw N training examples per class, from the training file or, without one, from"
            " `test`; or N whole groups of each subtask.",
            metavar="N|groups:N",
            min=1,
            parse=parse_shots,
            fills={"train_groups": "groups:N"},
            write=write_shots,
        ),
    ] = None
    """Drawn from `train`, or, without it, from `test`, whose other examples are then classified:
    those that share a group or an identical image stay in the same split. All of `train` by
    default."""
    train_groups: Annotated[int | None, COUNT] = None
    """Draw N complete groups per subtask as training examples. In place of `shots`."""
    seed: Annotated[int, Option("Seed of the random draw of training examples.", "more")] = (
        DEFAULT_SEED
    )
    """Equal seeds draw equal examples, and more shots add to those that fewer drew."""
    limit: Annotated[
        int | None,
        Option(
            "Use the first N examples of each split, which can be raised later; and the first Ns"
            " of longer sounds (default: skip those above 600 s).",
            "more",
            metavar="N|Ns|N,Ns",
            min=1,
            parse=parse_limit,
            fills={"audio_max_seconds": "Ns"},
            write=write_limit,
        ),
    ] = None
    """Counted before examples get several prompts. A larger limit extends the store."""
    strict: bool = False
    """Refuse doubtful training labels instead of naming them. See `label_doubts`. Those of test
    examples are named, too, but not refused: they choose no head."""
    media_root: Annotated[
        str | Path | None,
        Option("Folder of the images (default: the folder of each file).", metavar="DIR"),
    ] = None
    allow_outside: bool = False
    """Allow media paths outside the media root."""
    video: Annotated[
        str | None,
        Option(
            "native: a video goes in as a video (default); with-sound: with its sound; frames: its"
            " frames go in as images. N: frames per video (default: 8).",
            "more",
            metavar="native|with-sound|frames[:N]",
            parse=parse_video,
            fills={"video_frames": "N"},
            write=write_video,
        ),
    ] = None
    """A video has the times of its frames; every model that reads images takes `frames`. Part of
    the store's identity, if it is given or there are videos."""
    video_frames: Annotated[int | None, COUNT] = None
    """Frames per video (default: 8). Evenly spaced in time."""
    window: Annotated[
        float | int | None,
        Option(
            "Divide each video into windows of N seconds, a row each: CLIP@START..END.",
            "more",
            metavar="Ns",
            parse=parse_seconds,
        ),
    ] = None
    """Each has the label of its row, and `video_frames` frames; windows of a video are a group.
    Part of the store's identity."""
    stride: Annotated[
        float | int | None,
        Option(
            "Seconds from one window to the next (default: the length of a window).",
            "more",
            metavar="Ns",
            parse=parse_seconds,
        ),
    ] = None
    jpeg_draft: Annotated[int | None, COUNT] = None
    """Decode large JPEGs at 1/2, 1/4 or 1/8 of their size, down to N pixels: faster, not equal.
    Several times as fast for photos far above the model's limit, with slightly other values. Part
    of the store's identity."""
    max_image_pixels: Annotated[int | None, COUNT] = None
    """Skip larger images and videos (default: 67108864 pixels). More takes more memory. A WebP may
    have half as many, all frames of a video together four times as many."""
    audio_max_seconds: Annotated[int | None, COUNT] = None
    """Cut sounds after N seconds (default: skip longer ones than 600 s). The first N seconds stay,
    and the run says how many sounds it cut. Part of what a store is of."""
    fetch_urls: bool = False
    """Download media from http(s) URLs; extract caches them in STORE.fetched."""
    fetch_gb: Annotated[int | None, COUNT] = None
    """Gigabytes to download in one run at most (default: 100)."""
    allow_private_addresses: bool = False
    """Also download from private networks and this machine."""

    def __post_init__(self) -> None:
        check_values(self)
        if self.shots is not None and self.train_groups is not None:
            raise ParameterError("`shots` and `train_groups` are two ways to draw; give one")
        if not self.labels.kind.can_be_drawn and self.shots is not None:
            raise ParameterError(
                f"`shots` are drawn per class, and `task` {self.task} has none; give `train` and"
                " `test`, or `hold_out` or `train_groups`"
            )
        if self.hold_out is not None and (self.train is None) == (self.test is None):
            raise ParameterError(
                "`hold_out` splits the rows of one file; give that file alone, as `train`"
            )
        if self.video is not None and self.video not in VIDEO_INPUTS:
            raise ParameterError(f"`video` is {self.video!r}, expected {' or '.join(VIDEO_INPUTS)}")
        if self.windows is not None and self.video == WITH_SOUND:
            raise ParameterError(
                f"`window` gives the pictures of a video, and `video` {WITH_SOUND} its sound, too;"
                " pass native or frames"
            )

    @property
    def windows(self) -> Windows | None:
        """How videos are divided; None if they stay whole."""
        if self.window is None:
            if self.stride is not None:
                raise ParameterError("`stride` leads from one window to the next; pass `window`")
            return None
        stride = self.window if self.stride is None else self.stride
        for name, seconds in (("window", self.window), ("stride", stride)):
            if not 0.001 <= seconds <= LONGEST_WINDOW_S:
                raise ParameterError(
                    f"`{name}` is {seconds:g} s, expected 0.001 to {LONGEST_WINDOW_S:,} s"
                )
        if stride > self.window:
            raise ParameterError(
                f"`stride` {stride:g} s leaves out what is between windows of {self.window:g} s;"
                " pass the length of a window at most"
            )
        return Windows(round(1000 * self.window), round(1000 * stride))

    @property
    def labels(self) -> Labels:
        """What labels are."""
        return labels_form(
            task=self.task,
            positive=self.positive,
            label_separator=self.label_separator,
            label_columns=self.label_columns,
        )

    @property
    def draw(self) -> Shots | None:
        """How training examples of one class each are drawn; None if all are taken."""
        if self.shots is None and self.train_groups is None:
            return None
        return Shots(self.shots, self.train_groups, self.seed)


def labels_form(
    *,
    task: str | None,
    positive: str | None,
    label_separator: str | None,
    label_columns: Sequence[str] | None,
) -> Labels:
    """Return what labels are.

    OptionError if two ways are chosen, the task is unknown, a separator or the positive class is
    empty, or a column is named twice.
    """
    if task is not None and task not in TASKS:
        raise OptionError(
            f"`task` is {task!r}, expected {', '.join(TASKS)}; to rank one class give `positive`"
        )
    chosen: list[dict[str, Any]] = []
    if positive is not None:
        if not positive.strip():
            raise OptionError("`positive` is empty; pass a class")
        chosen.append({"form": CLASSES, "positive": positive})
    if label_separator is not None:
        if not label_separator.strip():
            raise OptionError("`label_separator` is empty; pass a character such as |")
        chosen.append({"form": "separator", "separator": label_separator})
    if label_columns is not None:
        if not label_columns or len(set(label_columns)) < len(label_columns):
            raise OptionError(
                f"`label_columns` is {','.join(label_columns)!r}, expected columns, each once"
            )
        chosen.append({"form": "columns", "columns": list(label_columns)})
    if task is not None:
        forms = kind_of_task(task).forms
        if not any(form["form"] in forms for form in chosen):  # else these say how it is spelt
            chosen.append({"form": forms[0]})
    if len(chosen) > 1:
        raise OptionError(
            "`task`, `positive`, `label_separator` and `label_columns` say what labels are; give"
            " one of them"
        )
    return labels_of({"options": {OPTION: chosen[0]}}) if chosen else A_CLASS_EACH


def require_media_root(media_root: str | Path | None) -> None:
    """Raise ParameterError if the place of the images is not a folder."""
    if media_root is not None and not Path(media_root).is_dir():
        raise ParameterError(f"`media_root` is {str(media_root)!r}, which is not a folder")
