"""What prompts about the same images may share, for real processors, and where that is wrong."""

import pytest
from tiny_models import BUILDERS, LIMITED, marked
from tiny_parts import picture

from savs.pipeline.extraction.checks.decisions import (
    OFF,
    images_recur,
    knows_sizes,
    questions_about,
    sharing_ways,
)
from savs.pipeline.extraction.checks.trial import Trial, Verdict, choose
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line import shared_forward
from savs.pipeline.extraction.line.shared_forward import ImageFeatures, SharedForward
from savs.pipeline.extraction.model.answers import AnswerQuery, Answers
from savs.pipeline.extraction.model.pixel_scale import find_scale

pytestmark = pytest.mark.thorough

LEVELS = {
    **dict.fromkeys(("mllama", "granite4_vision", "ovis2", "perception_lm"), "off"),
    **dict.fromkeys(("deepseek_vl_hybrid", "minicpmv4_6", "minicpmv4_7", "minicpm_ocr"), "off"),
    **dict.fromkeys(("video_llama_3", "molmo2"), "images"),
    **dict.fromkeys(("blip-2", "instructblip", "kosmos-2", "fuyu"), "off"),
    "paligemma": "images",
    **dict.fromkeys(("qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"), "off"),  # with answers
}
"""What is shared where it is not prefixes. The vision towers of some do not give what the decoder
reads as something that can be kept, Perception LM takes no images of unequal numbers of tiles; the
thinkers make positions in another way, VideoLLaMA 3 gives logits of all positions. In Molmo 2 and
PaliGemma an image sees what comes after it; a Q-Former's pass needs the image again."""
ALWAYS = {"qwen2_vl", "mllama"}
"""Families of `just check`; the others are thorough."""
ANSWERS = Answers({"yes": (5, 30, 2), "no": (9, 2)})


def questions(images=1):
    shown = [picture(48, 64, n) for n in range(images)]
    others = [picture(40, 100, 9 + n) for n in range(images)]
    return [(*shown, "What is it?"), (*others, "Why is there so long a question, and what for?")]


def chosen(model, prompts, *given):
    return choose(OFF, sharing_ways(model, questions_about(model.encoder, prompts), *given))


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)
@pytest.mark.parametrize(
    "family",
    [marked(family, ALWAYS) for family in [*BUILDERS, *LIMITED]],
)
def test_sharing_gives_what_single_prompts_give_or_is_refused(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    prompts = questions()
    found = chosen(model, prompts, find_scale(model.encoder, prompts), ANSWERS)
    assert found.name == LEVELS.get(family, "prefixes"), found.seen


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3", "lfm2_vl"])
def test_the_text_may_come_before_the_image(tiny_model, family):
    model = load_model(str(tiny_model(family)), dtype="float32")
    prompts = [(f"In picture {n}, ", image, text) for n, (image, text) in enumerate(questions())]
    assert chosen(model, prompts).name == "prefixes"


def test_several_images_are_shared_unless_they_are_treated_otherwise_than_one(tiny_model):
    model = load_model(str(tiny_model("qwen2_vl")), dtype="float32")
    assert chosen(model, questions(2)).name == "prefixes"
    assert questions_about(model.encoder, questions(2)).images == 2
    # it cuts an image by itself into tiles, and each of several images not
    model = load_model(str(tiny_model("llava_onevision")), dtype="float32")
    assert chosen(model, questions(2)).name == "off"


def test_tables_may_hold_one_image_in_many_rows():
    assert images_recur({"a.png": 1, "b.png": 2})
    assert not images_recur({"a.png": 1, "b.png": 1})
    assert images_recur({"val.parquet#0/image": 1})


@pytest.fixture
def model(tiny_model):
    return load_model(str(tiny_model("qwen2_vl")), dtype="float32")


def first_image(self, shown, vision, of=ImageFeatures.of):
    """Give every image the features of the first that is as large."""
    first = {}
    for key, inputs in vision.items():
        first.setdefault(inputs["pixel_values"].shape, key)
    return of(self, [first[vision[key]["pixel_values"].shape] for key in shown], vision)


def test_features_of_a_wrong_image_are_found_out_whatever_else_is_seen(model, monkeypatch):
    monkeypatch.setattr(ImageFeatures, "of", first_image)
    assert chosen(model, questions()).name == "off"
    monkeypatch.setattr(Trial, "compare", lambda *given: Verdict(True, "all agree"))
    found = chosen(model, questions())
    assert found.name == "off"
    assert "another image under the same text gives the same heads" in found.seen


def test_images_alone_are_shared_where_prefixes_change_features(model, monkeypatch):
    positions = shared_forward.image_positions
    monkeypatch.setattr(shared_forward, "image_positions", lambda *given: 2 * positions(*given))
    found = chosen(model, questions())
    assert found.name == "images"
    assert "prefixes are not shared: " in found.seen


def test_answers_count_too(model, monkeypatch):
    launch = SharedForward.launch

    def another(self, batch, asked):
        others = {label: (7, *tokens) for label, tokens in asked.answers.tokens.items()}
        return launch(self, batch, AnswerQuery(Answers(others), asked.labels))

    monkeypatch.setattr(SharedForward, "launch", another)
    found = chosen(model, questions(), None, ANSWERS)
    assert found.name == "off"
    assert "answers move" in found.seen


def test_prompts_without_images_share_nothing(model):
    assert chosen(model, [("Is it?",), ("Or not?",)]).name == "off"


def test_a_processor_that_looks_at_pixels_is_told_from_one_that_knows_sizes(tiny_model):
    sizes = {
        family: knows_sizes(load_model(str(tiny_model(family))).encoder, questions())
        for family in ("qwen2_vl", "llava", "gemma3")
    }
    assert sizes == {"qwen2_vl": True, "llava": False, "gemma3": True}
