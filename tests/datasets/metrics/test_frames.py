"""Frame-level metrics of windows, by the frames themselves."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from savs.datasets.metrics.frames import EVENTS, FRAME_METRICS, frame_metrics, spread
from savs.datasets.metrics.ranking import average_precision_units, roc_auc_units
from savs.datasets.parts import Window
from savs.pipeline.statistics.intervals import summarise

RATE = 10


def predictions(*videos):
    """Windows of videos: name, events, and (start, end, score) in seconds; None was skipped."""
    rows = []
    for name, events, windows in videos:
        for start, end, score in windows:
            votes = [("Yes", score), ("No", 0.0)]
            rows.append(
                {
                    "media": [f"{name}@{start}..{end}"],
                    "votes": score
                    if score is None
                    else [{"class": c, "score": s, "soft": s} for c, s in votes],
                    "extra": None if events is None else json.dumps({EVENTS: events}),
                    "cluster": name,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def test_a_frame_has_the_mean_of_its_windows():
    windows = [Window(0, 400), Window(200, 600), Window(600, 700), Window(800, 900)]
    expected = [1, 1, 2, 2, 3, 3, np.nan, np.nan, 5]
    for nothing in (None, -np.inf):  # a window that was not read
        found = spread(windows, [1.0, 3.0, nothing, 5.0], RATE)
        np.testing.assert_array_equal(found, expected)


def test_metrics_and_intervals_are_those_of_the_frames():
    rng = np.random.default_rng(0)
    videos, scores, truth, clusters = [], [], [], []
    for number in range(12):
        length = int(rng.integers(3, 9))
        events = [10, 10 * length - 7] if number % 3 else []
        windows = [
            (float(s), float(s + 2), float(np.round(rng.normal(bool(events)), 1)))
            for s in range(length - 1)
        ]
        videos.append((f"{number}.mp4", events, windows))
        for frame in range(10 * length):
            time = (frame + 0.5) / RATE
            scores.append(np.mean([w[2] for w in windows if w[0] <= time < w[1]]))
            truth.append(bool(events) and events[0] <= frame < events[1])
            clusters.append(f"{number}.mp4")
    area, precision = frame_metrics(predictions(*videos), "Yes", RATE)
    assert (area.name, precision.name) == FRAME_METRICS
    truth, scores = np.array(truth), np.array(scores)
    for found, exact, values in (
        (area, roc_auc_score, roc_auc_units),
        (precision, average_precision_score, average_precision_units),
    ):
        metric = summarise(found)
        assert metric.value == pytest.approx(exact(truth, scores))
        assert (metric.units, metric.clusters) == (12, 12)
        # squared deviations of videos, each summed over its frames
        apart = pl.DataFrame({"apart": values(scores, truth) - metric.value, "video": clusters})
        sums = apart.group_by("video").sum()["apart"].to_numpy()
        variance = 12 / 11 * (sums**2).sum() / len(scores) ** 2
        assert found.scores["score"].var() / 12 == pytest.approx(variance)


def test_a_skipped_window_is_the_worst_for_its_frames():
    event = ("a.mp4", [0, 10], [(0.0, 1.0, None), (1.0, 2.0, -1.0)])
    normal = ("b.mp4", [], [(0.0, 1.0, -2.0)])
    (area, _) = frame_metrics(predictions(event, normal), "Yes", RATE)
    assert area.scores["score"].mean() == 0
    # half of the event has a score, above all others
    overlapping = ("a.mp4", [0, 10], [(0.0, 1.0, None), (0.5, 1.0, 3.0)])
    (area, _) = frame_metrics(predictions(overlapping, normal), "Yes", RATE)
    assert area.scores["score"].mean() == pytest.approx(0.5)


@pytest.mark.parametrize(
    "videos",
    [
        [("a.mp4", [], [(0.0, 1.0, 1.0)])],
        [("a.mp4", [0, 10], [(0.0, 1.0, 1.0)])],
        [("a.mp4", None, [(0.0, 1.0, 1.0)])],
    ],
    ids=["no event", "nothing else", "not annotated"],
)
def test_frames_that_do_not_differ_have_no_metric(videos):
    assert frame_metrics(predictions(*videos), "Yes", RATE) == []
    whole = predictions(*videos).with_columns(media=pl.lit(["a.mp4"]))
    assert frame_metrics(whole, "Yes", RATE) == []
