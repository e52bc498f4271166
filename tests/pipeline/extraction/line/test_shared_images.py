"""Images of several prompts: what is put together stays where a GPU copies it from."""

import pytest
import torch

from savs.pipeline.extraction.line import shared_forward
from savs.pipeline.extraction.line.shared_forward import put_together


@pytest.mark.parametrize("is_pinned", [True, False])
def test_images_that_are_put_together_stay_in_page_locked_memory(monkeypatch, is_pinned):
    asked = []
    empty = torch.empty

    def make(shape, *, dtype, pin_memory):  # there is no GPU
        asked.append(pin_memory)
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda self: is_pinned)
    monkeypatch.setattr(shared_forward.torch, "empty", make)
    values = [torch.arange(6).view(3, 2), torch.arange(4).view(2, 2)]
    whole = put_together(values)
    assert whole.tolist() == [[0, 1], [2, 3], [4, 5], [0, 1], [2, 3]]
    assert asked == [True] * is_pinned
