"""What a model, its processor and its prompt form are, as digests that a store can compare."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from accelerate.utils import align_module_device

from savs.stores.format.layout import digest

SAMPLED_VALUES = 64
"""Values of each weight that enter the digest: enough to tell finetunes apart, at no cost."""

_NOT_PART_OF_A_MODEL = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def model_facts(name: str, revision: str | None, model: Any) -> dict[str, Any]:
    """Return name, revision, class, and digests of configuration and weights."""
    return {
        "name": name,
        "revision": revision,
        "class": type(model).__name__,
        "config": digest(portable(model.config.to_dict())),
        "weights": weights_digest(model),
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


def weights_digest(model: Any) -> str:
    """Return the SHA-256 of the first values of every weight, whatever files they came in."""
    sha = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        sha.update(f"{name} {tuple(weight.shape)}".encode())
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        with align_module_device(module):  # what lies on the disk comes for a moment
            values = getattr(module, leaf).detach().flatten()[:SAMPLED_VALUES]
            if values.device.type != "meta":
                values = values.cpu().contiguous()
                sha.update(values.view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def processor_facts(processor: Any, pixels: Mapping[str, int]) -> dict[str, Any]:
    """Return class, digest of the image settings, and the pixel limits that were asked for."""
    images = getattr(processor, "image_processor", None)
    settings = {} if images is None else json.loads(images.to_json_string())
    return {
        "class": type(processor).__name__,
        "settings": digest(portable(settings)),
        "min_pixels": pixels.get("min_pixels"),
        "max_pixels": pixels.get("max_pixels"),
    }


def prompt_digest(processor: Any) -> str:
    """Return the digest of all that words a prompt beside the examples: the chat template."""
    return digest(
        {"chat_template": getattr(processor, "chat_template", None), "turns": "one user turn"}
    )
