"""Which model runs and how it is loaded; no torch is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from savs.datasets.example import PLACEHOLDERS, SPLIT
from savs.foundation.imports import install_command
from savs.foundation.installed import Additions
from savs.pipeline.demo import SHIPPED
from savs.pipeline.encoders.recipe import MOST_MIN_PIXELS, read_recipe
from savs.pipeline.errors import MissingExtraError, ModelError, OwnCodeError
from savs.pipeline.extraction.effects import DERIVED, NOTHING, Effect
from savs.pipeline.extraction.model.model_texts import (
    parse_code,
    parse_kwargs,
    parse_recipe,
    write_kwargs,
    write_recipe,
)
from savs.pipeline.running.option_texts import TRANSFORMERS, VLLM, parse_model, parse_program
from savs.pipeline.running.options import Option, check_values

DTYPES = ("auto", "bfloat16", "float16", "float32")
AUTO, BALANCED = "auto", "balanced"
"""Devices that are chosen: as few GPUs as the weights need, or all; and attention."""
OWN_OPTIONS = {
    "dtype": "dtype",
    "torch_dtype": "dtype",
    "attn_implementation": "attention",
    "revision": "revision",
    "trust_remote_code": "trust_remote_code",
}
"""Keyword argument of `from_pretrained` -> the field that stands for it."""


class ProcessorKeywords(TypedDict, total=False):
    """The fields of `ModelOptions` that prompts depend on; `preview` also takes them."""

    revision: str | None
    trust_remote_code: bool
    placeholders: str
    prompt_template: str | Path | None
    embedding: str | Path | None
    min_pixels: int | None
    max_pixels: int | None


class PlacingKeywords(TypedDict, total=False):
    """The fields of `ModelOptions` that are never taken from a classifier.

    These say where the model runs, name files, or may run code: a stranger's classifier must not.
    """

    device: str
    attention: str
    adapter: str | Path | None
    model_code: str | Path | None
    model_kwargs: Mapping[str, Any] | None
    trust_remote_code: bool
    engine: str
    ranks: int
    compare_with: str | Path | None


class EngineKeywords(TypedDict, total=False):
    """The program that runs the model, as `train` and `classify` take it on the command line."""

    engine: Annotated[
        str,
        Option(
            "Run the model in vLLM: vllm, then optionally ranks=N (GPUs per model) and"
            " against=STORE (compare with its rows).",
            "more",
            metavar="vllm[,KEY=VALUE...]",
            parse=parse_program,
            fills={"ranks": "vllm,ranks=N", "compare_with": "vllm,against=STORE"},
        ),
    ]


class ClassifiedKeywords(TypedDict, total=False):
    """The fields of `PlacingKeywords` that `classify` takes on the command line."""

    device: str
    adapter: str | Path | None
    model_code: Annotated[
        str | Path | None,
        Option(
            "Code with find_heads or to_inputs for the model.",
            "more",
            metavar="FILE.py",
            name="recipe",
            parse=parse_code,
        ),
    ]
    trust_remote_code: bool


class CheckedKeywords(TypedDict, total=False):
    """The fields that the test of a checkpoint takes on the command line."""

    adapter: str | Path | None
    dtype: str
    model_code: str | Path | None
    prompt_template: str | Path | None
    embedding: str | Path | None
    trust_remote_code: bool


class ModelKeywords(ProcessorKeywords, PlacingKeywords, total=False):
    """The fields of `ModelOptions` that have a default, as keyword arguments."""

    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A checkpoint and how it is loaded; ModelError for an unknown or contradictory value.

    ParameterError for a value out of its range.
    """

    model: Annotated[
        str | Path,
        Option(
            "Model: a Hugging Face id, with @ also a branch, tag or commit; a local folder; or"
            " demo.",
            metavar="ID[@REVISION]",
            parse=parse_model,
            fills={"revision": "ID@REVISION"},
        ),
        Effect(DERIVED),
    ]
    revision: Annotated[str | None, Effect(DERIVED, is_recorded=False)] = None
    """Branch, tag or commit on the Hugging Face Hub."""
    dtype: Annotated[
        str,
        Option("auto (as in the checkpoint), bfloat16, float16 or float32.", "more"),
        Effect(DERIVED, is_recorded=False),
    ] = "auto"
    """Numeric type that the model computes in."""
    device: Annotated[
        str,
        Option(
            "Where the model runs: auto (on as few GPUs as it needs, or the CPU), balanced (on all"
            " GPUs), cpu, mps, cuda:1 ...",
            "more",
            metavar="NAME",
            aliases=("--device-map",),
        ),
        Effect(NOTHING, is_recorded=False, is_for_vllm=False),  # vLLM takes the GPUs that it sees
    ] = AUTO
    """Where the model runs; also `mps`."""
    attention: Annotated[str, Effect(NOTHING, is_for_vllm=False)] = AUTO
    """auto (FlashAttention where it is installed and agrees, else sdpa), eager, sdpa ... Attention
    implementation, in transformers' names. With `auto` the model is loaded with its own, and
    FlashAttention is tried on a few of the user's prompts, see `flash_ways`."""
    adapter: Annotated[
        str | Path | None,
        Option("PEFT adapter to load: Hugging Face id or folder.", "more", metavar="ID"),
        Effect(DERIVED, is_for_vllm=False),
    ] = None
    model_code: Annotated[
        str | Path | None,
        Option(
            "How the model is prompted and read: a text with {prompt}, or a file with one; the"
            " recipe of an embedding (gme ..., FILE.toml); or code with find_heads or to_inputs"
            " (FILE.py).",
            "more",
            metavar="TEXT|NAME|FILE",
            name="recipe",
            parse=parse_recipe,
            fills={"prompt_template": "TEXT", "embedding": "NAME"},
            write=write_recipe,
        ),
        Effect(DERIVED, is_for_vllm=False),
    ] = None
    """Or the name of an entry point, see `prompt_encoder.py`. It runs as it is: give it only if
    you trust it."""
    model_kwargs: Annotated[
        Mapping[str, Any] | None,
        Option(
            "More arguments for from_pretrained, as JSON, such as attn_implementation, min_pixels.",
            "more",
            metavar="JSON",
            parse=parse_kwargs,
            fills={"attention": "attn_implementation", "min_pixels": "min_pixels"},
            write=write_kwargs,
        ),
        Effect(DERIVED, is_recorded=False),
    ] = None
    """In Python a dictionary, for example for quantised loads; a `device_map` in it, for example
    over `cpu` and `disk`, replaces `device`."""
    trust_remote_code: Annotated[bool, Effect(DERIVED)] = False
    """Run Python code that comes with the checkpoint."""
    prompt_template: Annotated[str | Path | None, Effect(DERIVED)] = None
    """Prompt form such as 'Question: {prompt} Answer:', or a file with one. In place of a chat
    template, see `PromptForm`."""
    embedding: Annotated[str | Path | None, Effect(DERIVED, is_for_vllm=False)] = None
    """Read a multimodal embedding: a recipe's name, such as gme, or a .toml file. In place of
    heads, see `EmbeddingRecipe`."""
    placeholders: str = SPLIT
    """split: images replace their marks; keep: images first, marks stay in the text. A mark is
    `<image>`; the public reference does as `keep` on Qwen."""
    min_pixels: Annotated[int | None, Effect(DERIVED)] = None
    """Enlarge smaller images to N pixels. By the processor of the model, as `max_pixels`."""
    engine: Annotated[str, Effect(NOTHING)] = TRANSFORMERS
    """Program that runs the model: transformers or vllm. `vllm` needs an environment of its own,
    see `VllmModel`."""
    ranks: Annotated[int, Effect(NOTHING, is_recorded=False)] = 1
    """GPUs that share the model, by `engine` vllm."""
    compare_with: Annotated[str | Path | None, Effect(NOTHING, is_recorded=False)] = None
    """Store that transformers wrote, to compare `engine` vllm with."""
    max_pixels: Annotated[
        int | None, Option("Shrink larger images to N pixels.", "more", min=1), Effect(DERIVED)
    ] = None

    def __post_init__(self) -> None:
        check_values(self)
        if isinstance(self.model, Path) and not self.model.is_dir():
            raise ModelError(f"{self.model} is no folder; a name on the hub is text, not a Path")
        if self.dtype not in DTYPES:
            raise ModelError(f"no dtype is called {self.dtype!r}; there are: {', '.join(DTYPES)}")
        if self.placeholders not in PLACEHOLDERS:
            raise ModelError(
                f"`placeholders` is {self.placeholders!r}, expected {' or '.join(PLACEHOLDERS)}"
            )
        if self.prompt_template is not None and self.model_code is not None:
            raise ModelError("`prompt_template` and `model_code` both make the prompts; give one")
        if self.embedding is not None and (self.prompt_template or self.model_code):
            other = "prompt_template" if self.prompt_template else "model_code"
            raise ModelError(f"`embedding` has a prompt of its own; drop `{other}`")
        low, high = self.min_pixels, self.max_pixels
        if low is not None and high is not None and low > high:
            raise ModelError(f"`min_pixels` is {low}, more than max_pixels, {high}")
        if low is not None and low > MOST_MIN_PIXELS:
            raise ModelError(
                f"`min_pixels` is {low:,}, expected {MOST_MIN_PIXELS:,} at most: every smaller"
                " image is enlarged to it"
            )
        if self.engine not in (TRANSFORMERS, VLLM):
            raise ModelError(f"`engine` is {self.engine!r:.50}, expected {TRANSFORMERS} or {VLLM}")
        if self.ranks < 1 or (self.engine != VLLM and (self.ranks > 1 or self.compare_with)):
            raise ModelError(
                "`ranks`, from 1 on, and `compare_with` are for `engine` vllm; drop them"
            )
        for key in self.model_kwargs or {}:
            if key in OWN_OPTIONS:
                raise ModelError(f"model_kwargs has {key!r}; give `{OWN_OPTIONS[key]}` instead")

    @property
    def path(self) -> str:
        """What transformers loads: the id, or the folder."""
        return str(SHIPPED.get(str(self.model), self.model))

    @property
    def source(self) -> dict[str, Any]:
        """Keyword arguments of every `from_pretrained`."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}

    @property
    def pixels(self) -> dict[str, int]:
        """The pixel limits that were given, by name."""
        limits = {"min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        return {name: value for name, value in limits.items() if value is not None}


def with_recipe(options: ModelOptions) -> ModelOptions:
    """Return options with what their recipe says in the place of what was not given."""
    recipe = read_recipe(options.embedding)
    if recipe is None:
        return options
    return replace(
        options,
        embedding=msgspec.json.encode(msgspec.structs.replace(recipe, adapter=None)).decode(),
        adapter=options.adapter or recipe.adapter,
        min_pixels=options.min_pixels or recipe.min_pixels,
        max_pixels=options.max_pixels or recipe.max_pixels,
    )


def plain_name(name: str) -> str:
    """Return the name of a folder without its parents, or the hub's id."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _code_problem(value: object) -> str | None:
    if hasattr(value, "find_heads") or hasattr(value, "to_inputs"):
        return None
    return "has neither find_heads(model) nor to_inputs(processor, prompts)"


ADDED_MODELS: Additions[Any] = Additions("savs.models", _code_problem, lambda: (), OwnCodeError)
"""Modules of installed packages that `model_code` names, see `load_own_code`."""
EXTRA_PACKAGES = ("torch", "transformers", "accelerate")


def require_extra() -> None:
    """Raise MissingExtraError with the install command where stage 1 cannot run."""
    missing = [name for name in EXTRA_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"extraction needs {', '.join(missing)}; install with: {install_command('extract')}"
        )
