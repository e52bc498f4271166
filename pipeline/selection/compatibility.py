"""May a selection be used here? One answer for every use of a selection.

| what differs | on stored features | on a model that classifies new media |
| --- | --- | --- |
| site, pooling, weights, configuration, processor, decoding, a chosen head | refused | refused |
| chat template | refused | refused, or noted with `allow_other_prompt` |
| dtype; name or revision of the same weight files | refused: select heads again | noted |
| kind of labels of a store | refused | |
| training examples or labels that came to a store since | noted | |

Whether examples have the prompt of training is asked of the examples, see `require_same_prompt`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from savs.pipeline.errors import SelectionError
from savs.pipeline.selection.selection_config import (
    SelectionConfig,
    older_note,
    require_selection,
)
from savs.pipeline.selection.training_data import grid_widths
from savs.pipeline.targets import target_of
from savs.stores.format.manifest import FeatureSource, Manifest

NAMES = ("model.name", "model.revision")
TEMPLATE = "prompt"


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which a selection differs from what it would be used on."""

    name: str
    """The field: `site`, `model.weights`, `labels`, `training examples` ..."""
    text: str
    is_refused: bool
    """False where a note is enough."""


def differences(
    selection: SelectionConfig,
    found: Manifest | FeatureSource,
    *,
    runs: bool = False,
    allow_other_prompt: bool = False,
) -> list[Difference]:
    """Compare a selection with a store or other features, by the table in the head of this file.

    `runs` says that `found` are the features of a model that classifies new media. Heads that were
    not chosen may be absent on either side: a store may be slim.
    """
    is_store = isinstance(found, Manifest)
    features = found.identity.source() if isinstance(found, Manifest) else found
    ours = selection.source
    held, meant = grid_widths(features.grid), grid_widths(ours.grid)
    if all(held.get(head) == meant[head] for head in selection.heads):
        ours = replace(ours, grid=features.grid)
    noted = set[str]()
    if runs:
        noted |= {"dtype", *(NAMES if _has_same_weights(ours, features) else ())}
        noted |= {TEMPLATE} if allow_other_prompt else set()
    lines = ours.differences(
        features,
        "in the store" if is_store else "now",
        here="in the classifier" if runs else "in the selection",
    )
    named = [(line.partition(":")[0], line) for line in lines]
    apart = [Difference(name, line, name not in noted) for name, line in named]
    if isinstance(found, Manifest):
        target = target_of(found.identity.benchmark)
        if target is not selection.target:
            line = f"labels: {selection.target.noun} in the selection, {target.noun} in the store"
            apart.append(Difference("labels", line, is_refused=True))
        notes = older_note(selection, found)
        apart += [Difference("training examples", note, is_refused=False) for note in notes]
    return apart


def _has_same_weights(ours: FeatureSource, theirs: FeatureSource) -> bool:
    facts = [[source.model.get(key) for key in ("weights", "config")] for source in (ours, theirs)]
    return None not in facts[0] and facts[0] == facts[1]


def require_fit(
    selection: SelectionConfig,
    found: Manifest | FeatureSource,
    name: str | Path,
    of: str | Path = "",
) -> list[str]:
    """Return notes on a selection that is used on a store, or on other features.

    `name` is that of the store or the features, `of` the folder of the selection, for the message.

    Raises
    ------
    SelectionError
        It was made from other features, or for another kind of labels.
    ParameterError
        It is no selection, but its path, for example.
    """
    require_selection(selection)
    apart = differences(selection, found)
    _refuse(
        apart,
        f"the selection{f' {of}' if of else ''} does not fit {name}",
        "give a selection of these features: run `savs select` on them",
    )
    return [one.text for one in apart]


def require_match(
    selection: SelectionConfig, running: FeatureSource, *, allow_other_prompt: bool
) -> list[str]:
    """Return notes on a classifier whose model runs; SelectionError if it is another model."""
    apart = differences(selection, running, runs=True, allow_other_prompt=allow_other_prompt)
    _refuse(
        apart,
        "the classifier belongs to another model",
        "run the classifier's own model (`model`, `revision`, `adapter`, `model_code`,"
        " `model_kwargs`), or select heads with this one",
    )
    return [one.text for one in apart]


def _refuse(apart: Sequence[Difference], what: str, remedy: str) -> None:
    refused = [one.text for one in apart if one.is_refused]
    if refused:
        lines = "".join(f"\n  {text}" for text in refused)
        raise SelectionError(f"{what}, they differ in:{lines}\n{remedy}")
