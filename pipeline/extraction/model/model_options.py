"""Which model runs and how it is loaded; no torch is imported here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from savs.datasets.example import PLACEHOLDERS, SPLIT
from savs.pipeline.demo import SHIPPED
from savs.pipeline.errors import ModelError

DTYPES = ("auto", "bfloat16", "float16", "float32")
AUTO, BALANCED = "auto", "balanced"
"""Devices that are chosen: as few GPUs as the weights need, or all."""
OWN_OPTIONS = {
    "dtype": "--dtype",
    "torch_dtype": "--dtype",
    "attn_implementation": "--attention",
    "revision": "--revision",
    "trust_remote_code": "--trust-remote-code",
}
"""Keyword arguments of `from_pretrained` that are options here."""


class ProcessorKeywords(TypedDict, total=False):
    """The fields of `ModelOptions` that prompts depend on; `preview` also takes them."""

    revision: str | None
    trust_remote_code: bool
    placeholders: str
    prompt_template: str | Path | None
    min_pixels: int | None
    max_pixels: int | None


class PlacingKeywords(TypedDict, total=False):
    """The fields of `ModelOptions` that are never taken from a classifier.

    These say where the model runs, name files, or may run code: a stranger's classifier must not.
    """

    device: str
    attention: str | None
    adapter: str | Path | None
    model_code: str | Path | None
    model_kwargs: Mapping[str, Any] | None
    trust_remote_code: bool


class ModelKeywords(ProcessorKeywords, total=False):
    """The fields of `ModelOptions` that have a default, as keyword arguments."""

    dtype: str
    device: str
    attention: str | None
    adapter: str | Path | None
    model_code: str | Path | None
    model_kwargs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A checkpoint and how it is loaded.

    Raises
    ------
    ModelError
        An unknown or contradictory value.
    """

    model: str | Path
    """A Hugging Face id, a local folder, or `demo`."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    dtype: str = "auto"
    """Numeric type that the model computes in; `auto` is that of the checkpoint."""
    device: str = AUTO
    """`auto` takes one GPU where the model fits it, else as few as it needs, or the CPU without
    one; `balanced` spreads it over all GPUs; or `cpu`, `cuda:1`, `mps` ..."""
    attention: str | None = None
    """Attention implementation of transformers: `sdpa`, `eager`, `flash_attention_2` ..."""
    adapter: str | Path | None = None
    """Id or folder of a PEFT adapter to load into the model."""
    model_code: str | Path | None = None
    """A Python file, or the name of an entry point, with `find_heads` or `to_inputs`, see
    `user_code`. It runs as it is: give it only if you trust it."""
    model_kwargs: Mapping[str, Any] | None = None
    """More keyword arguments of `from_pretrained`, for example for quantised loads; a `device_map`
    among them, for example over `cpu` and `disk`, replaces `device`."""
    trust_remote_code: bool = False
    """Whether Python code that comes with the checkpoint may run."""
    placeholders: str = SPLIT
    """`split` puts each image at its `<image>` mark; `keep` puts all images first and leaves the
    marks in the text, as the public reference does on Qwen."""
    prompt_template: str | Path | None = None
    """A prompt form such as `Question: {prompt} Answer:` in place of a chat template, or a file
    that holds one, see `PromptForm`."""
    min_pixels: int | None = None
    """The processor scales smaller images up to this size."""
    max_pixels: int | None = None
    """The processor scales larger images down to this size."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ModelError(f"no dtype is called {self.dtype!r}; there are: {', '.join(DTYPES)}")
        if self.placeholders not in PLACEHOLDERS:
            raise ModelError(
                f"--placeholders is {self.placeholders!r}, expected {' or '.join(PLACEHOLDERS)}"
            )
        if self.prompt_template is not None and self.model_code is not None:
            raise ModelError("--prompt-template and --model-code both make the prompts; give one")
        low, high = self.min_pixels, self.max_pixels
        if low is not None and high is not None and low > high:
            raise ModelError(f"min_pixels is {low}, more than max_pixels, {high}")
        for key in self.model_kwargs or {}:
            if key in OWN_OPTIONS:
                raise ModelError(f"model_kwargs has {key!r}; give {OWN_OPTIONS[key]} instead")

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
        given = {"min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        return {name: value for name, value in given.items() if value is not None}
