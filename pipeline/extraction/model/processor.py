"""A checkpoint's processor, which makes prompts into inputs; no weights are read for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    AutoTokenizer,
)

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.model_options import ModelOptions

KINDS = (AutoModelForImageTextToText, AutoModelForMultimodalLM, AutoModelForCausalLM)
"""What a checkpoint is loaded as: the first that knows its architecture."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is known of a checkpoint without its weights."""

    kind: Any
    """The class that loads it, one of `KINDS`."""
    config: Any
    processor: Any
    """Its processor, or the tokenizer of a model that reads text alone."""

    @property
    def text_only(self) -> bool:
        """Whether it is a language model that reads no images."""
        return self.kind is AutoModelForCausalLM


def read_checkpoint(options: ModelOptions) -> Checkpoint:
    """Read the configuration and the processor of a checkpoint, whatever transformers raises."""
    config = AutoConfig.from_pretrained(options.path, **options.source)
    kind = _kind(config)
    reader = AutoTokenizer if kind is AutoModelForCausalLM else AutoProcessor
    return Checkpoint(kind, config, reader.from_pretrained(options.path, **options.source))


def _kind(config: Any) -> Any:
    """Return the class that loads a checkpoint; code that comes with it may know more of them."""
    remote = getattr(config, "auto_map", None) or {}
    for kind in KINDS:
        if type(config) in kind._model_mapping or kind.__name__ in remote:
            return kind
    raise ValueError(
        f"{type(config).__name__} is no architecture with a language decoder that this"
        " transformers release can load"
    )


def require_template(name: str, processor: Any) -> None:
    """Raise ModelError where a checkpoint does not say how it is prompted."""
    if getattr(processor, "chat_template", None) is None:
        raise ModelError(
            f"{name} has no chat template, so its prompt form is unknown; put a chat_template.jinja"
            " beside its config.json and give the folder as --model, or give --model-code with"
            " to_inputs"
        )


def limit_pixels(name: str, processor: Any, pixels: Mapping[str, int]) -> None:
    """Set the limits in a processor that has them: there its size means pixels, not edges.

    Raises
    ------
    ModelError
        It has none.
    """
    images = getattr(processor, "image_processor", None)
    for key, value in pixels.items():
        if key not in getattr(getattr(images, "valid_kwargs", None), "__annotations__", {}):
            option = "--" + key.replace("_", "-")
            raise ModelError(f"the image processor of {name} has no pixel limits; drop {option}")
        edge = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}[key]
        sizes: Any = images
        sizes.size = type(sizes.size)(**{**dict(sizes.size), edge: value})
