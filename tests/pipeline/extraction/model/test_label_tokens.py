"""The tokens of labels as the model would write them, by chat template and by the user's code."""

import shutil
from types import SimpleNamespace

import pytest
import tiny_parts
from chat_templates import CHATML, IDEFICS2, MISTRAL, VICUNA
from PIL import Image
from transformers import GenerationConfig

from savs import extract
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.answers import _prompt, end_tokens, label_tokens
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import PromptEncoder

CODE = """
def to_inputs(processor, prompts):
    marks = [[p if isinstance(p, str) else "<|image_pad|>" for p in q] for q in prompts]
    texts = ["".join(parts) + " =>" for parts in marks]
    images = [[p for p in q if not isinstance(p, str)] for q in prompts]
    return processor(
        text=texts, images=images, padding=True, padding_side="left", return_tensors="pt"
    )
"""


@pytest.fixture
def options(tiny_model, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(tiny_model("qwen2_vl"), folder)
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "mine.py").write_text(CODE)
    return {"model": folder, "model_code": tmp_path / "mine.py"}


def test_they_follow_the_users_own_prompt(options):
    encoder = load_encoder(ModelOptions(**options))
    assert encoder.processor.chat_template is None
    example = (Image.new("RGB", (56, 56)), "What is it?")
    assert _prompt(encoder, example).endswith("What is it? =>")
    end = encoder.tokenizer.eos_token_id
    assert label_tokens(encoder, ["a", "b"], example) == {
        label: (encoder.tokenizer.convert_tokens_to_ids(label), end) for label in "ab"
    }


@pytest.mark.thorough
def test_a_whole_extraction_with_answers(options, inputs, tmp_path):
    train, test = inputs.few_shots()
    done = extract(
        "general",
        train=train,
        test=test,
        out=tmp_path / "s",
        answers="labels",
        dtype="float32",
        **options,
    )
    assert done.skipped == []
    assert set(done.store.manifest.identity.outputs["answers"]) == {"a", "b"}


TEMPLATES = {"chatml": CHATML, "vicuna": VICUNA, "mistral": MISTRAL, "idefics2": IDEFICS2}
WRITTEN = {
    "chatml": ("ab", "<|im_end|>"),
    "vicuna": (" ab", "</s>"),  # shows no end of turn: the tokenizer's end of text
    "mistral": (" ab", "</s>"),
    "idefics2": ("ab", "<end_of_utterance>"),
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_label_is_written_as_the_template_writes_an_answer(template):
    text, end = WRITTEN[template]
    tokenizer = tiny_parts.tokenizer(
        ["<pad>", "</s>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<image>"],
        pad="<pad>",
        eos="</s>",
    )
    tokenizer.chat_template = TEMPLATES[template]
    if template == "idefics2":  # writes a space in front of what has no image first
        text = " ab"
    encoder = PromptEncoder(ModelOptions(model="tiny"), SimpleNamespace(
        tokenizer=tokenizer, apply_chat_template=tokenizer.apply_chat_template
    ))  # fmt: skip
    (tokens,) = label_tokens(encoder, ["ab"]).values()
    assert tokenizer.decode(tokens[:-1]) == text
    assert tokenizer.convert_ids_to_tokens(tokens[-1]) == end
    assert end_tokens(encoder, GenerationConfig(eos_token_id=[1, 9])) == [
        *dict.fromkeys([tokens[-1], 1, 9])
    ]


@pytest.mark.parametrize("label", ["", "x<|im_end|>y"], ids=["empty", "control token"])
def test_a_label_that_cannot_be_answered_is_refused(tiny_model, label):
    encoder = load_encoder(ModelOptions(model=tiny_model("qwen2_vl")))
    with pytest.raises(ModelError, match=r"has no tokens, or holds a control token of qwen2_vl"):
        label_tokens(encoder, ["a", label])
