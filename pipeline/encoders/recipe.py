"""How a multimodal embedding model makes its embedding: prompt, place, normalisation, image sizes.

Such a model is a language model that was trained so that the state at some token, or a mean of
states, represents its input. Recipes of published ones are TOML files in `encoders/recipes`; a
user's file is read in the same way.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from savs.foundation.files import read_regular_text
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.prompt_form import IMAGE, PROMPT, PromptForm

if TYPE_CHECKING:  # the options of commands need no Pillow
    from PIL.Image import Image

FOLDER = files("savs.pipeline.encoders") / "recipes"
SYSTEM = "{system}"
MOST_MIN_PIXELS = 2**22
"""Largest `min_pixels`, which a stranger's classifier may set: 5,000 tokens of Qwen2-VL."""
LAST, SEQUENTIAL = "last", "sequential"
NOT_OF_FEATURES = ("model_types", "adapter")
"""Fields that change nothing, or that the model's own facts have."""
Pixels = Annotated[int, Meta(ge=1)]
Factor = Annotated[int, Meta(ge=1, le=256)]
LeastPixels = Annotated[int, Meta(ge=1, le=MOST_MIN_PIXELS)]


class Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How images are resized by Pillow before the processor gets them, as Qwen's utilities do."""

    factor: Factor
    """Both sides become multiples of this."""
    min_pixels: LeastPixels
    max_pixels: Pixels

    def apply(self, image: "Image") -> "Image":
        """Return an image of the size that is the rule's; ValueError for one of extreme shape."""
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

        height, width = smart_resize(
            image.height, image.width, self.factor, self.min_pixels, self.max_pixels
        )
        return image.resize((width, height))


class EmbeddingRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What makes an embedding of a language model; the fields of a TOML file."""

    prompt: str
    """The whole prompt with `{prompt}`, and `{image}` and `{system}` where these stand."""
    system: str = ""
    suffix: str = ""
    """What ends the prompt."""
    image_mark: str | None = None
    """What stands at `{image}`; by default what the checkpoint's chat template has."""
    read: str | tuple[str, str] = LAST
    """`last`, the last of a token, or the mean from the first of a token to the last of another,
    both included."""
    normalise: bool = True
    """Whether the embedding has length 1."""
    positions: Literal["model", "sequential"] = "model"
    """Whether tokens of images are counted as the model does, or as those of text."""
    resize: Resize | None = None
    min_pixels: LeastPixels | None = None
    """Of the processor, as the option, and so is the next."""
    max_pixels: Pixels | None = None
    adapter: str | None = None
    """What `adapter` is unless it is given."""
    model_types: tuple[str, ...] = ()
    """Types of models that it is of; none for any."""

    def __post_init__(self) -> None:
        if self.prompt.count(PROMPT) != 1 or self.prompt.count(SYSTEM) != bool(self.system):
            raise ValueError(
                f"expected {PROMPT} once in `prompt`, and {SYSTEM} once with a `system`"
            )
        if self.prompt.count(IMAGE) > 1:
            raise ValueError(f"expected {IMAGE} at most once in `prompt`")

    @property
    def form(self) -> PromptForm:
        """The prompt as a form, see `PromptForm`."""
        return PromptForm(self.prompt.replace(SYSTEM, self.system) + self.suffix)

    def facts(self) -> dict[str, Any]:
        """Return all that changes an embedding, as a store's identity has it."""
        fields = msgspec.to_builtins(self)
        return {name: fields[name] for name in fields if name not in NOT_OF_FEATURES}


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship."""
    return sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir())


def read_recipe(source: str | Path | None) -> EmbeddingRecipe | None:
    """Return the recipe of a name, a TOML file or an identity's JSON; ModelError for others."""
    text = str(source or "")
    if not text:
        return None
    is_shipped = text in recipe_names()
    if not is_shipped and not text.startswith("{") and not text.endswith(".toml"):
        raise ModelError(
            f"no `embedding` is called {text!r}; there are {', '.join(recipe_names())}, or give a"
            " file that ends in .toml"
        )
    try:
        if text.startswith("{"):
            return msgspec.json.decode(text, type=EmbeddingRecipe)
        shipped = FOLDER / f"{text}.toml"
        content = shipped.read_text("utf-8") if is_shipped else read_regular_text(Path(text))
        return msgspec.toml.decode(content, type=EmbeddingRecipe)
    except OSError as error:
        raise ModelError(
            f"`embedding` {text:.80} cannot be read: {error.strerror}; pass the name of a recipe"
            f" ({', '.join(recipe_names())}) or a file that is there"
        ) from error
    except ValueError as error:  # msgspec's, too
        raise ModelError(
            f"`embedding` {text:.80} is not a recipe: {error};"
            " the fields are in docs/guide/encoders.md"
        ) from error


def recorded_recipe(facts: Mapping[str, Any]) -> str | None:
    """Return a classifier's recipe, without file and adapter; ModelError if it is none."""
    recipe = facts.get("embedding")
    if recipe is None:
        return None
    recorded = read_recipe(json.dumps(recipe))
    return None if recorded is None else json.dumps(recorded.facts())
