"""Questions that are asked about images without a label, as a store's benchmark records them."""

from collections.abc import Mapping
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


def asked_questions(facts: Mapping[str, Any]) -> list[AskedQuestion]:
    """Return the questions of a benchmark, of its `name` and `options`; OptionError if damaged.

    >>> asked_questions({"options": {"asked": [{"subtask": None, "answers": ["Yes", "No"]}]}})
    [AskedQuestion(subtask=None, answers=('Yes', 'No'), are_levels=False)]
    """
    try:
        return msgspec.convert(facts.get("options", {}).get(OPTION, []), list[AskedQuestion])
    except msgspec.ValidationError as error:
        raise OptionError(
            f"benchmark.options.{OPTION}: {error}; ask again in a new folder"
        ) from error
