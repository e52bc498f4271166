"""How many tokens a batch may have: what fits each GPU, as the run will use it. GPUs are imitated.

A GPU takes so many bytes for each token of a pass, padding included.
"""

from types import SimpleNamespace

import pytest
import torch

from savs.pipeline.extraction.checks.decisions import (
    CPU_TOKENS,
    FIXED,
    MEASURED,
    MEMORY_SHARE,
    TokenMeter,
)
from savs.pipeline.extraction.checks.trial import choose

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")
PLAIN, PADDED, PIXELS = 100, 40, 60
"""Bytes of the first: of any pass, with a mask of padding, and for pixels that come as bytes."""
OTHER = 300
"""Bytes of the second, where most layers are."""


class Model:
    """A model on two GPUs that reads texts, a token a character."""

    def __init__(self, free, most=10**9, device=FIRST):
        self.free, self.most, self.device = (
            dict(zip((FIRST, SECOND), free, strict=True)),
            most,
            device,
        )
        self.encoder = SimpleNamespace(encode=self.encode)
        self.hook_points = [SimpleNamespace(module=SimpleNamespace(parameters=self.weights))]
        self.grid = [SimpleNamespace(heads=range(2), head_dim=10)]
        self.model = SimpleNamespace(
            config=SimpleNamespace(get_text_config=SimpleNamespace), dtype=torch.float32
        )
        self.peaks, self.passes = {}, []

    def weights(self):
        return iter([SimpleNamespace(device=SECOND)])

    def encode(self, prompts, options):
        texts = [text for (text,) in prompts]
        width = max(map(len, texts))
        mask = torch.tensor([[0] * (width - len(t)) + [1] * len(t) for t in texts])
        return {"attention_mask": mask, "raw": options is not None}

    def count_tokens(self, inputs):
        return inputs["attention_mask"].numel()

    def launch(self, inputs, scale):
        tokens = self.count_tokens(inputs)
        assert inputs["raw"] == (scale is not None)
        if tokens > self.most:
            raise torch.OutOfMemoryError
        each = PLAIN + PADDED * (not inputs["attention_mask"].all()) + PIXELS * inputs["raw"]
        self.passes.append(tokens)
        self.peaks = {FIRST: 7 + each * tokens, SECOND: 7 + OTHER * tokens}
        return SimpleNamespace(result=lambda: None)


@pytest.fixture
def gpus(monkeypatch):
    def install(model):
        cuda = {
            "reset_peak_memory_stats": lambda device: None,
            "memory_allocated": lambda device: 7,
            "memory_reserved": lambda device: 7,
            "max_memory_allocated": lambda device: model.peaks[device],
            "mem_get_info": lambda device: (model.free[device], 10**9),
        }
        for name, function in cuda.items():
            monkeypatch.setattr(torch.cuda, name, function)
        return model

    return install


def measured(model, prompts, scale=None, *, cached=False):
    """Return how the tokens of a batch were found, and how many there are."""
    meter = TokenMeter(model, prompts, scale, cached)
    return choose(FIXED, meter.ways()).name, meter.most


EQUAL, UNEQUAL = [("abcd",), ("efgh",)], [("ab",), ("efgh",)]
LITTLE, MUCH = 10**6, 10**8


@pytest.mark.parametrize(
    ("free", "prompts", "scale", "cached", "bytes_a_token"),
    [
        ((LITTLE, MUCH), EQUAL, None, False, PLAIN),
        ((LITTLE, MUCH), UNEQUAL, None, False, PLAIN + PADDED),
        ((LITTLE, MUCH), UNEQUAL, "scale", False, PLAIN + PADDED + PIXELS),
        ((LITTLE, MUCH), EQUAL, None, True, PLAIN),  # no layer is there that keeps anything
        ((MUCH, LITTLE), EQUAL, None, False, OTHER),
        ((LITTLE, LITTLE), UNEQUAL, None, False, OTHER),
        ((MUCH, LITTLE), EQUAL, None, True, OTHER + 2 * 2 * 20 * 4),  # twice keys and values
    ],
)
def test_a_batch_fits_the_fullest_gpu_padded_and_with_its_pixels(
    gpus, free, prompts, scale, cached, bytes_a_token
):
    found = measured(gpus(Model(free)), prompts, scale, cached=cached)
    assert found == (MEASURED, int(MEMORY_SHARE * LITTLE / bytes_a_token))


def test_what_does_not_fit_while_it_is_tried_is_left_out(gpus):
    model = gpus(Model((LITTLE, MUCH), most=4))
    assert measured(model, UNEQUAL) == (MEASURED, int(MEMORY_SHARE * LITTLE / PLAIN))
    assert model.passes == [2, 2, 4]  # the first once more, since it prepares libraries
    assert measured(gpus(Model((LITTLE, MUCH), most=1)), UNEQUAL) == (FIXED, CPU_TOKENS)


def test_a_cpu_and_no_prompts_are_not_measured():
    assert measured(Model((1, 1), device=torch.device("cpu")), EQUAL) == (FIXED, CPU_TOKENS)
    assert measured(Model((1, 1)), []) == (FIXED, CPU_TOKENS)
