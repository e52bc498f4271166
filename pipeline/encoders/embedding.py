"""Multimodal embedding models: a vector of the final states, see `EmbeddingRecipe`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from savs.datasets.media_kinds.catalogue import other_than_images
from savs.pipeline.encoders.recipe import LAST, SEQUENTIAL, EmbeddingRecipe
from savs.pipeline.errors import ModelError
from savs.pipeline.prompts.chat import chat_inputs
from savs.pipeline.prompts.input_names import IDS, MASK, POSITIONS
from savs.pipeline.prompts.media.catalogue import map_images
from savs.pipeline.prompts.media.inputs import Pieces

HEAD = "lm_head."
"""Weights of the output embedding, which an embedding does not need: some checkpoints lack them."""


def embedding_inputs(
    processor: Any,
    prompts: Sequence[Pieces],
    image_options: Mapping[str, Any] | None = None,
    *,
    recipe: EmbeddingRecipe,
) -> Any:
    """Return `chat_inputs` of prompts whose images and positions are as a recipe says.

    ValueError if a prompt has a video, or lacks the tokens where the embedding is read; or as
    there.
    """
    if other := next(filter(None, map(other_than_images, prompts)), None):
        raise ValueError(
            f"an embedding recipe reads text and images, and the prompt has {other.a_noun}"
        )
    if recipe.resize is not None:
        prompts = [map_images(pieces, recipe.resize.apply) for pieces in prompts]
    inputs = chat_inputs(processor, prompts, image_options)
    if not bool(places_read(recipe, processor.tokenizer, inputs).any(dim=1).all()):
        where = recipe.read if isinstance(recipe.read, str) else " ... ".join(recipe.read)
        raise ValueError(f"the embedding is read at {where}, which the prompt lacks")
    if recipe.positions == SEQUENTIAL:
        inputs[POSITIONS] = (inputs[MASK].cumsum(1) - 1).clamp(min=0)
    return inputs


def places_read(
    recipe: EmbeddingRecipe, tokenizer: Any, inputs: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Return `(batch, tokens)`, true where states enter the embedding; padding is on the left."""
    ids, is_given = inputs[IDS], inputs[MASK].bool()
    if recipe.read == LAST:
        return torch.arange(ids.shape[1], device=ids.device).eq(ids.shape[1] - 1).expand_as(ids)

    def is_at(token: str) -> torch.Tensor:
        return is_given & (ids == tokenizer.convert_tokens_to_ids(token))

    def left(flags: torch.Tensor) -> torch.Tensor:
        return flags.flip(1).cumsum(1).flip(1)  # how many from each place on

    if isinstance(recipe.read, str):
        is_token = is_at(recipe.read)
        return is_token & (left(is_token) == 1)
    first, last = map(is_at, recipe.read)
    return (first.cumsum(1) > 0) & (left(last) > 0)


def embeddings(
    recipe: EmbeddingRecipe, tokenizer: Any, states: torch.Tensor, arguments: Mapping[str, Any]
) -> torch.Tensor:
    """Return `(batch, width)`: the mean of the states that a recipe reads.

    `states`, `(batch, tokens, width)`, are what the final norm gives, as it enters the output
    layer.
    """
    places = places_read(recipe, tokenizer, arguments).to(states.device)
    chosen = states.float().masked_fill(~places[..., None], 0)  # padding may be NaN
    values = chosen.sum(1) / places.sum(1, keepdim=True)
    if recipe.normalise:
        values = nn.functional.normalize(values, dim=1)
    return values.to(states.dtype)


def output_layer(name: str, model: Any) -> Any:
    """Return the layer that final states enter; ModelError if the model has none."""
    output = model.get_output_embeddings()
    if not hasattr(output, "in_features"):
        raise ModelError(f"{name} ({type(model).__name__}) has no output layer; drop `embedding`")
    return output


def require_tokens(name: str, recipe: EmbeddingRecipe, tokenizer: Any) -> None:
    """Raise ModelError if the embedding is read at a token that the model lacks."""
    tokens = () if recipe.read == LAST else recipe.read
    for token in (tokens,) if isinstance(tokens, str) else tokens:
        if token not in tokenizer.get_vocab():
            raise ModelError(f"`embedding` is read at {token!r}, which is no token of {name}")
