"""Ways to run that were found once: trying them takes two thirds of a small extraction."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from savs.pipeline.extraction.checks.decisions import DEFAULTS, Batching, preflight
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.prompts.media import Pieces, shape_of

FOUND: dict[Hashable, Batching] = {}


def preflight_once(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: Any,
    run: RunOptions,
    answers: Answers = NO_ANSWERS,
    **options: Any,
) -> Batching:
    """Return what `preflight` found for the same checkpoint, options and forms of prompts."""
    shapes = Counter(map(shape_of, prompts))
    key = (
        *(model.name, model.weights.digest if model.weights else id(model), str(model.settings)),
        *(model.dtype, str(model.device), model.attention, str(model.grids), scale is None),
        *(getattr(run, name) for name in ("batch_tokens", *DEFAULTS)),
        *(max(map(len, answers.tokens.values()), default=0), bool(answers.ends), answers.whole),
        *(bool(answers.demonstrated), *sorted(options.items())),
        frozenset((shape, count > 1) for shape, count in shapes.items()),
    )
    if key not in FOUND:
        FOUND[key] = preflight(model, prompts, scale, run, answers, **options)
    return FOUND[key]
