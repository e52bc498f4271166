import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.datasets import find_leaks
from savs.datasets.splits.leaks import REPEATED, SHARED

SCHEMA = {
    "id": pl.String,
    "group": pl.String,
    "prompt": pl.String,
    "media": pl.List(pl.String),
    "media_sha256": pl.List(pl.String),
}
Row = tuple[str, str | None, str, list[str], list[str]]


def frame(rows: list[Row], labels: str = "") -> pl.DataFrame:
    """One label for all rows, or the letters given."""
    known = pl.Series("label", list(labels or "x" * len(rows)), dtype=pl.String)
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(known)


def split(*rows: tuple[str, str], groups: str = "") -> pl.DataFrame:
    """A row for each prompt and images, whose letters are digests; names differ from each other."""
    return frame(
        [
            (str(n), groups[n] if groups else None, prompt, [f"{n}{i}" for i in images], [*images])
            for n, (prompt, images) in enumerate(rows)
        ]
    )


@pytest.mark.parametrize(
    ("prompt", "images", "kind"),
    [
        ("Cat?", "ab", REPEATED),
        ("Cat?", "ba", SHARED),  # the same images in another order are another question
        ("Cat? ", "ab", SHARED),
        ("cat?", "ab", SHARED),
        ("Cat?", "a", SHARED),
        ("Cat?", "abc", SHARED),
        ("Dog?", "cb", SHARED),
        ("Cat?", "cd", None),
        ("Cat?", "", None),
        ("Text only", "", REPEATED),
        ("text only", "", None),
    ],
)
def test_a_test_example_is_repeated_shares_a_medium_or_is_new(
    prompt: str, images: str, kind: str | None
) -> None:
    train = split(("Cat?", "ab"), ("Text only", ""), ("", ""))
    leaks = find_leaks(train, split((prompt, images)))
    assert leaks.kinds.to_list() == [kind]
    assert bool(leaks) is (kind is not None)
    assert leaks.count(REPEATED) + leaks.count(SHARED) == bool(kind)


@pytest.mark.parametrize(
    ("prompts", "labels", "tested", "untold"),
    [
        ("ppp", "aba", "ppp", 3),  # one prompt for all: features that were made elsewhere
        ("ppqq", "abab", "pqr", 2),  # one for each subtask
        ("pq", "ab", "pqp", 0),  # the prompt is the example
        ("ppq", "aab", "p", 0),  # an example twice
        ("", "", "p", 0),
    ],
)
def test_a_prompt_of_different_labels_says_nothing_of_an_example_without_media(
    prompts: str, labels: str, tested: str, untold: int
) -> None:
    def texts(letters: str) -> list[Row]:
        return [(str(n), None, prompt, [], []) for n, prompt in enumerate(letters)]

    leaks = find_leaks(frame(texts(prompts), labels), frame(texts(tested)))
    assert leaks.untold == untold
    assert leaks.kinds.to_list() == [
        REPEATED if not untold and prompt in prompts else None for prompt in tested
    ]
    told = [line for line in leaks.summary() if line.startswith("leaks are unknown")]
    assert told == [
        f"leaks are unknown for {untold} of {len(tested)} test examples: they have no media, and"
        " no prompt of their own"
    ] * bool(untold)


def test_media_are_compared_by_content_where_it_is_known() -> None:
    train = frame([("t", None, "?", ["a.png"], ["1"]), ("u", None, "?", ["c.png"], [])])
    test = frame(
        [
            ("renamed", None, "?", ["x.png"], ["1"]),
            ("other image of that name", None, "?", ["a.png"], ["2"]),
            ("not read, other name", None, "?", ["d.png"], []),
            ("not read, same name", None, "?", ["c.png"], []),
        ]
    )
    labels = pl.Series("label", ["a", "b"])  # with media, a prompt of two labels is compared, too
    leaks = find_leaks(train.with_columns(labels), test)
    assert leaks.kinds.to_list() == [REPEATED, None, None, REPEATED]
    assert (leaks.trained, leaks.train) == (2, 2)


def test_a_leak_taints_its_whole_group() -> None:
    train = split(("p", "a"))
    rows = [("p", "a"), ("p", "b"), ("q", "c"), ("q", "d"), ("r", "a"), ("r", "e"), ("s", "f")]
    leaks = find_leaks(train, split(*rows, groups="112233" + "4"))
    assert leaks.kinds.to_list() == [REPEATED, None, None, None, SHARED, None, None]
    assert leaks.dropped().to_list() == [True, True, False, False, True, True, False]
    # without groups each stands for itself
    alone = find_leaks(train, split(*rows))
    assert alone.kinds.equals(leaks.kinds)
    assert alone.dropped().to_list() == [True, False, False, False, True, False, False]


def test_the_summary_counts_both_sides() -> None:
    # of three training examples p and q are tested, p three times; group 1 leaks wholly, 2 in part
    train = split(("p", "a"), ("q", "b"), ("z", "x"))
    rows = [("p", "a"), ("q", "b"), ("p", "a"), ("n", "c"), ("p", "a"), ("m", "x"), ("o", "d")]
    leaks = find_leaks(train, split(*rows, groups="1122334"))
    assert (leaks.trained, leaks.train, leaks.count(REPEATED), leaks.count(SHARED)) == (2, 3, 4, 1)
    assert leaks.summary() == [
        "leak: 2 of 3 training examples are also in the test split, as 4 test"
        " examples in 3 groups, 1 completely (0, 1, 2 ...)",
        "leak: 5 test examples share a medium with a training example (0, 1, 2 ...)",
    ]


def test_the_summary_names_what_there_is_alone() -> None:
    mixed = find_leaks(split(("q", ""), ("q", "m")), split(("q", ""), ("z", "m")))
    assert mixed.kinds.to_list() == [REPEATED, SHARED]
    assert mixed.summary()[1].startswith("leak: 1 test example shares a medium")
    train = split(("p", "a"), ("q", "b"))
    assert find_leaks(train, split(("r", "c"))).summary() == []
    assert find_leaks(train, split(("r", "c"), ("p", "a"))).summary() == [
        "leak: 1 of 2 training examples is also in the test split, as 1 test example (1)"
    ]
    assert find_leaks(train, split(("r", "a"), ("r", "b"), ("s", "ab"))).summary() == [
        "leak: 3 test examples share a medium with a training example (0, 1, 2)"
    ]


ROWS = st.lists(
    st.tuples(st.sampled_from(["p", "q", ""]), st.text("abc", max_size=2)), min_size=1, max_size=8
)


def slow_kind(row: tuple[str, str], train: list[tuple[str, str]]) -> str | None:
    if row != ("", "") and row in train:
        return REPEATED
    return SHARED if any(set(row[1]) & set(images) for _, images in train) else None


@pytest.mark.thorough
@settings(deadline=None)
@given(ROWS, ROWS)
def test_order_does_not_matter(train: list[tuple[str, str]], test: list[tuple[str, str]]) -> None:
    leaks = find_leaks(split(*train), split(*test))
    assert leaks.kinds.to_list() == [slow_kind(row, train) for row in test]
    assert leaks.trained == sum(row in test and row != ("", "") for row in train)
    other = find_leaks(split(*train[::-1]), split(*test[::-1]))
    assert other.kinds.to_list() == leaks.kinds.to_list()[::-1]
    assert (other.trained, other.train) == (leaks.trained, leaks.train)


def test_another_box_of_a_training_image_is_a_shared_medium() -> None:
    def boxes(*names: str) -> pl.DataFrame:
        rows: list[Row] = [(name, None, "?", [name], []) for name in names]
        return frame(rows)

    train = boxes("a.jpg#box=[0,0,9,9]", "b.jpg")
    test = boxes("a.jpg#box=[0,0,9,9]", "a.jpg#box=[1,0,9,9]", "a.jpg", "b.jpg#box=[1,2,3,4]", "c")
    assert find_leaks(train, test).kinds.to_list() == [REPEATED, SHARED, SHARED, SHARED, None]
