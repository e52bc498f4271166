"""Questions that are asked about images without a label, as a store's benchmark records them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from savs.datasets.errors import OptionError

OPTION = "asked"
"""Name of the option."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question, and the answers that a model chooses among."""

    subtask: str | None
    """None where it is the only one."""
    answers: tuple[str, ...]
    """Classes; of a scale its levels, ascending."""
    are_levels: bool = False
    texts: tuple[str, ...] = ()
    """What the model would write for each answer, such as a letter; nothing for the answer itself.
    """

    @property
    def written(self) -> tuple[str, ...]:
        """The text of each answer whose log-likelihood is kept."""
        return self.texts or self.answers


def asked_questions(facts: Mapping[str, Any]) -> list[AskedQuestion]:
    """Return the questions of a benchmark, of its `name` and `options`; OptionError if damaged.

    >>> asked_questions({"options": {"asked": [{"subtask": None, "answers": ["Yes", "No"]}]}})
    [AskedQuestion(subtask=None, answers=('Yes', 'No'), are_levels=False, texts=())]
    """
    try:
        return msgspec.convert(facts.get("options", {}).get(OPTION, []), list[AskedQuestion])
    except msgspec.ValidationError as error:
        raise OptionError(
            f"benchmark.options.{OPTION}: {error}; ask again in a new folder"
        ) from error


def written_answers(
    facts: Mapping[str, Any], classes: Mapping[str | None, Sequence[str]]
) -> dict[str | None, tuple[str, ...]]:
    """Return subtask -> the texts whose log-likelihoods a benchmark has for these classes."""
    texts = {
        one.subtask: dict(zip(one.answers, one.written, strict=True))
        for one in asked_questions(facts)
    }
    return {
        subtask: tuple(texts.get(subtask, {}).get(name, name) for name in names)
        for subtask, names in classes.items()
    }
