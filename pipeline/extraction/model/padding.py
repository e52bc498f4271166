"""Padding to where it belongs, for processors that put an image in front of a padded text.

BLIP-2, InstructBLIP and Kosmos-2 pad the text by itself, so padding stands between the image and
the text, or behind both.
"""

from typing import Any

import torch

MASK = "attention_mask"
QUERY = "qformer_"
"""Inputs of a Q-Former that reads the prompt, too: its positions count from the first token."""


def pad_left(inputs: Any) -> Any:
    """Return a batch with all padding on the left, in the place of the given one.

    What a Q-Former reads is padded on the right. Only inputs of the shape of their mask,
    `(batch, tokens)`, are changed.
    """
    for prefix, side in (("", 1), (QUERY, -1)):
        mask = inputs.get(prefix + MASK)
        if torch.is_tensor(mask):
            order = (side * mask.long()).argsort(dim=1, stable=True)
            for name, value in inputs.items():
                is_own = name.startswith(QUERY) == bool(prefix)
                if is_own and torch.is_tensor(value) and value.shape == mask.shape:
                    inputs[name] = value.gather(1, order)
    return inputs
