"""The choice among ways: the first that gives the same, or the default, and why."""

import pytest

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.trial import Choice, UntriedError, Verdict, Way, choose


def ways(**outcomes):
    """Yield ways that are the same, or not, or fail; and note what is undone."""
    for name, outcome in outcomes.items():
        if name == "untried":
            raise UntriedError(outcome)

        def attempt(outcome=outcome):
            if isinstance(outcome, Exception):
                raise outcome
            return Verdict(*outcome)

        refusal = "fast ways are not taken" if name.startswith("fast") else ""
        yield Way(name, attempt, lambda name=name: UNDONE.append(name), refusal)


UNDONE = []
SAME, OTHER = (True, "all agree"), (False, "all moved")


@pytest.mark.parametrize(
    ("outcomes", "expected", "undone"),
    [
        ({"one": SAME, "two": SAME}, Choice("one", "all agree"), []),
        ({"one": OTHER, "two": SAME}, Choice("two", "all agree"), ["one"]),
        ({"one": OTHER}, Choice("plain", "all moved"), ["one"]),
        ({"fast": OTHER}, Choice("plain", "fast ways are not taken: all moved"), ["fast"]),
        (
            {"fast": OTHER, "fast2": (False, "it crashed")},
            Choice("plain", "fast ways are not taken: it crashed"),
            ["fast", "fast2"],
        ),
        ({"fast": OTHER, "fast2": SAME}, Choice("fast2", "all agree"), ["fast"]),
        (
            {"fast": OTHER, "one": SAME},
            Choice("one", "all agree; fast ways are not taken: all moved"),
            ["fast"],
        ),
        ({"one": RuntimeError("a\nb")}, Choice("plain", "RuntimeError: a"), ["one"]),
        ({"one": ModelError("it cannot; buy another")}, Choice("plain", "it cannot"), ["one"]),
        ({"untried": "no GPU"}, Choice("unknown", "no GPU"), []),
        ({"one": UntriedError("bad rows"), "two": SAME}, Choice("unknown", "bad rows"), ["one"]),
        ({}, Choice("unknown", "nothing was compared"), []),
    ],
)
def test_the_first_way_that_gives_the_same_stays_and_others_are_undone(outcomes, expected, undone):
    UNDONE.clear()
    assert choose("plain", ways(**outcomes), untried="unknown") == expected
    assert undone == UNDONE


def test_the_default_is_taken_where_nothing_is_said_of_the_untried():
    assert choose("plain", ways(untried="no GPU")) == Choice("plain", "no GPU")


def _interrupt():
    raise KeyboardInterrupt


def test_an_interruption_is_no_verdict():
    with pytest.raises(KeyboardInterrupt):
        choose("plain", [Way("one", _interrupt)])
