"""Batches that do not fit the memory: cut without being prepared again, refused, or an error."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.forward import RECOVERY, Forward
from savs.pipeline.extraction.line.jobs import Done, Job, Prepared, Refused, Request
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.shared_forward import SharedForward
from savs.pipeline.extraction.model.answers import ICL, NO_ANSWERS, Answers
from savs.pipeline.extraction.model.devices import is_out_of_memory


def prompts(count):
    return [
        (Image.new("RGB", (56 + 28 * n, 56), (40 * n, 9, 9)), f"Which? {n}") for n in range(count)
    ]


def batch_of(model, count):
    return Prepared(tuple(range(count)), dict(model.inputs(prompts(count))), 1)


NO_JOB = Job((), {})
PREFIXES = PassSettings(dtype=torch.float32, shares_prefixes=True)


class Memory:
    """A model that fits so many tokens."""

    def __init__(self, model, tokens):
        self.model, self.tokens, self.seen = model, tokens, []
        self.device, self.count_tokens = model.device, model.count_tokens

    def launch(self, inputs, answers, scale):
        self.seen.append(tuple(inputs["input_ids"].shape))
        if inputs["input_ids"].numel() > self.tokens:
            raise torch.OutOfMemoryError("no room")
        return self.model.launch(inputs, answers, scale)


@pytest.fixture
def model(tiny_model):
    return load_model(str(tiny_model("qwen2_vl")), dtype="float32")


def sharing_of(model):
    return SharedForward(model, None, PREFIXES)


def forward_of(memory, **options):
    def unprepared(job):
        raise AssertionError("prepared again")

    return Forward(memory, PREFIXES, NO_ANSWERS, None, sharing_of(memory), unprepared, **options)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision", "idefics3", "gemma3"])
def test_a_cut_batch_gives_what_the_whole_gives(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    pair = [(Image.new("RGB", (64, 48), (n * 60, 90, 20)), "Which one?") for n in range(4)]
    whole = Prepared((4, 5, 6, 7), dict(model.inputs(pair)), 1)
    expected = model.read(whole.inputs).heads
    for rows in (slice(0, 1), slice(1, 4), slice(2, 3)):
        part = whole.take(range(rows.start, rows.stop))
        assert part.requests == whole.requests[rows]
        for layer, heads in enumerate(model.read(part.inputs).heads):
            np.testing.assert_allclose(heads, expected[layer][:, rows], rtol=1e-3, atol=1e-5)


def test_what_has_another_number_of_items_cannot_be_cut(model):
    whole = batch_of(model, 4)
    whole.inputs["strange"] = torch.zeros(3)
    with pytest.raises(ValueError, match="strange has 3 items for 4 prompts"):
        whole.take(range(2))


def test_a_batch_that_does_not_fit_is_cut_until_it_does(model):
    whole = batch_of(model, 8)
    tokens = whole.inputs["input_ids"].numel()
    drained = []
    memory = Memory(model, tokens // 4)
    forward = forward_of(memory, drain=lambda: drained.append(len(memory.seen)))
    found = list(forward.run(whole, NO_JOB))
    assert [requests for requests, _ in found] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [rows for rows, _ in memory.seen] == [8, 4, 2, 2, 2, 2]
    assert drained == [1, 2]  # what is on the device goes first
    assert forward.cuts == 2


@pytest.mark.thorough
def test_larger_batches_are_tried_again_after_a_while(model):
    memory = Memory(model, batch_of(model, 4).inputs["input_ids"].numel() // 2)
    forward = forward_of(memory)
    list(forward.run(batch_of(model, 4), NO_JOB))
    memory.tokens = 10**9  # what else was in the memory has gone
    memory.seen.clear()
    sizes = []
    for _ in range(RECOVERY):
        sizes += [len(requests) for requests, _ in forward.run(batch_of(model, 4), NO_JOB)]
    assert sizes[-1] == 4
    assert sizes.count(2) == RECOVERY - 2  # two passes had fitted before


def test_a_prompt_that_does_not_fit_by_itself_is_refused(model):
    memory = Memory(model, 10**9)
    forward = forward_of(memory)
    list(forward.run(batch_of(model, 2), NO_JOB))
    memory.tokens = 9
    for number in (9, 10, 11):  # more than where nothing has fitted
        memory.seen.clear()
        (refused,) = forward.run(Prepared((number,), dict(model.inputs(prompts(1))), 1), NO_JOB)
        assert isinstance(refused, Refused)
        assert refused.request == number
        assert "by itself it does not fit the memory of cpu" in refused.reason
        assert len(memory.seen) == 2  # what else was in the memory may have gone meanwhile
    assert forward.cuts == 0
    memory.tokens = 10**9
    found = [requests for requests, _ in forward.run(batch_of(model, 2), NO_JOB)]
    assert found == [(0, 1)]


def test_where_nothing_fits_the_run_ends(model):
    forward = forward_of(Memory(model, 0))
    with pytest.raises(ModelError, match="no room for a single prompt"):
        list(forward.run(batch_of(model, 4), NO_JOB))


def test_other_errors_are_not_taken_for_it(model):
    class Broken(Memory):
        def launch(self, inputs, answers, scale):
            raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(forward_of(Broken(model, 0)).run(batch_of(model, 2), NO_JOB))


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "MPS backend out of memory (MPS allocated: 9.0 GB)",
    ],
)
def test_what_libraries_say_when_memory_is_short(message):
    assert is_out_of_memory(RuntimeError(message))
    assert not is_out_of_memory(ValueError(message))


def test_what_cannot_be_cut_is_prepared_again_in_halves(model):
    whole = batch_of(model, 4)
    whole.inputs["strange"] = torch.zeros(3)
    prepared = []

    def prepare(job):
        numbers = tuple(request.number for request in job.requests)
        prepared.append(numbers)
        given = [prompts(4)[number] for number in numbers]
        return Done([Prepared(numbers, dict(model.inputs(given)), 1)], {})

    memory = Memory(model, whole.inputs["input_ids"].numel() // 2)
    forward = Forward(memory, PREFIXES, NO_ANSWERS, None, sharing_of(memory), prepare)
    job = Job(tuple(Request(n, "", "", (), 1, 9) for n in range(4)), {})
    found = list(forward.run(whole, job))
    assert prepared == [(0, 1), (2, 3)]
    assert [requests for requests, _ in found] == [(0, 1), (2, 3)]
    expected = model.read(batch_of(model, 4).inputs).heads
    for (first, second), launched in found:
        for layer, heads in enumerate(launched.result().heads):
            np.testing.assert_allclose(
                heads, expected[layer][:, [first, second]], rtol=1e-3, atol=1e-5
            )


def test_a_batch_without_demonstrations_is_asked_once_and_keeps_nothing_of_them(model, monkeypatch):
    counted = []
    asked = Answers.query
    monkeypatch.setattr(
        *(Answers, "query"),
        lambda self, labels, **named: counted.append(labels) or asked(self, labels, **named),
    )
    forward = forward_of(model, contexts=[None])  # of another subtask
    ((requests, launched),) = forward.run(batch_of(model, 2), NO_JOB)
    assert requests == (0, 1)
    assert ICL not in launched.outputs
    assert counted == [[(), ()]]


@pytest.mark.parametrize(("is_first", "prefix"), [(True, None), (False, "of the shard before")])
def test_a_shard_goes_on_with_no_prefix_of_the_shard_before(model, is_first, prefix):
    """A shard that is extracted alone, in a resumed run, has the same features."""

    class Sharing:
        prefix, known = "of the shard before", []

        def forget_prefix(self):
            self.prefix = None

        def pieces(self, batch):
            self.known.append(self.prefix)
            return []

    sharing = Sharing()
    forward = Forward(model, PREFIXES, NO_ANSWERS, None, sharing, lambda job: None)
    shared = replace(batch_of(model, 2), image_keys=((("x", 0),), (("x", 0),)))
    assert not list(forward.run(shared, Job((), {}, shared=True, is_first=is_first)))
    assert sharing.known == [prefix]
