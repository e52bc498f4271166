"""The labels' first tokens where the user's own code makes the inputs, without a template."""

import shutil

import pytest
from PIL import Image

from savs.pipeline import extract
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.extra_outputs import _text, first_tokens
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.prompt_encoder import load_encoder

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
    assert _text(encoder, example).endswith("What is it? =>")
    assert first_tokens(encoder, ["a", "b"], example) == {
        label: encoder.tokenizer.convert_tokens_to_ids(label) for label in "ab"
    }


def test_a_whole_extraction_with_answers(options, inputs, tmp_path):
    train, test = inputs.few_shots()
    done = extract(
        "general",
        train=train,
        test=test,
        out=tmp_path / "s",
        answers=True,
        dtype="float32",
        **options,
    )
    assert done.skipped == []
    assert set(done.store.manifest.identity.outputs["answers"]) == {"a", "b"}


def test_without_code_and_template_the_model_is_refused(options):
    with pytest.raises(ModelError, match=r"has no chat template.* --model-code"):
        load_encoder(ModelOptions(model=options["model"]))
