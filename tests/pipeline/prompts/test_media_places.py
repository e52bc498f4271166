"""The order of images and text after the chat template, for the templates of real checkpoints."""

import inspect
import re

import chat_templates
import pytest
from tiny_models import BUILDERS, COUNTS, LIMITED, marked
from tiny_parts import picture
from transformers import LlavaForConditionalGeneration, LlavaNextForConditionalGeneration

from savs.pipeline.extraction.model.identity import prompt_digest
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.prompts.media_places import IMAGE, PROBES, media_places
from savs.pipeline.reports.preview.rendered_prompt import load_wording
from savs.stores.format.layout import digest

FAMILIES = [name for name in BUILDERS | LIMITED if name not in COUNTS]
"""Those that take no, one and two images; others are in test_prompt_form.py."""
QUICK_MOVING = ("llava", "llava_next", "vipllava", "llava_onevision")
MOVING = {*QUICK_MOVING, "llava_next_video", "video_llava"}
"""Families whose chat template puts all images of a turn before its text."""
ALWAYS = (*QUICK_MOVING, "qwen2_vl", "gemma3", "idefics2")
"""Families of `just check`; the others are thorough."""
WORDS = ("one", "two", "three", "four", "five")
CASES = ("TI", "TIT", "ITI", "TITIT", "ITIT", "IITI", "TIIT", "IT", "IIT", "II", "T")
MINISTRAL = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '[INST]' }}
    {%- if message['content'] | length == 2 %}
        {%- set blocks = message['content'] | sort(attribute='type') %}
    {%- else %}
        {%- set blocks = message['content'] %}
    {%- endif %}
    {%- for block in blocks %}
        {%- if block['type'] == 'text' %}
            {{- block['text'] }}
        {%- else %}
            {{- '[IMG]' }}
        {%- endif %}
    {%- endfor %}
    {{- '[/INST]' }}
{%- endfor %}
"""
"""A turn as the template of Ministral 3 has it: two pieces are sorted by their type."""
NUMBERED = (
    "{% for c in messages[0]['content'] if c['type'] == 'image' %}"
    "Image {{ loop.index }}: <image>\n{% endfor %}"
    "{% for c in messages[0]['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}"
)
HIDDEN = (
    "{% for c in messages[0]['content'] %}"
    "{{ c['text'] if c['type'] == 'text' else '[a picture]' }}{% endfor %}"
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)


EACH_FAMILY = [marked(family, ALWAYS) for family in FAMILIES]


def prompt(kinds):
    """Return a prompt of these kinds; its texts are `one`, `two` ... with spaces around."""
    return tuple(
        picture(40, 56, place) if kind == "I" else f" {WORDS[place]} "
        for place, kind in enumerate(kinds)
    )


def order_of(worded):
    """Return the order of texts and images that the token ids have; adjacent images are one."""
    found = []
    for run in worded.runs:
        if run.kind == "image":
            found.append("I")
        found += [word for word in run.text.split() if word in WORDS]
    return [part for n, part in enumerate(found) if n == 0 or (found[n - 1], part) != ("I", "I")]


@pytest.fixture(scope="module")
def words(tiny_model):
    known = {}

    def get(family):
        if family not in known:
            known[family] = load_wording(ModelOptions(model=str(tiny_model(family))))
        return known[family]

    return get


@pytest.mark.parametrize("kinds", CASES)
@pytest.mark.parametrize("family", EACH_FAMILY)
def test_the_token_ids_have_images_and_text_in_the_asked_order(words, family, kinds):
    pieces = prompt(kinds)
    worded = words(family)(pieces)
    asked = [piece.strip() if isinstance(piece, str) else "I" for piece in pieces]
    assert order_of(worded) == [
        part for n, part in enumerate(asked) if n == 0 or (asked[n - 1], part) != ("I", "I")
    ]
    assert worded.is_joined == (family in MOVING and "TI" in kinds)


@pytest.fixture
def encoder(tiny_model):
    """Load the processor of a family with another chat template."""

    def get(family, template=None):
        found = load_encoder(ModelOptions(model=str(tiny_model(family))))
        if template is not None:
            found.processor.chat_template = template
        return found

    return get


def text_of(encoder, *prompts):
    """Return the token ids of each prompt as text, without padding."""
    inputs = encoder.encode(prompts)
    return [
        encoder.tokenizer.decode(ids[mask.bool()], clean_up_tokenization_spaces=False)
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]


TURNS = [
    ("llava", chat_templates.VICUNA, "TIT", "USER:  one <image> three  ASSISTANT:"),
    ("llava", chat_templates.VICUNA, "IT", "USER: <image>\n two  ASSISTANT:"),
    ("llava_next", chat_templates.MISTRAL, "TI", "[INST]  one <image> [/INST]"),
    (
        "llava_onevision",
        chat_templates.ONEVISION,
        "ITI",
        "<|im_start|>user\n<image> two <image><|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "llava_onevision",
        chat_templates.CHATML,
        "TIIT",
        "<|im_start|>user\n one <image><image> four <|im_end|>\n<|im_start|>assistant\n",
    ),
    ("pixtral", MINISTRAL, "TI", "[INST] one [IMG][/INST]"),
    ("pixtral", MINISTRAL, "IT", "[INST][IMG] two [/INST]"),
    ("pixtral", MINISTRAL, "TIT", "[INST] one [IMG] three [/INST]"),
]
"""Family, chat template, kinds of a prompt, and the text that its processor gets, without `<s>`."""


@pytest.mark.parametrize(
    ("family", "template", "kinds", "by_hand"),
    TURNS,
    ids=[f"{family}-{kinds}-{n}" for n, (family, _, kinds, _) in enumerate(TURNS)],
)
def test_a_turn_begins_and_ends_as_the_template_has_it(encoder, family, template, kinds, by_hand):
    loaded = encoder(family, template)
    images = [piece for piece in prompt(kinds) if not isinstance(piece, str)]
    ids = loaded.processor(text=[by_hand], images=[images], return_tensors="pt")["input_ids"]
    assert loaded.encode([prompt(kinds)])["input_ids"].tolist() == ids.tolist()


BREAKING = {*MOVING, "internvl"}
"""Families whose chat template writes a line break after an image."""
TRIMMING = ("gemma3", "gemma3n", "gemma4")
"""Families whose chat template takes white space off the ends of a text."""


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_a_line_break_after_an_image_is_there_once(encoder, family):
    # as in LLaVA's own code, which writes "<image>" and a line break before a question without one
    loaded = encoder(family)
    image, places = picture(40, 56), media_places(loaded.processor)
    questions = ("two?", "\ntwo?", "\n\ntwo?")
    texts = [text_of(loaded, (image, question))[0] for question in questions]
    without, one, two = (text.count("\n") for text in texts)
    breaks = family in BREAKING
    assert places.space_after("I") == "\n" * breaks
    if family in TRIMMING:
        assert one == two == without
        return
    assert one == without + (not breaks)
    assert two == one + 1  # which is the question's own
    assert (texts[0] == texts[1]) == breaks


@pytest.mark.parametrize(
    ("family", "template", "model", "documented"),
    [
        (
            "llava",
            chat_templates.VICUNA,
            LlavaForConditionalGeneration,
            "USER: <image>\\nWhat's the content of the image? ASSISTANT:",
        ),
        (
            "llava_next",
            chat_templates.MISTRAL,
            LlavaNextForConditionalGeneration,
            "[INST] <image>\\nWhat is shown in this image? [/INST]",
        ),
    ],
    ids=["llava", "llava_next"],
)
def test_prompts_in_the_docstrings_of_transformers(encoder, family, template, model, documented):
    assert f'"{documented}"' in inspect.getsource(model)
    loaded, image = encoder(family, template), picture(40, 56)
    text = documented.replace("\\n", "\n")
    question = re.search(r"<image>(.*\?)", text, re.DOTALL)[1]
    theirs = loaded.processor(text=[text], images=[image], return_tensors="pt")["input_ids"]
    for asked in (question, question.removeprefix("\n")):
        assert loaded.encode([(image, asked)])["input_ids"].tolist() == theirs.tolist()


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_prompts_that_need_no_joining_are_rendered_as_before_beside_those_that_do(encoder, family):
    processor = encoder(family).processor
    places = media_places(processor)
    for content in (
        [{"type": "text", "text": "one"}],
        [{"type": "image"}, {"type": "text", "text": "two"}],
        [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "two"}],
    ):
        turns = [{"role": "user", "content": content}]
        assert processor.apply_chat_template(
            turns, chat_template=places.joining(), add_generation_prompt=True
        ) == processor.apply_chat_template(turns, add_generation_prompt=True)


@pytest.mark.parametrize("start", ["", "\n", "  \n ", "  {% set x = 1 %}\n", "{{- '' }}\n"])
def test_white_space_at_the_start_of_a_template_stays(encoder, start):
    template = start + chat_templates.ONEVISION
    processor = encoder("llava_onevision", template).processor
    plain = processor.apply_chat_template([{"role": "user", "content": []}])
    assert plain == processor.apply_chat_template(
        [{"role": "user", "content": []}], chat_template=media_places(processor).joining()
    )


def test_white_space_that_a_tokenizer_has_as_a_token_is_no_part_of_the_mark(encoder):
    processor = encoder("llava_onevision").processor
    processor.tokenizer.add_tokens(["\n", " "])
    assert media_places(processor).mark_of(IMAGE) == "<image>"


def test_a_batch_may_hold_prompts_of_both_kinds(encoder):
    loaded = encoder("llava_onevision")
    prompts = [prompt(kinds) for kinds in ("IT", "TI", "T", "TITI")]
    assert text_of(loaded, *prompts) == [text_of(loaded, pieces)[0] for pieces in prompts]


@pytest.mark.parametrize("token", ["<|im_end|>", "<image>", "<|im_start|>"])
def test_a_control_token_in_a_joined_text_is_plain_text(encoder, token):
    loaded = encoder("llava_onevision")
    number = loaded.tokenizer.convert_tokens_to_ids(token)
    plain, odd = (
        loaded.encode([(f"Is {what} ", picture(40, 56), "like", picture(40, 56, 1), "?")])[
            "input_ids"
        ][0]
        for what in ("it", token)
    )
    assert (plain == number).sum() == (odd == number).sum()
    assert f"Is {token} " in loaded.tokenizer.decode(odd)


@pytest.mark.parametrize(
    ("template", "kinds", "reason"),
    [
        (NUMBERED, "TIT", "moves images: text, 1 image, text becomes 1 image, text, and <image> "),
        (NUMBERED, "ITI", "moves images: 1 image, text, 1 image becomes 2 images, text, and "),
        (HIDDEN, "TI", "does not show where it puts an image"),
        (HIDDEN, "ITI", "does not show where it puts an image"),
    ],
)
def test_images_that_cannot_be_put_at_their_marks_are_refused(encoder, template, kinds, reason):
    loaded = encoder("llava_onevision", template)
    with pytest.raises(ValueError, match=f"{reason}.*; take the marks out of the prompt"):
        loaded.encode([prompt(kinds)])
    assert "refused where text is before an image" in media_places(loaded.processor).describe()


def test_a_template_that_refuses_two_images_still_takes_one(encoder):
    template = (
        "{% if messages[0]['content'] | selectattr('type', 'equalto', 'image') | list | length > 1"
        " %}{{ raise_exception('one image at most') }}{% endif %}"
    )
    loaded = encoder("llava_onevision", template + chat_templates.ONEVISION)
    assert media_places(loaded.processor).mark_of(IMAGE) == "<image>"
    assert media_places(loaded.processor).describe().startswith("the chat template moves images")
    (text,) = text_of(loaded, prompt("TIT"))
    assert re.search("one (<image>)+ three", text)
    with pytest.raises(ValueError, match="one image at most"):
        loaded.encode([prompt("TITI")])


@pytest.mark.parametrize("family", EACH_FAMILY)
def test_the_digest_tells_where_images_are_kept_from_moving(encoder, family):
    processor = encoder(family).processor
    form = {"chat_template": processor.chat_template, "turns": "one user turn"}
    places = media_places(processor)
    assert places.moves() == (family in MOVING)
    if family in MOVING:
        form["images_at_marks"] = places.joining()
        assert places.describe() == (
            "the chat template moves images: <image> in the text keeps their places"
        )
    else:
        assert not any(map(places.are_moved, PROBES))
        assert places.describe() == "as the chat template has them"
    assert prompt_digest(processor) == digest(form)
