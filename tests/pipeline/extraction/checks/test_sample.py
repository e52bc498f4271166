"""The prompts that are tried before a run: of images and of videos, where it has both."""

import pytest
from clips import PALETTE, encode, plain
from sounds import tone, wav

from savs.datasets import Example, MediaFolder
from savs.datasets.media.media import MediaRules
from savs.pipeline.extraction.checks.decisions import preflight
from savs.pipeline.extraction.checks.trial import Choice, sample
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.model.answers import Answers, label_tokens
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.prompts.media.catalogue import shape_of


@pytest.fixture
def model(tiny_model):
    return load_model(str(tiny_model("qwen3_vl")), dtype="float32")


@pytest.fixture
def tried(model, tmp_path):
    """Sample prompts about twelve images and three videos, of which the first is shorter."""
    names = []
    for number in range(12):
        names.append(f"{number}.png")
        plain(PALETTE[number], (64, 48)).save(tmp_path / names[-1])
    for number in range(3):
        names.append(f"{number}.mp4")
        frames = [plain(color, (64, 48)) for color in PALETTE[number : number + 3 + (number > 0)]]
        (tmp_path / names[-1]).write_bytes(encode("mp4", frames))
    rows = [
        Example(name, "test", place, None, "<image>What" + "?" * place, (name,))
        for place, name in enumerate(names)
    ]
    media = MediaFolder(tmp_path, rules=MediaRules(video_frames=4))
    return sample(model.encoder, rows, lambda _: media).prompts


def test_two_prompts_of_each_kind_are_tried(tried):
    assert list(map(shape_of, tried)) == [(0,), (0,), (4,), (4,)]
    assert [len(pieces[-1]) for pieces in tried] == [4, 15, 17, 18]


@pytest.mark.thorough
def test_batches_and_answers_of_both_kinds_are_compared(model, tried):
    answers = Answers(label_tokens(model.encoder, ["a", "b c d"]))
    found = preflight(model, tried, None, RunOptions(), answers, shared=False)
    assert found.batches.name == "together"
    assert found.answers.name == "cached", found.answers.seen
    assert found.answers.seen.startswith("log-likelihoods differ")


def test_batches_of_videos_alone_that_fail_are_seen(model, tried, spoil_inputs):
    def mix(inputs, prompts):
        if len(prompts) > 1 and "pixel_values_videos" in inputs:
            inputs["pixel_values_videos"] = inputs["pixel_values_videos"].flip(0)

    spoil_inputs(mix)
    assert preflight(model, tried, None, RunOptions(), shared=False).batches.name == "alone"


def test_one_prompt_of_each_kind_compares_nothing(model, tried):
    found = preflight(model, tried[1:3], None, RunOptions(), shared=False)
    assert found.batches == Choice("uncompared", "nothing was compared")


def test_the_shortest_and_the_longest_sound_are_tried(tiny_model, tmp_path):
    """Batches of some families differ for short sounds alone, and all prompts are as long."""
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_audio"))))
    lengths = [1.0] * 6 + [0.2, 1.0, 1.9] + [1.0] * 6
    rows = []
    for place, seconds in enumerate(lengths):
        (tmp_path / f"{place}.wav").write_bytes(wav(tone(seconds)))
        rows.append(Example(str(place), "test", place, None, "<audio>What?", (f"{place}.wav",)))
    media = MediaFolder(tmp_path)
    tried = sample(encoder, rows, lambda _: media).prompts
    assert [sound.seconds for sound, _ in tried] == [0.2, 1.0, 1.0, 1.9]
