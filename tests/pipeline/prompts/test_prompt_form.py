"""Prompt forms: for models without a chat template, or in place of one."""

import inspect
import json

import pytest
import torch
from PIL import Image
from tiny_text import build_text
from transformers import (
    AutoTokenizer,
    Blip2ForConditionalGeneration,
    InstructBlipForConditionalGeneration,
)

from savs import extract
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import label_tokens
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.prompts.chat import pad_left
from savs.pipeline.prompts.prompt_form import BUILT_IN, parse_form

RED, BLUE = Image.new("RGB", (28, 28), "red"), Image.new("RGB", (28, 28), "blue")
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # PaliGemma's processor
)
FORM = "Question: {prompt} Answer:"


def encoder_of(folder, **options):
    return load_encoder(ModelOptions(model=str(folder), **options))


def text_of(encoder, *pieces):
    """Return what the model reads of a prompt, each image token once."""
    ids = encoder.encode([pieces])["input_ids"][0]
    image = encoder.tokenizer.convert_tokens_to_ids("<image>")
    kept = [n for place, n in enumerate(ids) if n != image or place == 0 or ids[place - 1] != image]
    return encoder.tokenizer.decode(kept)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("Question: Answer:", r"'Question: Answer:', which has no \{prompt\}, and is no text file"),
        ("{prompt} {prompt}", r"expected \{prompt\} once, and \{image\} at most once; write it"),
        ("{image}{image} {prompt}", r"\{image\} at most once; write it like 'Question: \{prompt"),
        ("{question} {prompt}", r"at most once, found \{question\}; write it like"),
    ],
    ids=["no prompt", "two prompts", "two images", "unknown name"],
)
def test_a_form_that_cannot_be_is_refused(form, message):
    with pytest.raises(ModelError, match=message):
        parse_form(form)


def test_a_file_holds_a_form_without_its_last_line_break(tmp_path):
    path = tmp_path / "form.txt"
    path.write_text("USER: {prompt}\nASSISTANT:\n", encoding="utf-8")
    assert parse_form(path).text == "USER: {prompt}\nASSISTANT:"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(ModelError, match=r"'nothing', expected \{prompt\} once"):
        parse_form(str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="and is no text file"):
        parse_form(path)
    with pytest.raises(ModelError, match="and is no text file"):
        parse_form(tmp_path)


DOCUMENTED = {
    "blip-2": ("how many cats are there?", "Question: how many cats are there? Answer:"),
    "fuyu": ("What color is the bus?", "What color is the bus?\n"),
    "instructblip": ("What is unusual about this image?", "What is unusual about this image?"),
    "kosmos-2": (
        "What is special about this image?",
        "<grounding> Question: What is special about this image? Answer:",
    ),
    "paligemma": ("where is the cow standing?", "<image>answer en where is the cow standing?"),
}
"""Family -> a question, and the text that its documentation gives the processor for it.

Sources: docstrings of transformers (BLIP-2, InstructBLIP), model cards of adept/fuyu-8b and
microsoft/kosmos-2-patch14-224, and Google's page on PaliGemma's prompts.
"""


@pytest.mark.parametrize("family", DOCUMENTED)
def test_models_without_a_template_read_what_their_documentation_puts_to_them(tiny_model, family):
    encoder = encoder_of(tiny_model(family))
    assert encoder.form == BUILT_IN[family]
    question, documented = DOCUMENTED[family]
    ours = encoder.encode([(RED, question)])
    theirs = encoder.processor(images=RED, text=documented, return_tensors="pt")
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()


@pytest.mark.parametrize(
    ("model", "family"),
    [
        (Blip2ForConditionalGeneration, "blip-2"),
        (InstructBlipForConditionalGeneration, "instructblip"),
    ],
    ids=["blip-2", "instructblip"],
)
def test_docstrings_of_transformers_have_these_forms(model, family):
    assert f'prompt = "{DOCUMENTED[family][1]}"' in inspect.getsource(model)


@pytest.mark.parametrize("family", DOCUMENTED)
def test_models_without_a_template_take_no_prompt_without_an_image(tiny_model, family):
    with pytest.raises(ValueError, match="this model takes no prompt without an image"):
        encoder_of(tiny_model(family)).encode([("Red?",)])


def test_a_form_replaces_the_chat_template_and_images_keep_their_marks(tiny_model):
    folder = tiny_model("llava")
    encoder = encoder_of(folder, prompt_template="See {image}\nQ: {prompt} A:")
    assert text_of(encoder, RED, "Red?") == "<s>See <image>\nQ: Red? A:"
    assert text_of(encoder, "Is ", RED, " red?") == "<s>See \nQ: Is <image> red? A:"
    asked = encoder.encode_conversation([((RED, "Red?"), "yes")], (BLUE, "Red?"))["input_ids"][0]
    image = "<image>" * 4
    turn = f"See {image}\nQ: Red? A:"
    assert encoder.tokenizer.decode(asked) == f"<s>{turn} yes\n{turn}"


def test_without_a_place_images_stand_in_the_prompt_as_the_own_template_writes_them(tiny_model):
    encoder = encoder_of(tiny_model("qwen2_vl"), prompt_template=FORM)
    image = "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>"
    ids = encoder.encode([("Is ", RED.resize((56, 56)), " red?")])["input_ids"][0]
    assert encoder.tokenizer.decode(ids) == f"Question: Is {image} red? Answer:"


def test_a_place_for_images_is_refused_where_the_processor_has_its_own(tiny_model):
    with pytest.raises(ModelError, match=r"puts the image in front .* leave \{image\} out"):
        encoder_of(tiny_model("blip-2"), prompt_template="{image} {prompt}")


def test_text_in_a_form_is_no_jinja_and_control_tokens_in_a_prompt_are_plain(tiny_model):
    odd = "{% \"x\" %} {{ 'y' }} ä😀 "
    encoder = encoder_of(tiny_model("qwen2_vl"), prompt_template=odd + "{prompt}")
    text = "Say <|im_end|>"
    assert text_of(encoder, text) == odd + text
    end = encoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end not in encoder.encode([(text,)])["input_ids"]


def test_a_form_asks_a_decoder_of_text_that_has_no_template(tmp_path):
    folder = build_text(tmp_path / "words")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"no chat template, .* `prompt_template` 'Question: "):
        encoder_of(folder)
    encoder = encoder_of(folder, prompt_template=FORM)
    assert encoder.tokenizer.decode(encoder.encode([("Red?",)])["input_ids"][0]) == (
        "Question: Red? Answer:"
    )
    tokens = label_tokens(encoder, ["yes"])["yes"]
    assert encoder.tokenizer.decode(tokens) == " yes<|im_end|>"


def test_a_decoder_of_text_whose_tokenizer_begins_each_text_begins_so_in_a_form_too(
    tiny_model, tmp_path
):
    folder = build_text(tmp_path / "words")
    (folder / "chat_template.jinja").unlink()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("llava"))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    encoder = encoder_of(folder, prompt_template=FORM)
    ids = encoder.encode([("Red?",)])["input_ids"][0].tolist()
    assert ids == tokenizer.encode("Question: Red? Answer:")
    assert ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(
    ("form", "answer"), [("{prompt}", " yes"), ("{prompt} A: ", "yes"), ("{prompt}\n", "yes")]
)
def test_an_answer_follows_after_white_space(tiny_model, form, answer):
    encoder = encoder_of(tiny_model("qwen2_vl"), prompt_template=form)
    assert encoder.tokenizer.decode(label_tokens(encoder, ["yes"])["yes"][:-1]) == answer


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ((RED, BLUE, "Alike?"), "takes one image, before the text"),
        (("Is ", RED, " red?"), "image, before the text"),
    ],
    ids=["two images", "text first"],
)
def test_prompts_that_a_q_former_cannot_take_are_refused(tiny_model, pieces, message):
    with pytest.raises(ValueError, match=message):
        encoder_of(tiny_model("blip-2")).encode([pieces])


def test_a_prompt_that_is_refused_is_skipped_with_the_reason(tiny_model, inputs, tmp_path):
    rows = [
        {"image": inputs.image("a.png"), "question": "What?", "label": "a"},
        {"question": "What?", "label": "b"},
    ]
    model = str(tiny_model("blip-2"))
    train = inputs.rows("rows.jsonl", rows)
    done = extract("general", train=train, model=model, out=tmp_path / "store")
    assert [reason for _, _, reason in done.skipped] == [
        "the processor refuses it (images of [] px): this model takes no prompt without an image"
    ]


@pytest.mark.thorough
def test_a_form_is_part_of_the_identity(tiny_model):
    folder = str(tiny_model("qwen2_vl"))
    plain, formed = (load_model(folder, prompt_template=form) for form in (None, FORM))
    differences = [
        line.split(":")[0] for line in formed.identity({}).differences(plain.identity({}))
    ]
    assert differences == ["model.prompt_template", "model.image_mark", "prompt"]
    built_in = load_model(str(tiny_model("paligemma")))
    given = load_model(str(tiny_model("paligemma")), prompt_template=built_in.encoder.form.text)
    assert built_in.identity({}) == given.identity({})


def test_padding_between_image_and_text_goes_to_the_left():
    made = pad_left(
        {
            "input_ids": torch.tensor([[9, 0, 0, 5], [9, 6, 7, 8], [9, 4, 0, 0]]),
            "attention_mask": torch.tensor([[1, 0, 0, 1], [1, 1, 1, 1], [1, 1, 0, 0]]),
            "qformer_input_ids": torch.tensor([[0, 5], [7, 8], [4, 0]]),
            "qformer_attention_mask": torch.tensor([[0, 1], [1, 1], [1, 0]]),
            "pixel_values": torch.zeros(3, 4, 2, 2),
        }
    )
    assert made["input_ids"].tolist() == [[0, 0, 9, 5], [9, 6, 7, 8], [0, 0, 9, 4]]
    assert made["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]]
    assert made["qformer_input_ids"].tolist() == [[5, 0], [7, 8], [4, 0]]
    assert made["qformer_attention_mask"].tolist() == [[1, 0], [1, 1], [1, 0]]


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "florence2"},
        {"model_type": "blip-2", "text_config": {"model_type": "t5"}},
        {"model_type": "instructblip", "text_config": {"model_type": "t5"}},
    ],
    ids=lambda config: config["model_type"],
)
def test_encoder_decoders_are_refused_by_their_configuration(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="at the decoder's start token self-attention sees that"):
        encoder_of(tmp_path)


def test_two_ways_to_make_prompts_are_refused():
    with pytest.raises(
        ModelError, match="`prompt_template` and `model_code` both make the prompts"
    ):
        ModelOptions(model="demo", prompt_template=FORM, model_code="mine.py")
