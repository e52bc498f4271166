"""Which of many labels an example is shown for, and how, by hand."""

import numpy as np
import polars as pl
import pytest

from savs.datasets.many_labels import SIDES, count_labels, states_unknown
from savs.pipeline.targets import target_named
from savs.pipeline.targets.label_rules import NEVER
from savs.pipeline.targets.many import LABEL_SCHEMA

MANY = target_named("many")
TABLES = {
    "per_label": [
        {"label": "a", "threshold": 0.5},
        {"label": "b", "threshold": 0.5},
        {"label": "c", "threshold": NEVER},
    ]
}
ABSENT, THERE = SIDES


def examples(*rows: tuple[str, list[str], tuple[float, float, float]]) -> pl.DataFrame:
    """Return predictions of labels, predicted labels and probabilities of a, b and c."""
    names = ("a", "b", "c")
    return pl.DataFrame(
        [
            {
                "id": str(number),
                "label": label,
                "prediction": "[" + ",".join(f'"{name}"' for name in said) + "]",
                "labels": list(count_labels([label])),
                "unknown": states_unknown(label),
                "predicted": said,
                "probabilities": shares,
                "correct": all(
                    (name in said) == (name in count_labels([label]))
                    for name in names
                    if name not in states_unknown(label)
                ),
            }
            for number, (label, said, shares) in enumerate(rows)
        ],
        schema=LABEL_SCHEMA,
    )


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


@pytest.mark.parametrize(
    ("row", "turn", "margin", "truth", "said"),
    [
        pytest.param(('["a"]', ["b"], (0.4, 0.9, 0.1)), "b", logit(0.9), ABSENT, THERE, id="far"),
        pytest.param(('["a"]', ["a"], (0.9, 0.4, 0.1)), "b", logit(0.6), ABSENT, ABSENT, id="near"),
        pytest.param(
            ('{"b":null}', ["b"], (0.3, 0.6, 0.1)), "a", logit(0.7), ABSENT, ABSENT, id="unknown"
        ),
        pytest.param(
            ('["a","c"]', [], (0.45, 0.1, 0.9)), "a", logit(0.55), THERE, ABSENT, id="with never"
        ),
        pytest.param(('["c"]', [], (0.3, 0.1, 0.9)), "c", 0.0, THERE, ABSENT, id="never alone"),
    ],
)
def test_an_example_is_about_its_farthest_wrong_label_or_else_its_nearest(
    row, turn, margin, truth, said
):
    ranked = MANY.ranked(examples(row), TABLES)
    assert ranked["turn"].to_list() == [turn]
    assert ranked["margin"].to_list() == pytest.approx([margin], abs=1e-5)
    (found,) = MANY.of_one_task(ranked, TABLES).to_dicts()
    assert (found["subtask"], found["label"], found["prediction"]) == (turn, truth, said)
    assert found["correct"] == (truth == said)


def test_a_label_that_is_unknown_has_no_truth():
    ranked = examples(('{"b":null}', ["b"], (0.3, 0.6, 0.1))).with_columns(turn=pl.lit("b"))
    (found,) = MANY.of_one_task(ranked, TABLES).to_dicts()
    assert (found["label"], found["prediction"], found["correct"]) == (None, THERE, False)


def test_new_examples_have_their_most_probable_labels_first():
    table = examples(("[]", ["b"], (0.2, 0.6, 0.4)))
    pairs = [
        {"label": name, "probability": p} for name, p in zip("abc", (0.2, 0.6, 0.4), strict=True)
    ]
    labels, probable = MANY.new_columns(table.with_columns(prediction_set=pl.lit(None)))
    assert (labels.show(["b"]), labels.show([])) == ("b", "-")
    assert probable.show(pairs) == "b 60.0, c 40.0, a 20.0"
    kept = pl.Series([["b", "c"]], dtype=pl.List(pl.String))
    *_, of_risk = MANY.new_columns(table.with_columns(prediction_set=kept))
    assert (of_risk.heading, of_risk.show(["b", "c"])) == ("set", "b, c")


def test_an_example_is_shown_with_what_it_lacks_and_what_it_has_too_many():
    label = '{"a":true,"b":null,"c":true}'
    (row,) = examples((label, ["b", "c"], (0.2, 0.6, 0.8))).to_dicts()
    shown = MANY.shown(row, TABLES)
    assert (shown.labels, shown.predictions) == (("a", "c"), ("b", "c"))
    assert (shown.missed, shown.false) == (("a",), ())  # whether b is false is not known
    assert [(s.name, s.text) for s in shown.shares] == [("c", "80 %"), ("b", "60 %"), ("a", "20 %")]
    assert (shown.verdict, shown.facts) == ("wrong", {"not known": "b"})
    (row,) = examples(('["a"]', ["b", "a"], (0.6, 0.6, 0.1))).to_dicts()
    shown = MANY.shown(row, TABLES)
    assert (shown.missed, shown.false, shown.facts) == ((), ("b",), {})
    assert [share.name for share in shown.shares] == ["a", "b"]
