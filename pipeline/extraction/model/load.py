"""Load a checkpoint: from the hub, from a folder, or the shipped one."""

from collections.abc import Iterable
from typing import Any

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import find_hook_points
from savs.pipeline.extraction.model.dual_encoder import DualEncoder, output_point, scale_facts
from savs.pipeline.extraction.model.first_layers import first_layers
from savs.pipeline.extraction.model.identity import model_settings
from savs.pipeline.extraction.model.load_encoder import explained
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.placement import Placement
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder


def load(
    options: ModelOptions,
    encoder: PromptEncoder,
    placement: Placement,
    last_layer: int | None = None,
) -> LoadedModel:
    """Load the weights of a checkpoint whose processor is loaded; see `ModelRun.load`.

    With `last_layer`, where `can_end_early` says so, the decoder layers behind it are absent.

    Raises
    ------
    ModelError
        Not found, neither a model with a language decoder nor a dual encoder, without a chat
        template, or without heads; or `keep` for a model to which the mark is a token of its own.
    """
    name, keywords = str(options.model), dict(options.model_kwargs or {})
    with explained("model", name):
        kind = encoder.kind
        if last_layer is not None:
            kind = first_layers(kind._model_mapping[type(encoder.config)], last_layer)
        loaded: Any = kind.from_pretrained(
            options.path,
            dtype=options.dtype,
            attn_implementation=options.attention,
            output_loading_info=True,
            **options.source,
            **placement.keywords | keywords,
        )
        model, report = loaded
    _require_weights(name, [*report["missing_keys"], *report["mismatched_keys"]])
    if options.adapter is not None:
        _put_on(model, str(options.adapter))
    model.eval()
    settings = model_settings(options, encoder)
    if encoder.is_dual:
        point = output_point(model, encoder)
        return DualEncoder(model, encoder, (point,), settings | scale_facts(model))
    return LoadedModel(
        model=model,
        encoder=encoder,
        hook_points=tuple((encoder.code.find_heads or find_hook_points)(model)),
        settings=settings,
    )


def can_end_early(options: ModelOptions, encoder: PromptEncoder) -> bool:
    """Return whether `load` can leave out the last layers of a checkpoint.

    Not with an adapter, which has weights for all layers, with code of the user or of the
    checkpoint, where the user places the layers, in a dual encoder, and in a quantised model: which
    modules stay as they are depends on the last ones.
    """
    given = options.model_kwargs or {}
    return (
        not encoder.is_dual
        and type(encoder.config) in encoder.kind._model_mapping
        and not getattr(encoder.config, "auto_map", None)
        and options.adapter is None
        and encoder.code.find_heads is None
        and not {"device_map", "quantization_config"} & given.keys()
        and getattr(encoder.config, "quantization_config", None) is None
    )


def _require_weights(name: str, absent: Iterable[Any]) -> None:
    if found := sorted(map(str, absent)):
        raise ModelError(
            f"{len(found)} weights of {name} are not in its files, or not of their shape, and"
            f" would be random: {found[0]} ...; get the whole checkpoint"
        )


def _put_on(model: Any, adapter: str) -> None:
    """Put a PEFT adapter on a model, all of it: what does not fit would be random, or left out."""
    with explained("adapter", adapter):
        report = model.load_adapter(adapter)
    wrong = sorted({*report.missing_keys, *report.unexpected_keys})
    if wrong:
        raise ModelError(
            f"adapter {adapter} does not fit the model: {len(wrong)} weights are in one of them"
            f" only: {wrong[0]} ...; give --adapter one that was trained on this model"
        )
