"""How prompts become a model's inputs, by its processor or by the user's code.

Worker processes have one `PromptEncoder` each; the process of the model has the same. User code, a
file or an entry point of the group `savs.models`, has one of these functions, or both::

    def find_heads(model) -> list[HookPoint]: ...
    def to_inputs(processor, prompts) -> BatchFeature: ...

`HookPoint(LayerGrid(layer, heads, head_dim), projection)` names a module whose input holds the
heads of a layer side by side. `to_inputs` gets prompts as tuples of text and PIL images in reading
order, and returns a batch that is padded on the left, with `attention_mask`.
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.catalogue import KIND_OF_COLUMN
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.foundation.errors import SavsError
from savs.foundation.plugin_calls import calling, place_of
from savs.pipeline.encoders.recipe import EmbeddingRecipe
from savs.pipeline.errors import ModelError, OwnCodeError
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.model_options import ADDED_MODELS, ModelOptions, plain_name
from savs.pipeline.prompts.chat import chat_inputs, conversation_inputs
from savs.pipeline.prompts.media.catalogue import INPUTS, inputs_for
from savs.pipeline.prompts.media.inputs import Pieces
from savs.pipeline.prompts.media_places import takes
from savs.pipeline.prompts.prompt_form import PromptForm
from savs.pipeline.running.user_files import load_file

ToInputs = Callable[[Any, Sequence[Pieces]], Any]
"""Processor and prompts -> what the model takes, padded on the left."""


@dataclass(frozen=True, slots=True)
class OwnCode:
    """What replaces the structural path; None if that is good enough."""

    find_heads: Callable[[Any], Sequence[HookPoint]] | None = None
    to_inputs: Callable[[Any, Sequence[Any]], Any] | None = None
    digest: str | None = None
    """SHA-256 of the file: other code gives other features."""

    def hook_points(self, model: Any) -> tuple[HookPoint, ...]:
        """Return what `find_heads` finds; OwnCodeError if it fails, or gives no such places."""
        assert self.find_heads is not None
        with calling(self.find_heads, _fault, SavsError):
            points = self.find_heads(model)
        if problem := _points_problem(points):
            raise _fault(place_of(self.find_heads), f"gives {problem}")
        return tuple(points)

    def inputs(self, processor: Any, prompts: Sequence[Pieces]) -> Any:
        """Return what `to_inputs` makes; OwnCodeError if it fails, or gives no inputs of these."""
        assert self.to_inputs is not None
        with calling(self.to_inputs, _fault, SavsError):
            inputs = self.to_inputs(processor, prompts)
        if problem := _inputs_problem(inputs, len(prompts)):
            raise _fault(place_of(self.to_inputs), f"gives {problem}")
        return inputs


def _fault(place: str, what: str) -> OwnCodeError:
    return OwnCodeError(f"{place} {what}; fix this file, which `model_code` names")


def _points_problem(points: Any) -> str | None:
    """Return what is wrong with the places that `find_heads` gave, if anything."""
    if isinstance(points, str) or not isinstance(points, Sequence) or not points:
        return f"{points!r:.80}, expected a list of HookPoint"
    for point in points:
        if not isinstance(point, HookPoint):
            return f"a {type(point).__name__}, expected HookPoint"
        if not isinstance(point.module, torch.nn.Module):
            return f"a HookPoint of a {type(point.module).__name__}, expected a module"
        grid, width = point.grid, getattr(point.module, "in_features", None)
        heads = [*grid.heads] if point.places is None else []
        if grid.layer < 0 or grid.head_dim < 1 or not grid.heads or min(grid.heads) < 0:
            return f"{grid}, expected a layer and heads from 0, and a width"
        if heads and width is not None and len(heads) * grid.head_dim != width:
            return (
                f"{len(heads)} heads of {grid.head_dim} values for a module that takes {width},"
                " expected heads that share them all"
            )
    layers = [point.grid.layer for point in points]
    if layers != sorted(set(layers)):
        return f"the layers {layers}, expected each once, ascending"
    return None


def _inputs_problem(inputs: Any, count: int) -> str | None:
    """Return what is wrong with the inputs that `to_inputs` made of prompts, if anything."""
    if not isinstance(inputs, Mapping):
        return f"a {type(inputs).__name__}, expected what a processor returns"
    ids = inputs.get("input_ids")
    if not isinstance(ids, torch.Tensor):
        return f"input_ids as a {type(ids).__name__}, expected a tensor: return_tensors='pt'"
    if ids.dim() != 2 or ids.shape[0] != count or not ids.shape[1]:
        return f"input_ids of shape {tuple(ids.shape)}, expected {count} rows of tokens"
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool:
        return f"input_ids of {ids.dtype}, expected whole numbers"
    mask = inputs.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.shape != ids.shape:
        return f"an attention_mask of shape {tuple(mask.shape)}, expected {tuple(ids.shape)}"
    for name, values in inputs.items():
        is_real = isinstance(values, torch.Tensor) and values.is_floating_point()
        if is_real and not torch.isfinite(values).all():
            return f"{name} with NaN or infinity"
    return None


_TOKENIZING = threading.Lock()
"""Tokenizers keep padding as state: two threads at once would give each other's."""
NO_CODE = OwnCode()
RAW_IMAGES = {"do_rescale": False, "do_normalize": False}
"""Options of an image processor that leave pixels as they are, 0 to 255, see `PixelScale`."""


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """Makes prompts into a model's inputs; made by `load_encoder`."""

    options: ModelOptions
    """What was asked for of the model, with the commit of the hub: the same in all processes."""
    processor: Any
    """The processor, or the tokenizer of a model that reads text alone."""
    to_inputs: ToInputs = chat_inputs
    kind: Any = None
    """The class that loads the model, see `load_encoder`."""
    config: Any = None
    revision: str | None = None
    """Commit of the checkpoint where it came from the hub."""
    code: OwnCode = NO_CODE
    """The user's code that replaces a step."""
    form: PromptForm | None = None
    """The prompt form in place of a chat template, the user's or a built-in one."""
    image_mark: str | None = None
    """What a prompt form has for an image; None if the processor puts that in front."""
    reads_prompts: bool = True
    """False for encoders, which read an image by itself, or a text, see `Tower`."""
    text_tokens: int | None = None
    """How many tokens a dual encoder reads of a text; None for an image encoder."""
    embedding: EmbeddingRecipe | None = None
    """How a multimodal embedding model is read, where it is not its heads that are read."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name -> digest of the files that tokens and pixels depend on, see `prompt_files`."""
    adapter_files: str | None = None
    """Digest of the files of the adapter, where one is put on the model."""

    @property
    def name(self) -> str:
        """Hub id, or a folder's own name."""
        return plain_name(str(self.options.model))

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, which a processor has inside."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def images(self) -> Any:
        """The image processor, None if the model reads no images."""
        is_alone = not self.reads_prompts and not self.is_dual
        return self.processor if is_alone else getattr(self.processor, "image_processor", None)

    @property
    def sound_rate(self) -> int | None:
        """Samples a second of the sounds that the model reads; None if it reads none."""
        return INPUTS[SOUNDS].reader(self.processor) if self.takes(SOUNDS) else None

    def takes(self, kind: MediumKind) -> bool:
        """Return whether the model reads a kind of media in prompts."""
        if self.code.to_inputs is not None:
            return inputs_for(kind).kind is IMAGES
        return takes(self.processor, kind)

    def decoding(self, rules: MediaRules, column: str) -> MediaRules:
        """Return rules by which media of a column are decoded as the model reads them."""
        kind = KIND_OF_COLUMN[column]
        return inputs_for(kind).decoding(self.processor, rules) if self.takes(kind) else rules

    @property
    def is_dual(self) -> bool:
        """Whether the model has a tower for texts, too."""
        return not self.reads_prompts and self.text_tokens is not None

    @property
    def has_heads(self) -> bool:
        """Whether attention heads are read, and not what a model gives out."""
        return self.reads_prompts and self.embedding is None

    @property
    def kind_name(self) -> str:
        """What messages call the model, with its article."""
        if self.reads_prompts:
            return "an embedding model" if self.embedding else "a model with a language decoder"
        return "a dual encoder" if self.is_dual else "an image encoder"

    def text_read(self, prompt: str, media: Collection[str]) -> str:
        """Return what the model reads of a prompt: an encoder nothing but the image."""
        return prompt if self.reads_prompts or not media else ""

    def pieces_read(self, pieces: Pieces) -> Pieces:
        """Return what the model reads of a prompt in pieces, see `text_read`."""
        media = tuple(piece for piece in pieces if not isinstance(piece, str))
        return pieces if self.reads_prompts or not media else media

    def encode(
        self, prompts: Sequence[Pieces], image_options: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the model's inputs for a batch of prompts, padded on the left.

        `image_options`, like `RAW_IMAGES`, are those of the image processor; the user's own code
        takes none. ValueError if a prompt or an image cannot be run on this model. A processor may
        raise anything else.
        """
        if self.code.to_inputs is not None:
            for kind, inputs in INPUTS.items():
                if not self.takes(kind) and any(map(inputs.among, prompts)):
                    raise ValueError(f"{inputs.not_for_code}; {inputs.instead}")
        with _TOKENIZING:
            if image_options is not None:
                to_inputs: Any = self.to_inputs if self.code.to_inputs is None else chat_inputs
                return to_inputs(self.processor, prompts, image_options)
            if self.code.to_inputs is not None:
                return self.code.inputs(self.processor, prompts)
            return self.to_inputs(self.processor, prompts)

    def encode_conversation(
        self, demonstrations: Sequence[tuple[Pieces, str]], question: Pieces | None = None
    ) -> Any:
        """Return the inputs of prompts with their answers, see `conversation_inputs`."""
        with _TOKENIZING:
            return conversation_inputs(self.processor, demonstrations, question)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without those of the chat template."""
        if not self.reads_prompts and not self.is_dual:
            return [0] * len(texts)
        with _TOKENIZING:
            return [len(ids) for ids in self.tokenizer(list(texts))["input_ids"]]


def load_own_code(source: str) -> OwnCode:
    """Run a Python file, or import an entry point, and take its functions.

    OwnCodeError if it is not there, or fails when it runs. ModelError if it has neither
    function, or no entry point has this name.
    """
    module = load_file(source, "model_code") if source.endswith(".py") else _entry_point(source)
    path = getattr(module, "__file__", None)
    content = Path(path).read_bytes() if path else repr(module).encode()
    code = OwnCode(
        getattr(module, "find_heads", None),
        getattr(module, "to_inputs", None),
        hashlib.sha256(content).hexdigest(),
    )
    if code.find_heads is None and code.to_inputs is None:
        raise ModelError(
            f"{source} has neither find_heads(model) nor to_inputs(processor, prompts)"
        )
    return code


def _entry_point(name: str) -> Any:
    added = ADDED_MODELS.find(name)
    if added is None:
        known = ", ".join(ADDED_MODELS.names()) or "none is installed"
        raise ModelError(
            f"`model_code` is {name!r}, expected a file that ends in .py or an entry point of the"
            f" group {ADDED_MODELS.group} ({known})"
        )
    return added.value
