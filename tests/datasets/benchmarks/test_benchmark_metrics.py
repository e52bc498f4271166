"""Metrics of the pair, group and category benchmarks, on predictions worked out by hand."""

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import predictions_of, value

from savs.datasets import BENCHMARKS, Example, RowError, Units, find_benchmark
from savs.datasets.metrics.groups import order_metric
from savs.datasets.rows.examples import sample_fields
from savs.datasets.rows.plugin_guard import compute_metrics

ORDER = "true caption higher (official)"
MATCHING = ("text score (official)", "image score (official)", "group score (official)")


def example(number: int, label: str, **known: object) -> Example:
    facts = {"prompt": f"q{number}", "media": (f"{number}.png",)} | known
    return Example(id=str(number), split="test", index=number, label=label, **facts)  # type: ignore


def captions(*pairs: tuple[str, str, str]) -> list[Example]:
    """A true and a false caption of each `(category, question_id, image)`."""
    return [
        example(
            2 * place + (label == "No"),
            label,
            media=(image,),
            group=f"{category}:{number}",
            category=category,
        )
        for place, (category, number, image) in enumerate(pairs)
        for label in ("Yes", "No")
    ]


def measured(name: str, rows: pl.DataFrame, classes: Any = ("Yes", "No")) -> dict[str, Units]:
    """Return the metrics by name; `classes` are those of each subtask, or of all."""
    if not isinstance(classes, dict):
        classes = dict.fromkeys(rows["subtask"].unique(), classes)
    units = compute_metrics(find_benchmark(name), rows, classes)
    assert len({u.name for u in units}) == len(units)
    return {u.name: u for u in units}


def values(units: dict[str, Units]) -> dict[str, float]:
    return {name: value(one) for name, one in units.items()}


def test_sugarcrepe_counts_pairs_by_answer_and_by_score() -> None:
    # number 0 is there in both categories, and number 1 of swap_obj for two images
    rows = predictions_of(
        captions(
            ("add_att", "0", "a"), ("swap_obj", "0", "a"),
            ("swap_obj", "1", "a"), ("swap_obj", "1", "b"),
        ),
        [0.9, 0.1, 0.4, 0.3, 0.9, 0.7, 0.6, 0.8],
    )  # fmt: skip
    found = measured("sugarcrepe", rows)
    # both right: pair 0 alone. Higher: .9 > .1, .4 > .3, .9 > .7, not .6 > .8. Right: 2 1 1 1.
    assert values(found) == pytest.approx(
        {
            "both right": 1 / 4,
            ORDER: 3 / 4,
            "accuracy": 5 / 8,
            "both right, add_att": 1,
            "both right, swap_obj": 0,
            f"{ORDER}, add_att": 1,
            f"{ORDER}, swap_obj": 2 / 3,
        }
    )
    chances = [u.chance for u in found.values()]
    assert chances == [0.25, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5]
    assert all(u.notes == () for u in found.values())


def test_equal_scores_and_skipped_captions_fail_their_pairs() -> None:
    pairs = captions(("a", "0", "i"), ("a", "1", "i"), ("a", "2", "i"))
    rows = predictions_of(pairs, [0.7, 0.7, None, 0.1, 0.9, None])
    found = measured("sugarcrepe", rows)
    assert found[ORDER].scores["score"].to_list() == [0, 0, 0]
    assert found["both right"].scores["score"].to_list() == [0, 0, 0]


def test_what_is_no_pair_is_left_out_and_named() -> None:
    pairs = captions(("a", "0", "i"), ("a", "1", "i"), ("b", "0", "i"))
    rows = predictions_of(pairs[:-1], [0.9, 0.1, 0.9, 0.8, 0.7])
    found = measured("sugarcrepe", rows)
    assert found[ORDER].notes == (f"{ORDER}: incomplete groups left out: 1 (b:0)",)
    assert found["both right"].notes == ("both right: incomplete groups left out: 1 (b:0)",)
    assert "both right, b" not in found
    assert found[ORDER].scores.rows() == [(1.0, "0", "all"), (1.0, "2", "all")]
    alone = [example(n, label, media=("i",)) for n, label in enumerate(("Yes", "No"))]
    paired = [replace(one, group="g") for one in alone]
    rows = predictions_of([*paired, *alone], [0.9, 0.8, 0.1, 0.7])
    units = order_metric(rows, "Yes", ["group"], "order")
    assert (units.scores["score"].to_list(), units.notes) == ([1.0], ())
    twins = [example(n, "Yes", group="g", media=("i",)) for n in range(2)]
    with pytest.raises(RowError, match="order: no pair of an example labelled 'Yes' and another"):
        order_metric(predictions_of(twins, [0.9, 0.8]), "Yes", ["group"], "order")


def test_mmvp_needs_both_images_of_a_pair() -> None:
    examples = [example(n, ("(a)", "(b)")[n % 2], group=f"Q:{n // 2}") for n in range(6)]
    rows = predictions_of(examples, [0.9, 0.1, 0.9, 0.8, None, 0.2], ("(a)", "(b)"))
    found = measured("mmvp", rows, ("(a)", "(b)"))
    assert values(found) == pytest.approx({"both right": 1 / 3, "accuracy": 4 / 6})
    assert [u.chance for u in found.values()] == [0.25, 0.5]


def quartet(number: int, category: str) -> list[Example]:
    return [
        example(
            4 * number + 2 * caption + image,
            "Yes" if caption == image else "No",
            prompt=f"c{caption} of {number}",
            media=(f"{number}{image}",),
            group=str(number),
            category=category,
        )
        for caption in range(2)
        for image in range(2)
    ]


def test_winoground_compares_scores_in_a_group() -> None:
    examples = quartet(0, "Object") + quartet(1, "Object") + quartet(2, "Both")
    # group 1: c0 prefers i1 (.6 < .7), each image prefers its own caption (.6 > .5, .8 > .7)
    rows = predictions_of(examples, [0.9, 0.2, 0.1, 0.8, 0.6, 0.7, 0.5, 0.8, 0.5, 0.5, 0.5, 0.5])
    found = values(measured("winoground", rows))
    assert list(found)[:4] == [MATCHING[2], *MATCHING[:2], "accuracy"]
    assert list(found.values())[:3] == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    # group 0: all. group 1: c0i0 and c1i1 by Yes, c1i0 by No (.5 is no Yes). group 2: both No
    assert found["accuracy"] == pytest.approx((4 + 3 + 2) / 12)
    assert found["text score (official), Object"] == 1
    assert found["group score (official), Object"] == 0.5
    assert found["image score (official), Both"] == 0
    # a category whose only group was cut has no scores of its own
    cut = values(measured("winoground", rows.head(11)))
    assert "image score (official), Both" not in cut
    assert cut["group score (official), Object"] == 0.5


def test_rewardbench_has_categories_and_their_parts() -> None:
    kinds = ["safety: bias", "safety: other", "safety: other", "reasoning: math", "vqa", "vqa"]
    examples = [
        example(n, "Output1", subtask=kind.split(":")[0], category=kind)
        for n, kind in enumerate(kinds)
    ]
    rows = predictions_of(examples, [0.9, 0.9, 0.1, 0.9, 0.1, 0.1], ("Output1", "Output2"))
    found = measured("multimodal-rewardbench", rows, ("Output1", "Output2"))
    assert values(found) == pytest.approx(
        {
            "accuracy": 3 / 6,
            "accuracy, safety": 2 / 3,
            "accuracy, reasoning": 1,
            "accuracy, vqa": 0,
            "accuracy, safety: bias": 1,
            "accuracy, safety: other": 1 / 2,
            "accuracy, reasoning: math": 1,
        }
    )
    assert {u.chance for u in found.values()} == {0.5}


def test_single_answers_are_compared_with_the_other_one() -> None:
    labels = ("preferred", "non-preferred")
    part = {"subtask": "vqa", "category": "vqa"}
    examples = [example(n, labels[n % 2], group=f"q{n // 2}", **part) for n in range(6)]
    rows = predictions_of(examples, [0.4, 0.3, 0.6, 0.9, 0.9, 0.1], labels)
    found = measured("mrb_individual", rows, labels)
    # higher: .4 > .3 and .9 > .1; right: No Yes-as-No .3, .6, .9 wrong, .9, .1
    assert values(found) == pytest.approx({"accuracy": 4 / 6, "preferred higher": 2 / 3})


def videos(answers: dict[str, str]) -> list[Example]:
    labels = {"Y": "Yes", "N": "No"}
    pairs = [(question, sign) for question, signs in answers.items() for sign in signs]
    return [example(n, labels[sign], subtask=q) for n, (q, sign) in enumerate(pairs)]


def test_camerabench_has_ranks_of_each_primitive_and_their_means() -> None:
    rows = predictions_of(
        videos({"zoom?": "YNYN", "pan?": "NYNNN"}),
        [0.9, 0.6, 0.4, 0.2, 0.8, 0.3, 0.2, 0.1, 0.1],
    )
    found = measured("camerabench", rows)
    # zoom: + - + -, answers + + - -: AP (1 + 2/3) / 2, 3 of 4 pairs, both classes half right
    # pan: - + - - -: AP 1/2, 3 of 4 pairs; Yes never found, 3 of 4 No right
    # one of two No, and one of four, score at least as high as the last Yes
    names = ("average precision", "ROC-AUC", "FPR at 95 % TPR", "balanced accuracy", "accuracy")
    zoom, pan = (5 / 6, 3 / 4, 1 / 2, 1 / 2, 2 / 4), (1 / 2, 3 / 4, 1 / 4, 3 / 8, 3 / 5)
    macro = [(one + other) / 2 for one, other in zip(zoom, pan, strict=True)]
    assert values(found) == pytest.approx(
        {
            f"{name}, {part}": number
            for part, numbers in (("macro", macro), ("zoom?", zoom), ("pan?", pan))
            for name, number in zip(names, numbers, strict=True)
        }
    )
    # the means of precisions over all orders: zoom has two of four, (n - H) / 3 + H over n with
    # H = 1 + 1/2 + 1/3 + 1/4; pan one of five, and the last two places are a tie
    chance = (((4 - 25 / 12) / 3 + 25 / 12) / 4, (1 + 1 / 2 + 1 / 3 + 1 / 5 + 1 / 5) / 5)
    assert found["average precision, macro"].chance == pytest.approx(sum(chance) / 2)
    assert found["accuracy, macro"].majority == pytest.approx((0.5 + 0.8) / 2)


def test_a_single_primitive_has_plain_names_and_one_with_one_answer_an_accuracy_alone() -> None:
    found = measured("camerabench", predictions_of(videos({"zoom?": "YN"}), [0.9, 0.1]))
    names = ["average precision", "ROC-AUC", "balanced accuracy", "accuracy"]
    assert values(found) == dict.fromkeys(names, 1) | {"FPR at 95 % TPR": 0}
    rows = predictions_of(videos({"zoom?": "NN", "pan?": "YN"}), [0.9, 0.1, 0.9, 0.1])
    found = measured("camerabench", rows)
    assert values(found)["average precision, macro"] == 1
    assert values(found)["accuracy, macro"] == (1 / 2 + 1) / 2
    assert "ROC-AUC, zoom?" not in found
    assert found["accuracy, zoom?"].notes == (
        "'zoom?': all test answers are the same, so it has only an accuracy",
    )


@pytest.mark.parametrize("name", ["vlguard", "mhalubench", "vizwiz", "eurosat", "pets"])
def test_classes_have_plain_and_balanced_accuracy(name: str) -> None:
    labels = ["Yes", "Yes", "Yes", "No"]
    examples = [example(n, label) for n, label in enumerate(labels)]
    rows = predictions_of(examples, [0.9, 0.9, 0.1, 0.9])
    found = measured(name, rows)
    # answers Yes Yes No Yes: 2 of 4 right; of the classes 2/3 and 0
    assert values(found) == pytest.approx({"accuracy": 2 / 4, "balanced accuracy": 1 / 3})


def test_attacks_on_vlguard_succeed_where_harm_is_not_seen() -> None:
    # four harmful examples: one is found, two are not, one was skipped; of two harmless ones one
    labels = ["harmful"] * 4 + ["unharmful"] * 2
    examples = [example(n, label) for n, label in enumerate(labels)]
    classes = ("harmful", "unharmful")
    rows = predictions_of(examples, [0.9, 0.1, 0.2, None, 0.1, 0.9], classes)
    found = measured("vlguard", rows, {None: classes})
    assert values(found) == pytest.approx(
        {
            "accuracy": 2 / 6,
            "balanced accuracy": (1 / 4 + 1 / 2) / 2,
            "attack success rate": 3 / 4,
        }
    )
    attacks = found["attack success rate"]
    assert attacks.chance == 0.5
    assert attacks.majority == 0  # always harmful: no attack succeeds
    rare = predictions_of(examples[3:], [0.9, 0.1, 0.9], classes)
    assert measured("vlguard", rare, {None: classes})["attack success rate"].majority == 1
    harmless = predictions_of(examples[4:], [0.1, 0.9], classes)
    assert "attack success rate" not in measured("vlguard", harmless, {None: classes})


ANSWERS = {"yes_no": ("Yes", "No"), "multiple_choice": ("A", "B")}


def answered(kinds: dict[str, Sequence[str]]) -> pl.DataFrame:
    """Groups of naturalbench: q0i0 q0i1 q1i0 q1i1: right where +, skipped where 0."""
    parts, number = [], 0
    for kind, patterns in kinds.items():
        examples, scores = [], []
        for pattern in patterns:
            for one, sign in zip(quartet(number, "coco"), pattern, strict=True):
                label = ANSWERS[kind][one.label == "No"]
                examples.append(replace(one, label=label, subtask=kind))
                scores.append(
                    None if sign == "0" else 0.9 if (sign == "+") == (one.label == "Yes") else 0.1
                )
            number += 1
        parts.append(predictions_of(examples, scores, ANSWERS[kind]))
    return pl.concat(parts)


def test_groups_of_naturalbench_count_as_worked_out_by_hand() -> None:
    rows = answered(
        {"yes_no": ["++++", "++--", "+-+-", "+--+"], "multiple_choice": ["-+++", "+++0"]}
    )
    # of 6 groups: right 4 + 2 + 2 + 2 + 3 + 3; questions (places 0 1, 2 3) 2 + 1 + 0 + 0 + 1 + 1;
    # images (places 0 2, 1 3) 2 + 0 + 1 + 0 + 1 + 1; groups 1. The skipped one is wrong.
    assert values(measured("naturalbench", rows, ANSWERS)) == pytest.approx(
        {
            "accuracy": 16 / 24,
            "Q-Acc": 5 / 12,
            "I-Acc": 5 / 12,
            "G-Acc": 1 / 6,
            "accuracy, yes_no": 10 / 16,
            "accuracy, multiple_choice": 6 / 8,
        }
    )


def test_chance_of_groups_is_the_mean_over_all_patterns() -> None:
    rows = answered({"yes_no": ["".join(signs) for signs in product("+-", repeat=4)]})
    units = list(measured("naturalbench", rows, ANSWERS).values())[:4]
    about = find_benchmark("naturalbench").about
    assert about is not None
    assert {u.name for u in units} <= {*about.metrics}
    assert [u.chance for u in units] == [0.5, 0.25, 0.25, 0.0625]
    assert [value(u) for u in units] == [u.chance for u in units]


def test_hard_answers_and_scores_of_retrieval_are_reported_apart() -> None:
    examples = [one for number in range(4) for one in quartet(number, "c")]
    scores: list[float | None] = [
        *(0.9, 0.2, 0.1, 0.8),  # all right
        *(0.4, 0.2, 0.1, 0.3),  # always No, in the right order: half right; text, image and group
        *(0.9, 0.6, 0.7, 0.8),  # always Yes, in the right order
        *(0.9, 0.2, None, 0.8),  # the skipped q1i0 spoils q1, i0 and the group
    ]
    # right: 4 + 2 + 2 + 3 of 16. Questions: 2 + 0 + 0 + 1 of 8. Images: 2 + 0 + 0 + 1 of 8.
    hard = {"accuracy": 11 / 16, "Q-Acc": 3 / 8, "I-Acc": 3 / 8, "G-Acc": 1 / 4}
    official = dict.fromkeys(MATCHING, 3 / 4)
    found = values(measured("natural_ret", predictions_of(examples, scores)))
    assert found == pytest.approx(hard | official)
    assert list(found) == [*hard, *official]


def test_the_total_of_blink_is_the_mean_over_subtasks_and_comes_first() -> None:
    # s: 3 of 4 of two classes; t: 1 of 2 of four classes, with a skipped one that is wrong
    rows = predictions_of(
        [example(n, "(A)", subtask=task) for n, task in enumerate("ststss")],
        [0.9, 0.9, 0.9, None, 0.9, 0.1],
        ("(A)", "(B)"),
    )
    found = measured("blink", rows, {"s": ["(A)", "(B)"], "t": ["(A)", "(B)", "(C)", "(D)"]})
    expected = {"macro": (3 / 4 + 1 / 2) / 2, "s": 3 / 4, "t": 1 / 2, "micro": 4 / 6}
    assert list(found) == [f"accuracy, {name}" for name in expected]
    assert list(values(found).values()) == pytest.approx(list(expected.values()))
    # chance: 1/2 and 1/4; four examples of s and two of t
    assert [u.chance for u in found.values()] == pytest.approx([3 / 8, 1 / 2, 1 / 4, 2.5 / 6])
    submission = find_benchmark("blink").submission
    assert submission is not None
    right = dict.fromkeys("0124", "(A)")  # 3 was skipped
    assert submission(rows) == right | {"5": "(B)"}
    plain = measured("blink", rows.with_columns(subtask=pl.lit(None, pl.String)))
    assert list(plain) == ["accuracy", "balanced accuracy"]


def everything(name: str, count: int) -> list[Example]:
    """Whole pairs and groups of a benchmark."""
    if name in ("winoground", "natural_ret"):
        return [one for number in range(count) for one in quartet(number, "c")]
    if name == "camerabench":
        return videos({"zoom?": "YN" * count, "pan?": "NY" * count})
    return captions(*(("c", str(number), f"{number}") for number in range(count)))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["winoground", "natural_ret", "camerabench", "sugarcrepe", "mmvp", "vlguard"]
)
@settings(deadline=None, max_examples=15)
@given(st.integers(1, 4), st.data())
def test_a_perfect_predictor_is_right_everywhere_and_the_order_of_rows_changes_nothing(
    name: str, count: int, data: st.DataObject
) -> None:
    examples = everything(name, count)
    perfect = [0.9 if one.label == "Yes" else 0.1 for one in examples]
    found = values(measured(name, predictions_of(examples, perfect)))
    assert found == {metric: 0 if metric.startswith("FPR") else 1 for metric in found}
    levels = st.one_of(st.none(), st.sampled_from([0.1, 0.4, 0.6, 0.9]))  # ties are frequent
    scores = data.draw(st.lists(levels, min_size=len(examples), max_size=len(examples)))
    rows = predictions_of(examples, scores)
    mixed = rows[data.draw(st.permutations(range(rows.height)))]
    expected = values(measured(name, rows))
    assert values(measured(name, mixed)) == pytest.approx(expected)


def test_asvspoof_has_error_rates_of_all_and_of_each_attack() -> None:
    labels = [("bonafide", None)] * 3 + [("spoof", "A07")] * 3 + [("spoof", "A08")] * 2
    rows = [
        example(n, label, category=attack, group=f"s{n % 4}")
        for n, (label, attack) in enumerate(labels)
    ]
    # of bonafide: .9 .8 .4; A07: .5 .3 .2; A08: .1 .1
    scores = [0.9, 0.8, 0.4, 0.5, 0.3, 0.2, 0.1, 0.1]
    predictions = predictions_of(rows, scores, ("bonafide", "spoof"))
    found = measured("asvspoof-la", predictions, ("bonafide", "spoof"))
    # Shares missed and passed: at .4 0 and 1/5, at .5 1/3 and 1/5, which differ least: 4/15. Of A07
    # alone: 1/3 and 1/3 at .5. A08 is told apart.
    assert {name: value(one) for name, one in found.items()} == pytest.approx(
        {
            "balanced accuracy": (2 / 3 + 1) / 2,
            "equal error rate": 4 / 15,
            "accuracy": 7 / 8,
            "equal error rate, A07": 1 / 3,
            "equal error rate, A08": 0,
        }
    )


CLASSES = {
    "asvspoof-la": ("bonafide", "spoof"),
    "mmvp": ("(a)", "(b)"),
    "multimodal-rewardbench": ("Output1", "Output2"),
    "vlguard": ("harmful", "unharmful"),
}
"""Two classes of benchmarks without Yes and No."""
TESTED_ELSEWHERE = {"audioset", "ucf-crime", "xd-violence"}
"""Benchmarks with many labels, and those whose metrics need the frames of events."""
WORDS = {
    "the three scores": MATCHING,
    "text, image and group score (official)": MATCHING,
    "both right (pairs)": (),
    "Q-Acc, I-Acc, G-Acc (groups)": (),
    "preferred higher (single form)": (),
}
"""Words of `About` for several metrics, or for those that a sample row is too little for."""


@pytest.mark.parametrize("name", sorted({*BENCHMARKS} - TESTED_ELSEWHERE))
def test_a_benchmark_lists_the_metrics_that_it_measures(name: str) -> None:
    """Of the sample row: a group, or its example with each class. What follows a comma is open."""
    classes = CLASSES.get(name, ("Yes", "No"))
    fields = sample_fields(BENCHMARKS[name])
    if len(fields) == 1:
        fields = [replace(fields[0], label=label) for label in classes]
    rows = [
        Example(**asdict(one) | {"id": str(number), "split": "test", "index": number})
        for number, one in enumerate(fields)
    ]
    if name == "naturalbench-retrieval":  # four rows are a group
        rows = quartet(0, "c")
    found = measured(name, predictions_of(rows, [0.9] * len(rows), classes), classes)
    about = BENCHMARKS[name].about
    assert about is not None
    parts = [re.split(r", <| of each ", one)[0] for one in about.metrics]
    listed = {one.split(",")[0] for part in parts for one in WORDS.get(part, (part,))}
    assert {one.split(",")[0] for one in found} == listed
