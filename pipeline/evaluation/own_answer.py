"""The model's own answers to the test examples, by the names of their readouts."""

from pathlib import Path

from savs.datasets import Benchmark
from savs.foundation.errors import ParameterError
from savs.pipeline.evaluation.assessment import Evaluation, assess
from savs.pipeline.evaluation.cost import answers_cost
from savs.pipeline.evaluation.generated import text_answers
from savs.pipeline.evaluation.notes import partial_notes
from savs.pipeline.evaluation.predictions import Answers
from savs.pipeline.evaluation.skipped_examples import as_wrong, with_skipped
from savs.pipeline.evaluation.zero_shot import label_answers
from savs.pipeline.inputs.plugins import stored_benchmark
from savs.pipeline.names import GENERATED, OWN_ANSWERS
from savs.stores import FeatureStore
from savs.stores.read.given_store import require_store


def own_answer(
    store: FeatureStore,
    readout: str,
    *,
    benchmark: str | Path | Benchmark | None = None,
    drop_leaks: bool = False,
) -> Evaluation:
    """Classify each test example by the model's own answer, and measure how well.

    No head is chosen and nothing is fitted; of the training examples `icl` alone uses some, as its
    demonstrations.

    Parameters
    ----------
    store
        A complete store that was extracted with `answers`, of `icl` also with `icl_shots`.
    readout
        `zero-shot`, the label of greatest log-likelihood, that of all its tokens and the end of
        turn; `zero-shot-mean`, divided by the number of these tokens; `icl`, as `zero-shot` behind
        demonstrations; or `generated`, the label that the generated text equals, but for white
        space and case. Labels are those of the example's subtask alone. Of equal ones the first
        class wins. A text that is none is the prediction as it is, and wrong; a note counts them.
    benchmark
        The store's: needed where it is in a Python file of your own (its path) or an object.
    drop_leaks
        Leave out test examples that training has seen, with their whole groups.

    Raises
    ------
    ParameterError
        The readout is none of these.
    ResultError
        The store keeps no such answers, or no log-likelihood of each label.
    SelectionError
        Two labels differ in white space or case alone, so that a text cannot tell them apart.
    StoreIncompleteError
        A planned shard is missing.
    """
    require_store(store)
    store.require_complete()
    measuring = stored_benchmark(store, benchmark)
    found = own_answers(store, readout)
    skipped = as_wrong(store.skipped("test"), found.classes)
    whole = with_skipped(store, found.parts, skipped).lazy()
    notes = [*partial_notes(store), *found.notes]
    return assess(
        *(store, whole, found.classes, None, notes, measuring),
        cost=answers_cost(store, readout, found.classes),
        drop_leaks=drop_leaks,
        rule=readout,
    )


def own_answers(store: FeatureStore, readout: str) -> Answers:
    """Return the answers of `own_answer` before they are measured; no benchmark is needed."""
    if readout not in OWN_ANSWERS:
        raise ParameterError(f"readout is {readout!r}, expected one of {', '.join(OWN_ANSWERS)}")
    return text_answers(store) if readout == GENERATED else label_answers(store, readout)
