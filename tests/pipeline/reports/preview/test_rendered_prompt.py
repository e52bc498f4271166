"""What a model reads of a prompt, without its weights."""

import shutil

import pytest
from tiny_parts import picture

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.reports.preview.preview import preview
from savs.pipeline.reports.preview.rendered_prompt import load_wording

PROMPT = ("Is ", picture(56, 56), " like\n", picture(56, 84), " or <|im_end|> é?")


def spelt(worded):
    return "".join(f"[{run.count}]" if run.kind == "image" else run.text for run in worded.runs)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_onevision", "llava"])
def test_the_tokens_are_those_of_the_extraction(tiny_model, family):
    folder = tiny_model(family)
    (folder / "model.safetensors").rename(folder / "away")
    try:
        worded = load_wording(ModelOptions(model=str(folder)))(PROMPT)  # so it can need no weights
    finally:
        (folder / "away").rename(folder / "model.safetensors")
    model = load_model(str(folder))
    ids = model.inputs([PROMPT])["input_ids"][0].tolist()
    assert worded.tokens == len(ids)
    assert worded.image_tokens == ids.count(model.model.config.image_token_id) > 0
    assert "like" in spelt(worded)
    assert "é?" in spelt(worded)


def test_the_final_text_of_a_qwen(tiny_model):
    # 56 x 56 px are 4 x 4 patches of 14 px, merged 2 x 2; 56 x 84 px are 2 x 3
    assert spelt(load_wording(ModelOptions(model=str(tiny_model("qwen2_vl"))))(PROMPT)) == (
        "<|im_start|>user\nIs <|vision_start|>[4]<|vision_end|> like\n<|vision_start|>[6]"
        "<|vision_end|> or <|im_end|> é?<|im_end|>\n<|im_start|>assistant\n"
    )


MOVED = "The chat template alone would move the images of this prompt."


def interleaved(inputs):
    """Write two rows: one whose images are before its text, and one with text between them."""
    names = [inputs.image(f"{n}.png", n, (28, 28)) for n in range(2)]
    rows = [
        {"images": names, "question": f"{text} alike?", "label": label}
        for text, label in (("<image><image>Are they", "a"), ("Is <image> like <image>,", "b"))
    ]
    return inputs.rows("t.jsonl", rows)


def test_the_page_shows_images_at_their_marks_and_says_where_the_template_moves_them(
    inputs, tmp_path, tiny_model
):
    path, model = interleaved(inputs), str(tiny_model("llava_onevision"))
    content = preview("general", train=path, test=path, out=tmp_path / "p.html", model=model)
    first, second = (shown.worded for shown in content.splits[0].shown)
    # 28 x 28 px are 4 tokens and a line break
    assert [spelt(first), spelt(second)] == [
        "<|im_start|>user\n[5]\n[5]\nAre they alike?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nIs [5] like [5], alike?<|im_end|>\n<|im_start|>assistant\n",
    ]
    assert (first.is_joined, second.is_joined) == (False, True)
    assert (tmp_path / "p.html").read_text("utf-8").count(MOVED) == 2  # once a split


def test_images_that_cannot_stand_at_their_marks_are_skipped_with_the_reason(
    inputs, tmp_path, tiny_model
):
    model = tmp_path / "hiding"
    shutil.copytree(tiny_model("llava_onevision"), model)
    (model / "chat_template.jinja").write_text("{{ messages[0]['content'][0]['type'] }}")
    path = interleaved(inputs)
    content = preview("general", train=path, test=path, out=tmp_path / "p.html", model=str(model))
    assert "does not show where it puts an image" in content.splits[0].shown[1].skipped


def test_pixel_limits_and_kept_marks(tiny_model):
    folder = str(tiny_model("qwen2_vl"))
    assert (
        load_wording(ModelOptions(model=folder, max_pixels=28 * 28))(
            (picture(112, 112), "?")
        ).image_tokens
        == 1
    )
    assert load_wording(ModelOptions(model=folder))((picture(112, 112), "?")).image_tokens == 16
    with pytest.raises(ModelError, match="token of its own"):
        load_wording(ModelOptions(model=str(tiny_model("llava")), placeholders="keep"))
    with pytest.raises(ModelError, match="model 'no/such' cannot be loaded"):
        load_wording(ModelOptions(model="no/such"))


def test_the_page_has_the_text_and_counts_and_what_the_processor_refuses(inputs, tmp_path):
    rows = [
        {"image": inputs.image("a.png", 1, (56, 56)), "question": "What?", "label": "a"},
        {"image": inputs.image("sliver.png", 2, (2, 900)), "question": "Thin?", "label": "b"},
    ]
    path = inputs.rows("t.jsonl", rows)
    content = preview("general", train=path, test=path, out=tmp_path / "p.html", model="demo")
    first, second = content.splits[0].shown
    assert first.worded.image_tokens > 0
    assert second.skipped.startswith("the processor rejects it: ")
    html = (tmp_path / "p.html").read_text("utf-8")
    assert f"as the model reads it: {first.worded.tokens:,} tokens" in html
    assert f"&lt;|image_pad|&gt; &times; {first.worded.image_tokens}" in html
