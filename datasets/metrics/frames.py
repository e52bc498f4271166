"""Frame-level metrics of videos in windows: each frame has the mean score of its windows.

The metrics are those of `ranking.py` over all frames of all videos. A unit is a video: its score is
T + V / F times the sum of (u - T) over its frames, where T is the metric, u are the influence
values of frames, V is the number of videos and F that of frames. The mean of these is T, and their
variance the clustered one of the frames; the correction for few clusters takes all videos as
equally long.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from savs.datasets.metrics.metrics import Units, class_margin
from savs.datasets.metrics.ranking import (
    average_precision_units,
    expected_precision,
    roc_auc_units,
)
from savs.datasets.parts import Window, split_window
from savs.foundation.arrays import Array

FRAME_METRICS = ("frame-level ROC-AUC", "frame-level average precision")
EVENTS = "frames"
"""Key of a row's `extra`: frames of its video, first and one after the last of each event."""


@dataclass(frozen=True, slots=True)
class VideoFrames:
    """The frames of one video."""

    scores: Array
    """`(frames,)` float64; NaN where no window has a score."""
    positive: Array
    """`(frames,)` bool: whether a frame is in an event."""
    cluster: str


def spread(windows: Sequence[Window], scores: Sequence[float | None], rate: float) -> Array:
    """Return the mean score of the windows that hold each frame of a video.

    `rate` is in frames a second; frame f is shown from f / rate on. NaN where all are None.

    Examples
    --------
    >>> spread([Window(0, 2000), Window(1000, 3000)], [1.0, 4.0], 1).tolist()
    [1.0, 2.5, 4.0]
    """
    ends = [[round(rate * ms / 1000) for ms in (w.start_ms, w.end_ms)] for w in windows]
    total, count = np.zeros((2, max(end for _, end in ends)))
    for (start, end), score in zip(ends, scores, strict=True):
        if score is not None and np.isfinite(score):
            total[start:end] += score
            count[start:end] += 1
    return np.where(count > 0, total, np.nan) / np.maximum(count, 1)


def frame_metrics(predictions: pl.DataFrame, positive: str, rate: float) -> list[Units]:
    """Return `FRAME_METRICS` of the predictions of windows; empty if frames do not differ.

    A frame without a score, whose windows were skipped, gets the worst rank for its label. Videos
    without `EVENTS`, and rows of whole videos, are left out.

    Parameters
    ----------
    predictions
        One row a window with `media`, `votes`, `extra` and `cluster`.
    positive
        The class that an event has.
    rate
        Frames a second in which events are given.
    """
    videos = _videos(predictions, positive, rate)
    if not videos:
        return []
    truth = np.concatenate([video.positive for video in videos])
    if truth.all() or not truth.any():
        return []
    scores = np.concatenate([video.scores for video in videos])
    scores = np.where(np.isnan(scores), np.where(truth, -np.inf, np.inf), scores)
    area, precision = FRAME_METRICS
    return [
        _units(area, roc_auc_units(scores, truth), 0.5, videos),
        _units(
            precision,
            average_precision_units(scores, truth),
            expected_precision(scores, truth),
            videos,
        ),
    ]


def _units(name: str, of_frames: Array, chance: float, videos: Sequence[VideoFrames]) -> Units:
    """Return a metric of videos, from the influence values of all their frames."""
    metric = of_frames.mean()
    starts = np.cumsum([0, *(len(video.scores) for video in videos[:-1])])
    sums = np.add.reduceat(of_frames - metric, starts)
    frame = {
        "score": metric + len(videos) / len(of_frames) * sums,
        "cluster": [video.cluster for video in videos],
        "stratum": "all",
    }
    return Units(name, pl.DataFrame(frame), chance)


def _videos(predictions: pl.DataFrame, positive: str, rate: float) -> list[VideoFrames]:
    rows = predictions.select(
        *("extra", "cluster"),
        medium=pl.col("media").list.first(),
        score=class_margin(positive).cast(pl.Float64),
    )
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        clip, window = split_window(row["medium"] or "")
        if window is not None:
            by_video.setdefault(clip, []).append(row | {"window": window})
    videos = []
    for of_video in by_video.values():
        events = json.loads(of_video[0]["extra"] or "{}").get(EVENTS)
        if events is None:
            continue
        windows = [row["window"] for row in of_video]
        scores = spread(windows, [row["score"] for row in of_video], rate)
        truth = np.zeros(len(scores), np.bool_)
        for start, end in zip(events[::2], events[1::2], strict=True):
            truth[start:end] = True
        videos.append(VideoFrames(scores, truth, of_video[0]["cluster"]))
    return videos
