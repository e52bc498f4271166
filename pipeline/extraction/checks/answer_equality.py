"""Whether a model's own answers may run behind the cache of its prompts, tried on a few.

What is kept must be what whole passes of prompt and label give. Where a cache changes that, each
prompt runs again with each label.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.checks.batch_equality import (
    CHAOS,
    Single,
    compare,
    own_answers,
    stacked,
)
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.pieces import Pieces, shape_of

NATS = {"float32": 1e-3, "bfloat16": 3e-1, "float16": 3e-2}
"""Difference of a log-likelihood, a token, that rounding alone explains."""


def find_answer_way(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    singles: Callable[[], Sequence[Single]],
    answers: Answers,
    *,
    batches: bool,
) -> tuple[bool, str]:
    """Return whether each answer must run with its whole prompt, and what was seen.

    Parameters
    ----------
    model
        The loaded model.
    prompts
        Some of the user's prompts; those of one shape, see `shape_of`, side by side.
    singles
        Runs each of them by itself, or returns what that gave before.
    answers
        What is kept.
    batches
        Whether prompts run together.

    Raises
    ------
    ModelError
        The model fails where it shall give logits.
    """
    tried = answers if answers.tokens else _any_label(answers)
    plain = replace(tried, whole=True, ends=())
    try:
        found = singles()
    except Exception as error:  # of the examples themselves: the run skips them, and says so
        return False, f"no prompt could be tried: {type(error).__name__}: {error}"
    if not prompts:
        return False, "no prompt was tried"
    try:
        wholes = [model.read(model.inputs([p]), plain.tried(1)) for p in prompts]
        beside = [model.read(model.inputs([p, p]), plain.tried(2)) for p in prompts]
    except Exception as error:
        raise ModelError(
            f"{model.name} gives heads, and no logits for its own answers"
            f" ({type(error).__name__}: {error}); leave out --answers"
        ) from error
    asked = replace(tried, ends=())
    alike = [list(own) for _, own in groupby(prompts, shape_of)]
    parts = alike if batches else [[pieces] for pieces in prompts]
    try:
        reads = [model.read(model.inputs(part), asked.tried(len(part))) for part in parts]
    except Exception as error:  # whatever it is, whole passes have not failed by it
        return True, f"{type(error).__name__}: {error}"
    alone = np.stack([single.heads for single in found])
    doubled = np.stack([single.doubled for single in found])
    heads = np.concatenate([stacked(model, read).swapaxes(0, 1) for read in reads])
    equal, what = compare(alone, doubled, heads, model.dtype)
    if not equal:
        return True, f"heads beside answers differ: {what}"
    whole = np.concatenate([own_answers(read) for read in wholes])
    other = np.concatenate([own_answers(read) for read in reads])
    rounding = np.abs(whole - np.stack([own_answers(read)[0] for read in beside])).max()
    apart = float(np.nan_to_num(np.abs(whole - other), nan=np.inf).max())
    tokens = max(map(len, tried.tokens.values()))
    limit = max(NATS[model.dtype] * tokens, CHAOS * float(rounding))
    seen = f"log-likelihoods differ from those of whole passes by {apart:.1e} at most"
    return apart > limit, seen


def _any_label(answers: Answers) -> Answers:
    """Return answers with some label: what is generated also runs behind a cache."""
    return replace(answers, tokens={"tried": answers.ends[:1] * 3})
