"""Images, text and their order in a turn: token ids against conversations written by hand."""

import numpy as np
import pytest
from PIL import Image

from savs.datasets import Example, MediaFolder
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.prepare import pieces_of
from savs.pipeline.prompts.chat import conversation_inputs
from savs.stores import StoreMismatchError

QWEN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
TURNS = {
    "qwen2_vl": (QWEN, "<|vision_start|><|image_pad|><|vision_end|>"),
    "llava_onevision": (QWEN, "<image>"),
    "llava": ("USER: {} ASSISTANT:", "<image>"),
    "llava_next": ("[INST] {} [/INST]", "<image>"),
}
"""Family -> its turn, and what stands for one image before the processor widens it."""
BREAKS = {"llava_onevision", "llava", "llava_next"}
"""Families whose template puts a line break after each image that is before all text."""

CASES = {
    "one image at its mark": ("Is it <image> or not?", 1, "Is it {i} or not?"),
    "two images with text between": ("<image> next to <image>: same?", 2, "{i} next to {i}: same?"),
    "four images": ("<image>a<image>b<image>c<image>", 4, "{i}a{i}b{i}c{i}"),
    "adjacent images": ("Which? <image><image>", 2, "Which? {i}{i}"),
    "no mark": ("\nSame?", 2, "{i}{i}\nSame?"),
    "at the front, with a line break": ("<image><image>\nSame?", 2, "{i}{i}\nSame?"),
    "text only": ("Is the sky blue?", 0, "Is the sky blue?"),
}


@pytest.fixture
def example(inputs):
    """Return a maker of examples with so many images of several sizes."""

    def make(prompt, images):
        names = [inputs.image(f"{n}.png", n, (30 + 14 * n, 60)) for n in range(images)]
        return Example("e", "test", 0, "a", prompt, tuple(names)), MediaFolder(inputs.root)

    return make


def ids_of(model, example, media):
    pieces = pieces_of(example, media, model.encoder)
    return model.inputs([pieces])["input_ids"][0].tolist()


def ids_by_hand(model, text, example, media):
    """Return what the processor makes of a finished conversation and its images."""
    images = [Image.open(media.path(name)).convert("RGB") for name in example.media]
    found = model.encoder.processor(
        text=[text], images=[images] if images else None, return_tensors="pt"
    )
    return found["input_ids"][0].tolist()


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", TURNS)
def test_images_stand_at_their_marks(tiny_model, example, family, case):
    prompt, images, turn = CASES[case]
    model = load_model(str(tiny_model(family)))
    given = example(prompt, images)
    form, image = TURNS[family]
    if family in BREAKS and turn.startswith("{i}{i}"):
        image += "\n"  # after each image; the question's own line break is the last one
        turn = turn.replace("{i}\n", "{i}")
    text = form.format(turn.replace("{i}", image))
    assert ids_of(model, *given) == ids_by_hand(model, text, *given)


ANSWERS = {"llava": " a ", "llava_onevision": "a<|im_end|>\n", "llava_next": " a</s> "}
"""Family -> what its template writes after the turn of a question that is answered `a`."""


@pytest.mark.parametrize("last_is_joined", [True, False])
@pytest.mark.parametrize("family", ANSWERS)
def test_each_turn_of_a_conversation_reads_as_it_does_alone(tiny_model, family, last_is_joined):
    """The template is kept from moving the image of one turn, and breaks the line in the other."""
    processor = load_model(str(tiny_model(family))).encoder.processor
    image = Image.new("RGB", (30, 60))
    cases = [((image, "\nWhat?"), "<image>\nWhat?"), (("Is ", image, " red?"), "Is <image> red?")]
    first, last = cases if last_is_joined else cases[::-1]
    form = TURNS[family][0]
    text = form.format(first[1]) + ANSWERS[family] + form.format(last[1])
    expected = processor(text=[text], images=[[image, image]], return_tensors="pt")
    found = conversation_inputs(processor, [(first[0], "a")], last[0])
    assert found["input_ids"].tolist() == expected["input_ids"].tolist()


@pytest.mark.parametrize("case", CASES)
def test_kept_marks_stay_in_the_text_behind_all_images(tiny_model, example, case):
    prompt, images, _ = CASES[case]
    model = load_model(str(tiny_model("qwen2_vl")), placeholders="keep")
    given = example(prompt, images)
    text = QWEN.format(TURNS["qwen2_vl"][1] * images + prompt)
    assert ids_of(model, *given) == ids_by_hand(model, text, *given)
    assert model.encoder.processor.tokenizer.decode(ids_of(model, *given)).count(
        "<image>"
    ) == prompt.count("<image>")


@pytest.mark.parametrize("family", ["llava_onevision", "llava"])
def test_a_mark_that_is_a_token_of_the_model_cannot_be_kept(tiny_model, family):
    with pytest.raises(ModelError, match=r"leave <image> in the text.* token of its own.* drop"):
        load_model(str(tiny_model(family)), placeholders="keep")


def test_an_unknown_choice_is_refused(tiny_model):
    with pytest.raises(ModelError, match="`placeholders` is 'both', expected split or keep"):
        load_model(str(tiny_model("qwen2_vl")), placeholders="both")


@pytest.mark.thorough
def test_kept_marks_are_part_of_a_store_and_split_ones_are_not(run, inputs):
    rows = [
        {
            "image": inputs.image(f"{n}.png", n),
            "question": f"Is <image> good? {n}",
            "label": "ab"[n % 2],
        }
        for n in range(4)
    ]
    given = dict.fromkeys(("train", "test"), inputs.rows("rows.jsonl", rows))
    split = run("split", **given).store
    keep = run("keep", placeholders="keep", **given).store
    assert "placeholders" not in split.manifest.identity.model
    assert keep.manifest.identity.model["placeholders"] == "keep"
    assert not np.allclose(split.features("test"), keep.features("test"), atol=1e-3)
    for store, other in (("split", "keep"), ("keep", "split")):
        assert run(store, placeholders=store, **given).rows == 0
        with pytest.raises(StoreMismatchError, match=r"model\.placeholders"):
            run(store, placeholders=other, **given)
