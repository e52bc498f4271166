"""What a forward pass keeps grows with the batch, and not with the length of its prompts.

Every storage that an operation makes is watched, so that what is alive is counted, not estimated.
"""

from contextlib import contextmanager
from functools import cache

import pytest
import torch
from tiny_parts import HEAD_DIM, HEADS, HIDDEN
from tiny_text import build_text
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import NOTHING, Answers

FLOAT = 4
"""Bytes of a float32."""
VOCABULARY = 5_000
KEPT = Answers({"a": (20, 2), "b": (21, 2)})
"""Two labels of one token and an end."""
ANSWERS = [
    pytest.param(None, id="heads"),
    pytest.param(KEPT, id="heads and answers", marks=pytest.mark.thorough),
]


class Alive(TorchDispatchMode):
    """Count the bytes of the storages that operations made and that something still holds."""

    def __init__(self, known):
        super().__init__()
        self.known = {tensor.untyped_storage()._cdata for tensor in known}
        self.made = {}
        self.peak = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._watch(tensor.untyped_storage())
        self.peak = max(self.peak, self.count())
        return out

    def _watch(self, storage):
        if storage._cdata not in self.known:  # weights and inputs were there before
            self.made[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
            self.largest = max(self.largest, storage.nbytes())

    def count(self):
        self.made = {key: made for key, made in self.made.items() if not made[0].expired()}
        return sum(size for _, size in self.made.values())


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """Return a decoder of text with a number of layers."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def load(layers):
        path = build_text(folder / f"of-{layers}", layers, VOCABULARY)
        return load_model(str(path), dtype="float32")

    return load


def prompts(batch, length=300):
    return [("x" * length,)] * batch


@contextmanager
def watching(model, inputs):
    with Alive([*model.model.parameters(), *model.model.buffers(), *inputs.values()]) as alive:
        yield alive


def peak(model):
    inputs = model.inputs(prompts(2))
    with watching(model, inputs) as alive:
        model.read(inputs)
    return alive.peak


def test_a_layer_more_costs_its_last_token_alone(model_of):
    few, many = model_of(2), model_of(6)
    growth = peak(many) - peak(few)
    last_tokens = 4 * 2 * HIDDEN * FLOAT  # layers x batch x heads * head_dim
    assert 0 < growth <= 2 * last_tokens  # as read, and as stored


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_left_of_a_pass_is_what_it_returns(model_of, batch, answers):
    model = model_of(2)
    inputs = model.inputs(prompts(batch))
    with watching(model, inputs) as alive:
        read = model.read(inputs, answers.tried(batch) if answers else NOTHING)
        left = alive.count()
        assert {values.shape for values in read.heads} == {(HEADS, batch, HEAD_DIM)}
        assert left <= sum(a.nbytes for a in (*read.heads, *read.outputs.values()))
        del read
        assert alive.count() == 0


def test_answers_need_the_logits_of_the_last_token_alone(model_of):
    model = model_of(2)
    inputs = model.inputs(prompts(2))
    length = inputs["input_ids"].shape[1]
    with watching(model, inputs) as alive:
        model.read(inputs, KEPT.tried(2))
    every_token = 2 * length * VOCABULARY * FLOAT
    assert 2 * VOCABULARY * FLOAT <= alive.largest < every_token / 10
    assert alive.count() == 0


def test_heads_alone_need_no_logits(model_of):
    model = model_of(2)
    sizes = []
    hook = model.model.lm_head.register_forward_hook(lambda _m, _i, out: sizes.append(out.numel()))
    model.read(model.inputs(prompts(2)))
    assert sizes == []
    model.read(model.inputs(prompts(2)), KEPT.tried(2))
    assert sizes == [2 * VOCABULARY, 2 * 2 * VOCABULARY]
    hook.remove()


def test_no_hook_stays_on_the_model_even_after_a_failure(model_of):
    model = model_of(2)

    def hooks():
        return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.model.modules())

    before = hooks()
    model.read(model.inputs(prompts(1)), KEPT.tried(1))
    assert hooks() == before
    inputs = model.inputs(prompts(1))
    inputs["input_ids"] += VOCABULARY  # beyond the embeddings
    with pytest.raises(IndexError):
        model.read(inputs, KEPT.tried(1))
    assert hooks() == before
