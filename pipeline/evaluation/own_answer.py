"""The readouts of the model's own answers by their names."""

from pathlib import Path

from savs.datasets import Benchmark
from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.assessment import Evaluation
from savs.pipeline.evaluation.generated import generated
from savs.pipeline.evaluation.zero_shot import zero_shot
from savs.pipeline.names import GENERATED, ICL, OWN_ANSWERS, ZERO_SHOT_MEAN
from savs.stores import FeatureStore


def own_answer(
    store: FeatureStore,
    readout: str,
    *,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
) -> Evaluation:
    """Classify each test example by the model's own answer.

    Parameters
    ----------
    store
        A store of an extraction with `answers`.
    readout
        `zero-shot`, `zero-shot-mean` (per token), `icl` or `generated`.
    benchmark, drop_leaks
        As in `zero_shot`.

    Raises
    ------
    ParameterError
        There is no such readout.
    ResultError
        The store keeps no such answers.
    StoreIncompleteError
        A planned shard is missing.
    """
    if readout not in OWN_ANSWERS:
        raise ParameterError(f"readout is {readout!r}, expected one of {', '.join(OWN_ANSWERS)}")
    if readout == GENERATED:
        return generated(store, benchmark=benchmark, drop_leaks=drop_leaks)
    return zero_shot(
        store,
        benchmark=benchmark,
        drop_leaks=drop_leaks,
        per_token=readout == ZERO_SHOT_MEAN,
        in_context=readout == ICL,
    )
