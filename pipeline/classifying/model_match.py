"""How the model that a classifier belongs to is loaded, and how it decoded media.

Whether the one that runs is it: `savs.pipeline.selection.compatibility`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.catalogue import KINDS
from savs.datasets.media_kinds.decoding import VIDEO_INPUTS
from savs.pipeline.demo import SHIPPED
from savs.pipeline.encoders.recipe import recorded_recipe
from savs.pipeline.errors import SelectionError
from savs.pipeline.extraction.effects import fields_in_identity
from savs.pipeline.extraction.model.model_options import ModelOptions, PlacingKeywords
from savs.pipeline.names import IMPORTED
from savs.pipeline.prompts.prompt_form import PROMPT
from savs.pipeline.running.options import options_of
from savs.pipeline.selection.selection_config import SelectionConfig
from savs.stores.format.layout import Facts

DECODING: dict[str, type] = {
    **{name: of for kind in KINDS for name, of in kind.recorded.items()},
    "window_ms": int,
    "stride_ms": int,
    "jpeg_draft": int,
    "box_margin": int,
}
"""Facts of a processor that say how media are decoded -> their types."""
HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", re.ASCII)
"""Name of a model on the hub. transformers takes what is a path for one, whatever the revision."""


def model_options(
    config: SelectionConfig,
    *,
    model: str | Path | None,
    revision: str | None,
    dtype: str | None,
    placing: PlacingKeywords,
) -> ModelOptions:
    """Return how the model of a classifier is loaded, with what the user gives instead.

    SelectionError if the model was a local folder, and is not given, or it is a path
    with a revision; ModelError if a value cannot
    be.
    """
    facts, processor = config.source.model, config.source.processor
    name = _recorded(facts, "name", str)
    commit = _recorded(facts, "revision", str)
    require_model(config)
    chosen = name if model is None else model
    if chosen is None or (model is None and commit is None and name not in SHIPPED):
        raise SelectionError(
            f"the classifier's model was a local folder called {name!r}; pass `model` FOLDER"
        )
    is_path = not HUB_ID.fullmatch(str(chosen)) or os.path.lexists(chosen)
    if model is None and commit is not None and is_path:
        raise SelectionError(
            f"the classifier records a revision of the model {chosen!r:.200}, which is a path, not"
            " a name on the hub; pass `model` FOLDER or OWNER/NAME if you trust it"
        )
    return ModelOptions(
        model=chosen,
        revision=revision or (commit if model is None else None),
        dtype=dtype or config.source.dtype,
        prompt_template=_prompt_template(facts),
        embedding=recorded_recipe(facts),
        min_pixels=_recorded(processor, "min_pixels", int),
        max_pixels=_recorded(processor, "max_pixels", int),
        **recorded_values(facts),
        **placing,
    )


def is_imported(config: SelectionConfig) -> bool:
    """Return whether another program computed the features of a classifier."""
    return config.model.get("class") == IMPORTED


def require_model(config: SelectionConfig) -> None:
    """Raise SelectionError if no model computes the features of a classifier here."""
    if is_imported(config):
        name = config.model.get("name")
        raise SelectionError(
            f"the classifier is one of imported features ({name}), which no model computes here;"
            f" import new ones with `model` {name}, and pass their store or array"
        )


def decoding_of(config: SelectionConfig) -> dict[str, Any]:
    """Return how the media of a classifier's training examples were decoded, where recorded.

    SelectionError if a value cannot be.
    """
    recorded = config.source.processor
    decoding = {name: _recorded(recorded, name, kind) for name, kind in DECODING.items()}
    if decoding["video"] not in (None, *VIDEO_INPUTS):
        raise SelectionError(
            f"the classifier records video as {decoding['video']!r}, expected"
            f" {' or '.join(VIDEO_INPUTS)}; run `savs select` again"
        )
    return {name: value for name, value in decoding.items() if value is not None}


def decoding_rules(decoding: Mapping[str, Any]) -> MediaRules:
    """Return how media are decoded, from `decoding_of`, and defaults for what it lacks."""
    given = {f.name: decoding[f.name] for f in fields(MediaRules) if f.name in decoding}
    return MediaRules(draft_pixels=decoding.get("jpeg_draft"), **given)


def _recorded(facts: Facts, name: str, kind: type, least: int | None = 1) -> Any:
    """Return what a classifier, which anyone may have written, records under a name.

    SelectionError if it has another type, or is a number below `least`.
    """
    value = facts.get(name)
    kinds = (int, float) if kind is float else (kind,)
    is_small = kind in (int, float) and least is not None
    if value is None or (type(value) in kinds and not (is_small and value < least)):
        return value
    raise SelectionError(
        f"the classifier records {name} as {value!r}, expected a {kind.__name__}; run `savs select`"
        " again"
    )


def recorded_values(facts: Facts) -> dict[str, Any]:
    """Return the options whose value the identity of a store has, from a classifier's model.

    SelectionError if one has another type, or is below the smallest value of the option.
    """
    hints, options = get_type_hints(ModelOptions), options_of(ModelOptions)
    names = [name for name in fields_in_identity(ModelOptions) if facts.get(name) is not None]
    kinds = {name: (get_args(hints[name]) or (hints[name],))[0] for name in names}
    return {n: _recorded(facts, n, kind, options[n].min) for n, kind in kinds.items()}


def _prompt_template(facts: Facts) -> str | None:
    """Return the prompt form of a classifier; never the name of a file, which would be read."""
    text = _recorded(facts, "prompt_template", str)
    if text is not None and PROMPT not in text:
        raise SelectionError(
            f"the classifier records prompt_template as {text!r}, expected a text with {PROMPT};"
            " run `savs select` again"
        )
    return text
