"""A checkpoint that vLLM runs: the same prompts, sites and identity as by transformers.

The model of transformers is made without weights: by its structure, heads and sites are found and
named, and the identity of the features does not say which engine ran. vLLM starts with the first
prompt, and embeds each as what its sites say, see `vllm_heads`.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import torch

from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.errors import MissingExtraError, ModelError
from savs.pipeline.extraction.effects import changed_fields
from savs.pipeline.extraction.model.answers import NOTHING, AnswerQuery
from savs.pipeline.extraction.model.checkpoint_files import code_digest, weight_files, weight_paths
from savs.pipeline.extraction.model.hook_points import (
    HookPoint,
    find_hook_points,
    find_site_points,
)
from savs.pipeline.extraction.model.identity import CODE, model_settings
from savs.pipeline.extraction.model.load import explained
from savs.pipeline.extraction.model.loaded_model import LoadedModel
from savs.pipeline.extraction.model.model_options import AUTO, ModelOptions
from savs.pipeline.extraction.model.pixel_scale import PixelScale
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder
from savs.pipeline.extraction.model.reading import Launched, RefusedPromptError
from savs.pipeline.extraction.model.sites import LAST
from savs.pipeline.extraction.model.vllm_heads import put_heads
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.names import HEADS_IN_VLLM
from savs.pipeline.prompts.chat import PROMPTS
from savs.pipeline.running.option_texts import VLLM

KEPT_BYTES = 2**30
"""Of what hooks keep of a step, on each rank."""
LEAST_TOKENS, MOST_TOKENS = 512, 8192
"""Bounds of the tokens of a step that follow from it."""
SECTIONS = "mrope_section"
MOST_SECTIONS = 3
"""Axes of rotary positions that vLLM knows: time, height, width."""
FIXED = {
    "runner": "pooling",
    "enforce_eager": True,  # graphs run no hooks
    "load_format": "safetensors",
}
"""Arguments of every `vllm.LLM`."""
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",  # results go to the standard output
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
}
"""What vLLM is started with where the user has not set it."""
GROUP = "vllm.general_plugins"
INSTALL = (
    "install vLLM into an environment of its own, and savs without extras next to it"
    " (docs/guide/vllm.md)"
)


@dataclass
class Engine:
    """A vLLM of one checkpoint, which starts when the first prompts come."""

    arguments: Mapping[str, Any]
    """Those of `vllm.LLM`."""
    architecture: str
    _llm: Any = None
    _sites: str = ""

    def embed(self, prompts: Sequence[Any], sites: str, tokens: int) -> list[Any]:
        """Return vLLM's output of each prompt, in their order.

        `sites` are labels without slices, with commas; a step has as many `tokens` at most.

        Raises
        ------
        ModelError
            vLLM does not start, or has ended.
        RefusedPromptError
            It takes none of the prompts for what one of them is.
        """
        if self._llm is None or self._sites != sites:
            self.close()
            self._llm, self._sites = self._started(sites, tokens), sites
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            outputs = self._llm.encode(list(prompts), pooling_task="embed", use_tqdm=False)
        except EngineDeadError as error:
            raise ModelError(
                "vLLM has ended while it ran prompts, see its messages above; a smaller"
                " `batch_size`, or in Python fewer batch_tokens, needs less memory"
            ) from error
        except Exception as error:  # it has a class for each fault of a prompt
            self._forget_media()
            raise RefusedPromptError(f"vLLM refuses it: {_first_line(error)}") from error
        if not all(len(output.outputs.data) for output in outputs):
            self._forget_media()
            raise RefusedPromptError("vLLM gives no values for it, see its messages above")
        return outputs

    def _forget_media(self) -> None:
        # Images of prompts that were prepared, and then not run for the fault of another one, count
        # as known to the engine, which never got them: it would fail on the next prompt with them.
        self._llm.llm_engine.reset_mm_cache()

    def close(self) -> None:
        """End its processes; more prompts start others."""
        if self._llm is not None:
            self._llm.llm_engine.engine_core.shutdown()
        self._llm = None

    def _started(self, sites: str, tokens: int) -> Any:
        if not any(point.name == "savs" for point in entry_points(group=GROUP)):
            raise ModelError(f"savs is not installed as a plugin of vLLM ({GROUP}); {INSTALL}")
        wanted = f"{self.architecture}/{sites}"
        with _environment({**ENVIRONMENT, HEADS_IN_VLLM: wanted}):
            import vllm

            classes = vllm.ModelRegistry.models
            plain = classes.get(self.architecture)
            put_heads(wanted)  # here plugins may have been loaded before
            try:
                return vllm.LLM(max_num_batched_tokens=tokens, **self.arguments)
            except Exception as error:  # every layer below has its own
                raise ModelError(
                    f"vLLM {vllm.__version__} cannot start {self.arguments['model']}:"
                    f" {_first_line(error)}; its messages above say more, or leave out `engine`"
                ) from error
            finally:
                classes[self.architecture] = plain  # for another vLLM of this process


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set, and what plugins read, for processes that start inside."""
    before = dict(os.environ)
    os.environ.update({**variables, **before, HEADS_IN_VLLM: variables[HEADS_IN_VLLM]})
    try:
        yield
    finally:
        del os.environ[HEADS_IN_VLLM]
        os.environ.update(before)


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


@dataclass(frozen=True, slots=True)
class VllmModel(LoadedModel):
    """A model whose prompts vLLM runs; `model` has its structure and no weights."""

    every_head: tuple[HookPoint, ...] = ()
    """The hook points of all heads, whatever `hook_points` choose."""
    engine: Engine = field(default_factory=lambda: Engine({}, ""))
    step_tokens: int | None = None
    """Tokens of a step, where they were given."""

    @property
    def device(self) -> torch.device:
        """Where inputs are prepared."""
        return torch.device("cpu")

    @property
    def attention(self) -> str:
        """The engine: it chooses its attention itself."""
        return VLLM

    @property
    def version(self) -> str:
        """Version of vLLM."""
        import vllm

        return vllm.__version__

    @property
    def tokens(self) -> int:
        """Tokens of a step: given, or as many as keep what hooks hold within `KEPT_BYTES`."""
        points = self._points()
        width = sum(len(point.grid.heads) * point.grid.head_dim for point in points)
        fitting = KEPT_BYTES // (width * self.model.dtype.itemsize)
        return self.step_tokens or min(max(fitting, LEAST_TOKENS), MOST_TOKENS)

    def _points(self) -> tuple[HookPoint, ...]:
        """Return all that vLLM embeds: whole sites, in the order of the hook points."""
        sites = list(dict.fromkeys(point.site for point in self.hook_points))
        return find_site_points(self.model, self.every_head, sites)

    def count_tokens(self, inputs: Mapping[str, Any]) -> int:
        """Return the tokens of a batch, an image counted as its mark."""
        return sum(len(prompt["prompt_token_ids"]) for prompt in inputs[PROMPTS])

    def launch(
        self, inputs: Any, query: AnswerQuery = NOTHING, scale: PixelScale | None = None
    ) -> Launched:
        """Run prompts; see `LoadedModel.launch`. Nothing can be asked, and no pixels be scaled."""
        del query, scale
        return self.run_prompts(inputs[PROMPTS])[0]

    def run_prompts(self, prompts: Sequence[Any]) -> tuple[Launched, list[list[int]]]:
        """Return what vLLM embeds, and the tokens that it ran on for each prompt.

        ModelError if its class of the model gives other values than that of transformers, or see
        `Engine`. RefusedPromptError: see `Engine`.
        """
        every, places, stop = self._points(), dict[Any, tuple[int, HookPoint]](), 0
        for point in every:
            places[point.site, point.grid.layer] = stop, point
            stop += len(point.grid.heads) * point.grid.head_dim
        names = dict.fromkeys(point.site.name for point in every)
        outputs = self.engine.embed(prompts, ",".join(names), self.tokens)
        values = torch.stack([output.outputs.data for output in outputs])
        if values.shape[1] != stop or values.dtype != self.model.dtype:
            raise ModelError(
                f"vLLM embeds {values.shape[1]} values of {values.dtype} for {self.name}, expected"
                f" {stop} of {self.model.dtype} at {', '.join(names)}; if VLLM_PLUGINS is set, add"
                " savs to it, else leave out this site, or `engine` vllm"
            )
        parts, grids = [], {}
        for index, point in enumerate(self.hook_points):
            start, whole = places[point.site, point.grid.layer]
            width = whole.grid.head_dim
            heads = range(len(whole.grid.heads)) if point.places is None else point.places
            parts += [values[:, start + h * width : start + (h + 1) * width] for h in heads]
            grids[index] = point.grid
        tokens = [list(output.prompt_token_ids) for output in outputs]
        return Launched([(grids, torch.cat(parts, dim=1))], {}, ()), tokens


def require_vllm(options: ModelOptions, run: RunOptions, encoder: PromptEncoder) -> None:
    """Refuse a run by vLLM that asks for what only transformers gives.

    MissingExtraError if vLLM is not installed. ModelError if an option, or the model, needs
    transformers.
    """
    if find_spec(VLLM) is None:
        raise MissingExtraError(f"`engine` needs vLLM, which is not installed; {INSTALL}")
    refused = [
        name
        for kind in (options, run)
        for name, _, effect in changed_fields(kind)
        if not effect.is_for_vllm
    ]
    refused += ["pooling"] if any(site.pooling != LAST for site in run.sites) else []
    for option in refused[:1]:
        raise ModelError(
            f"`{option}` is for models that transformers runs; leave it out, or `engine` vllm"
        )
    for key in (*FIXED, "tensor_parallel_size", "max_num_batched_tokens"):
        if key in (options.model_kwargs or {}):
            raise ModelError(
                f"model_kwargs has {key!r}, which `engine` vllm sets, by `ranks` and"
                " `batch_tokens`; drop it"
            )
    if not encoder.has_heads:
        raise ModelError(f"{encoder.name} is {encoder.kind_name}; leave out `engine` vllm")
    rotary = getattr(encoder.config.get_text_config(), "rope_parameters", None) or {}
    if len(rotary.get(SECTIONS) or ()) > MOST_SECTIONS:
        raise ModelError(
            f"the positions of {encoder.name} have {len(rotary[SECTIONS])} sections"
            f" ({SECTIONS}), and vLLM runs {MOST_SECTIONS}; leave out `engine` vllm"
        )


def load_in_vllm(options: ModelOptions, encoder: PromptEncoder, tokens: int | None) -> VllmModel:
    """Return a model that vLLM will run, with steps of as many `tokens`; it is not started yet.

    ModelError if its files cannot be read, its heads not be found, or its type is not known.
    """
    name = str(options.model)
    dtype = getattr(torch, options.dtype) if options.dtype != AUTO else encoder.config.dtype
    if dtype is None:
        raise ModelError(f"the configuration of {name} names no dtype; give `dtype`")
    with explained("model", name):
        weights = weight_files(weight_paths(options, encoder.config, encoder.revision))
        trust = {"trust_remote_code": options.trust_remote_code}
        with torch.device("meta"):
            model = encoder.kind.from_config(deepcopy(encoder.config), dtype=dtype, **trust)
    points = find_hook_points(model.eval())
    settings = model_settings(options, encoder)
    if code := code_digest(model, model.config, encoder.processor, encoder.tokenizer):
        settings[CODE] = code
    arguments = {
        "model": options.path,
        "revision": options.revision,
        "tokenizer_revision": options.revision,
        **trust,
        "dtype": str(dtype).removeprefix("torch."),
        **FIXED,
        "tensor_parallel_size": options.ranks,
        **({"limit_mm_per_prompt": {"video": 0}} if encoder.takes(VIDEOS) else {}),
        **({"mm_processor_kwargs": options.pixels} if options.pixels else {}),
        **(options.model_kwargs or {}),
    }
    (architecture,) = encoder.config.architectures or [type(model).__name__]
    return VllmModel(
        model,
        encoder,
        points,
        settings,
        weights,
        every_head=points,
        engine=Engine(arguments, architecture),
        step_tokens=tokens,
    )


def installed_architectures() -> tuple[str, frozenset[str]]:
    """Return the version of the vLLM that is installed, and the architectures it has classes for.

    Those that it leaves to transformers are not among them.
    """
    import vllm

    return vllm.__version__, frozenset(
        name
        for name, entry in vllm.ModelRegistry.models.items()
        if ".transformers" not in getattr(entry, "module_name", "")
    )


def vllm_support(architecture: str) -> str:
    """Say whether vLLM has an architecture: the one that is installed, or the one that was read."""
    if find_spec(VLLM) is not None:
        version, names = installed_architectures()
    else:
        text = files("savs.pipeline.extraction").joinpath("vllm.json").read_text("utf-8")
        read = json.loads(text)
        version, names = read["vllm"], frozenset(read["architectures"])
    has = "has" if architecture in names else "does not have"
    return f"{version} {has} {architecture}"


def without_vllm(options: ModelOptions) -> ModelOptions:
    """Return the options by which transformers runs the same model."""
    return replace(options, engine="transformers", ranks=1, compare_with=None, model_kwargs=None)
