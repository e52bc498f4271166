"""A model that continues prompts in steps says what it says when it reads all at once."""

import pytest
import torch
from tiny_parts import picture

from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import label_tokens
from savs.pipeline.extraction.model.continuation import begin, extended
from savs.pipeline.prompts.input_names import IDS, POSITIONS

PROMPTS = [(picture(60, 40), "What is it?"), (picture(40, 60, 1), "And what may that be?")]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # PaliGemma
]


@pytest.fixture(params=["qwen2_vl", "gemma3", "qwen3_5", "lfm2_vl", "paligemma"])
def model(request, tiny_model):
    """Families with several axes, a sliding window, linear attention, convolutions, token types."""
    return load_model(str(tiny_model(request.param)), dtype="float32")


@pytest.fixture
def more(model):
    """Return text that follows each prompt, `(2, 3)`."""
    labels = label_tokens(model.encoder, ["a b c d", "d c b a"], PROMPTS[0])
    return torch.tensor([tokens[:3] for tokens in labels.values()])


@pytest.fixture
def whole_pass(model):
    """Return the logits after prompts and text, read in one pass without a cache."""

    def logits(inputs, ids):
        with torch.inference_mode():
            whole = extended(model.model, inputs, ids)
            return model.model(**whole, use_cache=False, logits_to_keep=1).logits[:, -1]

    return logits


@pytest.mark.parametrize("whole", [False, True])
def test_text_in_steps_is_text_at_once(model, more, whole_pass, whole):
    inputs = model.placed(model.inputs(PROMPTS))
    with torch.inference_mode():
        prompts = begin(model.model, inputs, whole=whole)
        assert (prompts.cache is None) == whole
        prompts = prompts.then({IDS: more[:, :1]}).then({IDS: more[:, 1:]})
    torch.testing.assert_close(prompts.logits, whole_pass(inputs, more), rtol=1e-4, atol=1e-5)
    columns = inputs[IDS].shape[1] + more.shape[1]
    assert prompts.mask.shape == (2, columns)


def test_rows_are_taken_in_any_order_and_leave_the_cache_as_it_is(model, more, whole_pass):
    inputs = model.placed(model.inputs(PROMPTS))
    expected = whole_pass(inputs, more)
    with torch.inference_mode():
        prompts = begin(model.model, inputs, whole=False)
        taken = [prompts.take(rows).then({IDS: more[rows]}) for rows in ([1, 0, 1], [0, 1, 1])]
    for rows, continued in zip(([1, 0, 1], [0, 1, 1]), taken, strict=True):
        torch.testing.assert_close(continued.logits, expected[rows], rtol=1e-4, atol=1e-5)


def test_positions_that_are_given_stay(model, more):
    """As a question after demonstrations has those of its images."""
    with torch.inference_mode():
        prompts = begin(model.model, model.placed(model.inputs(PROMPTS)), whole=False)
        given = torch.full((3, *more.shape), 77)
        assert (prompts.longer({IDS: more, POSITIONS: given})[POSITIONS] == 77).all()
        counted = prompts.longer({IDS: more}).get(POSITIONS)
    if prompts.next_positions is None:
        assert counted is None
    else:
        assert (counted[..., 0] == prompts.next_positions).all()
