"""Ways to run that were found once: trying them takes two thirds of a small extraction."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import pytest

from savs.pipeline.extraction import model_run
from savs.pipeline.extraction.checks.decisions import DEFAULTS, Batching, preflight
from savs.pipeline.extraction.model.answers import NO_ANSWERS, Answers
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.prompts.media.catalogue import shape_of
from savs.pipeline.prompts.media.inputs import Pieces

FOUND: dict[Hashable, Batching] = {}


@pytest.fixture(scope="module", autouse=True)
def ways_tried_each_time() -> Iterator[None]:
    """Try ways for each run, in the folder whose `conftest.py` imports this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_run, "preflight", preflight)
        yield


def preflight_once(
    model: LoadedModel,
    prompts: Sequence[Pieces],
    scale: Any,
    run: RunOptions,
    answers: Answers = NO_ANSWERS,
    **options: Any,
) -> Batching:
    """Return what `preflight` found for the same checkpoint, options and forms of prompts.

    Which heads are read of it makes no difference: a way keeps all of them, or is not taken.
    """
    shapes = Counter((shape_of(one), *(isinstance(piece, str) for piece in one)) for one in prompts)
    if options["shared"] and any(len(shape) > 1 for shape, *_ in shapes):  # by which they share
        return preflight(model, prompts, scale, run, answers, **options)
    key = (
        *(model.name, model.weights.digest if model.weights else id(model), str(model.settings)),
        *(model.dtype, str(model.device), model.attention, tuple(model.grids), scale is None),
        *(getattr(run, name) for name in ("batch_tokens", *DEFAULTS)),
        *(max(map(len, answers.tokens.values()), default=0), bool(answers.ends), answers.whole),
        *(bool(answers.demonstrated), *sorted(options.items())),
        frozenset((shape, count > 1) for shape, count in shapes.items()),
    )
    if key not in FOUND:
        FOUND[key] = preflight(model, prompts, scale, run, answers, **options)
    return FOUND[key]
