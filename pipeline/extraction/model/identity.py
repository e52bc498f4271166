"""What a model, its processor and its prompt form are, as digests that a store can compare."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from savs.datasets.media_kinds.images import IMAGES
from savs.pipeline.extraction.effects import values_in_identity
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.model_options import ModelOptions, plain_name
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.prompts.media.catalogue import INPUTS
from savs.pipeline.prompts.media_places import media_places
from savs.stores import Identity
from savs.stores.format.layout import (
    HEADS_SITE,
    IMAGE_OUTPUTS,
    LOGIT_SCALE,
    SITE,
    digest,
)

NO_MATTER = (
    *("device_map", "max_memory", "offload_folder", "offload_buffers"),
    *("cache_dir", "force_download", "local_files_only", "token"),
    *("gpu_memory_utilization", "kv_cache_memory_bytes", "cpu_offload_gb", "max_model_len"),
    *("max_num_seqs", "enable_prefix_caching", "mm_processor_cache_gb"),
)
"""Keyword arguments of `from_pretrained`, or of vLLM, that change where weights are or what fits,
not what they are."""

CODE = "checkpoint_code"
"""Digest of the Python files that came with a checkpoint and ran."""

_NOT_PART_OF_A_MODEL = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def portable(value: Any) -> Any:
    """Return settings as JSON has them, without what differs between machines and releases."""
    if isinstance(value, dict):
        return {
            str(key): portable(item)
            for key, item in value.items()
            if key not in _NOT_PART_OF_A_MODEL
        }
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def processor_facts(encoder: PromptEncoder, media: Mapping[str, Any]) -> dict[str, Any]:
    """Return class, digests of image settings and files, given pixel limits, and `media`.

    `media` says how media are decoded. Where videos go in as videos, or there are sounds, there is
    a digest of these settings, too.
    """
    processor, options = encoder.processor, encoder.options
    facts = {
        "class": type(processor).__name__,
        "settings": _settings_digest(encoder.images),
        "files": dict(encoder.files),
        "min_pixels": options.min_pixels,
        "max_pixels": options.max_pixels,
        **media,
    }
    for inputs in INPUTS.values():
        if inputs.settings and inputs.is_recorded(media):
            facts |= inputs.facts(processor)
            facts[inputs.settings] = _settings_digest(getattr(processor, inputs.part, None))
    return facts


def _settings_digest(part: Any) -> str:
    return digest(portable({} if part is None else json.loads(part.to_json_string())))


def prompt_digest(processor: Any) -> str:
    """Return the digest of all that words a prompt apart from the examples: the chat template.

    Where the template moves images or sounds, it is also the one that keeps them at their marks.
    """
    form = {"chat_template": getattr(processor, "chat_template", None), "turns": "one user turn"}
    places = media_places(processor)
    for kind, inputs in INPUTS.items():
        if places is None or not inputs.probes:
            continue
        is_seen = kind is IMAGES or places.mark_of(inputs.letter) is not None
        if is_seen and places.moves(inputs.probes):
            form[f"{kind.noun}s_at_marks"] = places.joining(inputs.letter)
    return digest(form)


def model_settings(options: ModelOptions, encoder: PromptEncoder) -> dict[str, Any]:
    """Return what apart from checkpoint and processor changes features, as a store has it."""
    keywords = {k: v for k, v in (options.model_kwargs or {}).items() if k not in NO_MATTER}
    settings = {
        "adapter": options.adapter and plain_name(str(options.adapter)),
        "adapter_files": encoder.adapter_files,
        "code": encoder.code.digest,
        "kwargs": portable(keywords),
        "prompt_template": encoder.form and not encoder.embedding and encoder.form.text,
        "embedding": encoder.embedding and encoder.embedding.facts(),
        "image_mark": encoder.image_mark,
    }
    settings = {key: value for key, value in settings.items() if value}
    return settings | values_in_identity(options)


def site_facts(label: str) -> dict[str, str]:
    """Return what a model's facts say of the site that is read; nothing of heads."""
    return {} if label == HEADS_SITE else {SITE: label}


def identity_before_loading(
    recorded: Identity,
    options: ModelOptions,
    encoder: PromptEncoder,
    benchmark: Mapping[str, Any],
    answers: Answers,
    media: Mapping[str, Any],
    site: str,
    weights: str | None = None,
) -> Identity:
    """Return the identity of a run's features, as far as it is known before loading.

    So most mistakes are found before the weights are loaded. What is not known yet is taken from
    the store: configuration, class and code of the model, its heads, `--dtype auto`, and its
    weights unless their digest is given.
    """
    facts = recorded.model
    some = [name for name in (LOGIT_SCALE, IMAGE_OUTPUTS, CODE) if name in facts]
    known_later = ("class", "config", *some)
    return replace(
        recorded,
        model={
            "name": encoder.name,
            "revision": encoder.revision,
            **{name: facts.get(name) for name in known_later},
            "weights": weights or facts.get("weights"),
            **model_settings(options, encoder),
            **site_facts(site),
        },
        processor=processor_facts(encoder, media),
        dtype=recorded.dtype if options.dtype == "auto" else options.dtype,
        prompt=prompt_digest(encoder.processor),
        benchmark=benchmark,
        outputs=answers.facts(),
    )
