"""What extraction keeps beside the heads: the logits of the answers."""

import numpy as np
import pytest
from PIL import Image

from savs.stores import ResultError, StoreMismatchError


def test_answers_are_kept_and_leave_the_features_alone(run):
    plain = run("plain", dtype="float32")
    full = run("full", dtype="float32", answers=True)
    np.testing.assert_allclose(
        plain.store.features("test"), full.store.features("test"), rtol=1e-4, atol=1e-5
    )
    assert list(full.store.manifest.identity.outputs["answers"]) == ["a", "b"]
    assert full.store.output("test", "answers").shape == (5, 2)
    with pytest.raises(StoreMismatchError, match="--answers labels"):
        run("full", dtype="float32")


@pytest.mark.thorough
def test_answer_logits_are_those_of_an_ordinary_pass(run, inputs, tiny_model):
    import torch

    from savs.pipeline import load_model

    store = run(dtype="float32", answers=True, batch_size=4).store
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    images = [Image.open(inputs.root / f"images/test{i}.png").convert("RGB") for i in range(5)]
    tokens = [model.encoder.processor.tokenizer.convert_tokens_to_ids(label) for label in "ab"]
    for row, image in enumerate(images):
        given = model.inputs([(image, f"What is it{'?' * (row % 3 + 1)}")])
        with torch.inference_mode():
            logits = model.model(**given).logits[0, -1]
        np.testing.assert_allclose(
            store.output("test", "answers")[row], logits[tokens].numpy(), rtol=1e-3, atol=1e-4
        )


def test_a_store_without_answers_says_how_to_get_them(run):
    with pytest.raises(
        ResultError, match="has no output 'answers'; extract again with --answers labels"
    ):
        run().store.output("test", "answers")
