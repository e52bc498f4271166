"""How values get to a device: only CUDA may be given memory that is not page-locked unwaited."""

from types import SimpleNamespace

import pytest
import torch

from savs.pipeline.extraction.model.devices import moved


@pytest.mark.parametrize(
    ("kind", "goes_on"), [("cuda:1", True), ("mps", False), ("xpu", False), ("cpu", False)]
)
def test_the_caller_goes_on_where_a_copy_was_taken(kind, goes_on):
    asked = []
    values = SimpleNamespace(to=lambda device, non_blocking: asked.append((device, non_blocking)))
    moved(values, torch.device(kind))
    assert asked == [(torch.device(kind), goes_on)]
