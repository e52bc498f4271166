"""What the model ran for a result.

A forward is a prompt that the model reads for the result, media included. These count:

* each test example, once, of the model's own answers after demonstrations as well;
* the training examples that a readout is fitted on, that chose its heads, or that gave captions
  their threshold;
* the texts of classes and the captions that images are compared with;
* after demonstrations, those of each subtask, which run once as one prompt;
* where each label runs with its whole prompt, a pass for each label of the example's subtask.

These do not: labels and generated tokens that run after the cache of their prompt; training
examples that change no prediction, such as those of a calibration; skipped examples; and what
checked the model before the run. Examples of equal prompts run once and count each.

The bytes are those of the features that these prompts have in the store, all heads together; the
model's own answers need none.

The seconds are those of the splits that these prompts are of, in all processes, decoding included:
the time of all that the run kept of them. None stands for what the store does not know.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from savs.pipeline.names import GENERATED, ICL
from savs.pipeline.selection.selection import Selection
from savs.pipeline.selection.training_data import count_texts, train_digest
from savs.stores import FeatureStore
from savs.stores.format.layout import CLASSES


def selection_cost(store: FeatureStore, selection: Selection) -> dict[str, Any]:
    """Return the cost of a selection on a store's test examples.

    If it was made in another store, the seconds of its training examples are not known, nor the
    texts that it read.
    """
    rule, tasks = selection.rule, selection.tasks
    chose = not selection.heads_from and 0 < selection.head_count < len(store.heads)
    train = sum(task.examples for task in tasks) if rule.learns or chose else 0
    prompts = {"test": store.rows("test"), "train": train}
    if rule.texts:
        counts = [count_texts(store, rule.texts, task.subtask, task.classes) for task in tasks]
        known = [count for count in counts if count is not None]
        if selection.train != train_digest(store) or len(known) < len(counts):
            return _cost(None, None, None)
        prompts[CLASSES] = sum(known)
    if selection.train != train_digest(store):
        forwards = sum(prompts.values())
        return _cost(forwards, None, forwards * store.manifest.identity.row_bytes)
    return splits_cost(store, prompts)


def answers_cost(
    store: FeatureStore, readout: str, classes: Mapping[str | None, Sequence[str]]
) -> dict[str, Any]:
    """Return the cost of the model's own answers to a store's test examples.

    `classes` are those of each subtask. How many passes were generated is not known if each token
    took one.
    """
    way = store.manifest.batching.get("answers")
    whole = isinstance(way, Mapping) and way.get("name") == "whole"
    cost = splits_cost(store, {"test": store.rows("test")})
    forwards = cost["forwards"]
    if readout == ICL:
        forwards += len(classes)
    elif whole and readout == GENERATED:
        forwards = None
    elif whole:
        forwards += sum(len(classes.get(name, ())) for name in store.examples("test")["subtask"])
    return _cost(forwards, cost["seconds"], 0)


def splits_cost(store: FeatureStore, prompts: Mapping[str, int]) -> dict[str, Any]:
    """Return the cost of a number of prompts of each split."""
    times = [store.seconds(split) for split, count in prompts.items() if count]
    known = [seconds for seconds in times if seconds is not None]
    forwards = sum(prompts.values())
    size = forwards * store.manifest.identity.row_bytes
    return _cost(forwards, sum(known) if len(known) == len(times) else None, size)


def _cost(forwards: int | None, seconds: float | None, size: int | None) -> dict[str, Any]:
    return {
        "forwards": forwards,
        "seconds": None if seconds is None else round(seconds, 3),
        "bytes": size,
    }
