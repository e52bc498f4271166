"""What a model, its processor and its prompt form are, as digests that a store can compare."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from savs.datasets.example import NATIVE, SPLIT
from savs.pipeline.extraction.model.answers import Answers
from savs.pipeline.extraction.model.first_layers import layer_count, layer_numbers
from savs.pipeline.extraction.model.image_places import image_places
from savs.pipeline.extraction.model.model_options import ModelOptions, plain_name
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.stores import Identity
from savs.stores.format.layout import LOGIT_SCALE, digest

SAMPLED_VALUES = 64
"""Values of each weight that enter the digest: enough to tell finetunes apart, at no cost."""
DIGITS = 16
"""Hexadecimal digits of the digest of a layer: a model has many."""

NO_MATTER = (
    *("device_map", "max_memory", "offload_folder", "offload_buffers"),
    *("cache_dir", "force_download", "local_files_only", "token"),
)
"""Keyword arguments of `from_pretrained` that change where weights are, not what they are."""

_NOT_PART_OF_A_MODEL = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def model_facts(name: str, revision: str | None, model: Any) -> dict[str, Any]:
    """Return name, revision, class, and digests of configuration and weights.

    `layer_weights` are those of all that is no decoder layer, and of each decoder layer; `weights`
    is that of them together, None for a model whose last layers are absent.
    """
    parts = weight_digests(model)
    layers = layer_count(model)
    is_whole = layers is None or len(parts) == layers + 1
    return {
        "name": name,
        "revision": revision,
        "class": type(model).__name__,
        "config": digest(portable(model.config.to_dict())),
        "weights": digest(parts) if is_whole else None,
        "layer_weights": parts,
    }


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


def weight_digests(model: Any) -> list[str]:
    """Return digests of the first values of every weight, whatever files they came in.

    The first is of all weights outside of the decoder's layers, then comes one for each layer that
    is there. A model without a list of layers has one of all weights.
    """
    layers = layer_numbers(model) or {}
    parts = [hashlib.sha256() for _ in range(1 + len(layers))]
    for name, weight in sorted(model.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        sha = parts[_part(name, layers)]
        sha.update(f"{name} {tuple(weight.shape)}".encode())
        module = model.get_submodule(owner)
        with align_module_device(module):  # what lies on the disk comes for a moment
            for held in _tensors_in(getattr(module, leaf).detach()):
                values = held.flatten()[:SAMPLED_VALUES]
                if values.device.type != "meta":
                    values = values.cpu().contiguous()
                    sha.update(values.view(torch.uint8).numpy().tobytes())
    return [sha.hexdigest()[:DIGITS] for sha in parts]


def _tensors_in(weight: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the tensors that a weight is made of: itself, or the parts of a quantised one.

    torchao and quanto keep integers and their scales in one tensor, of which no view can be taken.
    """
    if not is_traceable_wrapper_subclass(weight):
        yield weight
        return
    for name in weight.__tensor_flatten__()[0]:
        yield from _tensors_in(getattr(weight, name))


def _part(name: str, layers: Mapping[str, int]) -> int:
    """Return 1 + the number of the layer that a weight is in, or 0."""
    owners = name.split(".")
    for length in range(1, len(owners)):
        if (number := layers.get(".".join(owners[:length]))) is not None:
            return 1 + number
    return 0


def processor_facts(
    processor: Any, pixels: Mapping[str, int], media: Mapping[str, Any]
) -> dict[str, Any]:
    """Return class, digest of the image settings, given pixel limits, and `media`.

    `media` says how media are decoded. Where videos go in as videos, there is a digest of the
    video settings, too.
    """
    facts = {
        "class": type(processor).__name__,
        "settings": _settings_digest(getattr(processor, "image_processor", None)),
        "min_pixels": pixels.get("min_pixels"),
        "max_pixels": pixels.get("max_pixels"),
        **media,
    }
    if media.get("video") == NATIVE:
        facts["video_settings"] = _settings_digest(getattr(processor, "video_processor", None))
    return facts


def _settings_digest(part: Any) -> str:
    return digest(portable({} if part is None else json.loads(part.to_json_string())))


def prompt_digest(processor: Any) -> str:
    """Return the digest of all that words a prompt apart from the examples: the chat template.

    Where the template moves images, it is also the template that keeps them at their marks.
    """
    form = {"chat_template": getattr(processor, "chat_template", None), "turns": "one user turn"}
    places = image_places(processor)
    if places is not None and places.moves():
        form["images_at_marks"] = places.joining()
    return digest(form)


def model_settings(options: ModelOptions, encoder: PromptEncoder) -> dict[str, Any]:
    """Return what apart from checkpoint and processor changes features, as a store has it."""
    keywords = {k: v for k, v in (options.model_kwargs or {}).items() if k not in NO_MATTER}
    settings = {
        "adapter": options.adapter and plain_name(str(options.adapter)),
        "code": encoder.code.digest,
        "kwargs": portable(keywords),
        "placeholders": options.placeholders if options.placeholders != SPLIT else None,
        "prompt_template": encoder.form and encoder.form.text,
        "image_mark": encoder.image_mark,
    }
    return {key: value for key, value in settings.items() if value}


def identity_before_loading(
    found: Identity,
    options: ModelOptions,
    encoder: PromptEncoder,
    benchmark: Mapping[str, Any],
    answers: Answers,
    media: Mapping[str, Any],
) -> Identity:
    """Return what a run's features would be of if the model's weights were those of a store.

    So most mistakes are found before the weights are loaded. What is not known yet is taken from
    the store: configuration and class of the model, its weights, its heads, and `--dtype auto`.
    """
    unknown = {key: found.model.get(key) for key in ("class", "config", "weights", "layer_weights")}
    if encoder.is_dual:
        unknown[LOGIT_SCALE] = found.model.get(LOGIT_SCALE)
    return replace(
        found,
        model={
            "name": encoder.name,
            "revision": encoder.revision,
            **unknown,
            **model_settings(options, encoder),
        },
        processor=processor_facts(encoder.processor, encoder.pixels or {}, media),
        dtype=found.dtype if options.dtype == "auto" else options.dtype,
        prompt=prompt_digest(encoder.processor),
        benchmark=benchmark,
        outputs=answers.facts(),
    )
