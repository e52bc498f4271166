"""Heads of a model in vLLM: a pooling model whose embedding of a prompt is what its sites say.

vLLM pools by a public interface: it says where the last token of each prompt stands in a step,
keeps chunks of a prompt apart, computes the last token again after a cached prefix, and returns
results in order. So nothing of its schedulers, workers or requests is read here. The class is that
of the user's architecture, with hooks at the same places as in transformers, found by the same
structure.

Compiled graphs run no hooks: the engine must be eager. What the hooks keep of a step is as many
rows as it has tokens: `max_num_batched_tokens` bounds it.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import (
    HookPoint,
    find_hook_points,
    find_site_points,
)
from savs.pipeline.extraction.model.sites import HEADS, RESIDUAL, parse_sites

READS_SITES = "reads_sites"
"""Attribute of the classes that are made here."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A model of vLLM, as `find_hook_points` looks at one of transformers."""

    config: Any
    language_model: nn.Module

    def get_decoder(self) -> nn.Module:
        """Return the part with the decoder layers."""
        return self.language_model


def put_heads(wanted: str) -> None:
    """Let vLLM take the class with hooks for an architecture; `wanted` as in `HEADS_IN_VLLM`.

    ModelError if vLLM has no such architecture.
    """
    from vllm import ModelRegistry
    from vllm.model_executor.models.adapters import as_embedding_model

    architecture, _, sites = wanted.partition("/")
    if (entry := ModelRegistry.models.get(architecture)) is None:
        raise ModelError(f"vLLM has no architecture {architecture}; leave out `engine` vllm")
    base = entry.load_model_cls()
    if getattr(base, READS_SITES, None) == sites:  # plugins may be loaded more than once
        return
    base = getattr(base, "without_sites", base)
    embedding_model = with_sites(base, as_embedding_model(base), sites, pooler_of_sites)
    ModelRegistry.register_model(architecture, embedding_model)


def with_sites(base: type, embedding: Any, sites: str, pooler: Callable[..., Any]) -> type:
    """Return a class of models whose pooler returns the sites, names with commas, or the heads.

    `embedding` is vLLM's embedding model of `base`; `pooler` makes a pooler of `Kept`.
    """

    class WithSites(embedding):
        def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
            super().__init__(vllm_config=vllm_config, prefix=prefix)
            self.pooler = pooler(Kept(site_points(self, vllm_config.model_config.hf_config, sites)))

    WithSites.__name__ = base.__name__
    setattr(WithSites, READS_SITES, sites)
    WithSites.without_sites = base
    return WithSites


def site_points(model: Any, config: Any, sites: str) -> tuple[HookPoint, ...]:
    """Return the hook points of a model of vLLM, with the heads that this rank has."""
    language = model.get_language_model() if hasattr(model, "get_language_model") else model
    decoder = Decoder(config, language)
    wanted = parse_sites(sites or HEADS, slices=False, pooling="last")
    return find_site_points(decoder, find_hook_points(decoder), wanted)


class Kept:
    """What hooks keep of one step: of each point the values of all its tokens."""

    def __init__(self, points: Sequence[HookPoint]) -> None:
        self._points = points
        self._values: dict[int, torch.Tensor] = {}
        for index, point in enumerate(points):
            if point.is_output:
                point.module.register_forward_hook(partial(self._keep_output, index))
            else:
                point.module.register_forward_pre_hook(partial(self._keep_input, index))

    def _keep_input(self, index: int, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._values[index] = inputs[0]

    def _keep_output(self, index: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
        first, *others = output if isinstance(output, tuple) else (output,)
        if self._points[index].site.name == RESIDUAL and others and others[0] is not None:
            self._values[index] = first + others[0]  # the next norm would add them
        else:
            self._values[index] = first.clone()  # norms write into their input

    def rows(
        self, last: torch.Tensor, gather: Callable[[torch.Tensor], torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return one vector a prompt: the points side by side, at the positions `last`; forget all.

        `gather` joins what the ranks have of the heads of a layer, in the order of the ranks.
        """
        rows = []
        for index, point in enumerate(self._points):
            values = self._values[index][last]
            width: Any = getattr(point.module, "input_size", None)
            is_part = not point.is_output and width is not None and width > values.shape[1]
            rows.append(gather(values) if is_part else values)
        self._values.clear()
        return list(torch.cat(rows, dim=1))


def pooler_of_sites(kept: Kept) -> Any:
    """Return a pooler of vLLM that returns the rows of `kept`."""
    from vllm.distributed import tensor_model_parallel_all_gather
    from vllm.model_executor.layers.pooler import Pooler

    class SitesPooler(Pooler):
        def get_supported_tasks(self) -> Set[str]:
            return {"embed"}

        def forward(self, hidden_states: torch.Tensor, pooling_metadata: Any) -> list[torch.Tensor]:
            last = pooling_metadata.get_pooling_cursor().last_token_indices_gpu
            return kept.rows(last, partial(tensor_model_parallel_all_gather, dim=1))

    return SitesPooler()
