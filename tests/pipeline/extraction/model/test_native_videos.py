"""Every family whose processor takes videos, through that processor: the frames that are decoded
here, with their times."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import PALETTE, encode, plain
from oracle import likelihood
from PIL import Image
from tiny_models import BUILDERS, LIMITED, VIDEO, marked

from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media_kinds.decoders.videos import Video, decode_video
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.check_model import check_reading
from savs.pipeline.extraction.checks.decisions import cache_ways
from savs.pipeline.extraction.checks.refusals import require_kind
from savs.pipeline.extraction.checks.trial import Trial, choose, run_single
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.jobs import Job, Medium, Prepared, Request
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import prepare
from savs.pipeline.extraction.model.answers import Answers, label_tokens
from savs.pipeline.extraction.model.continuation import image_positions
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.pixel_scale import find_scale
from savs.pipeline.prompts.media_places import takes

ALWAYS = ("qwen3_vl",)
OWN_TIMES = {
    *("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "smolvlm", "cosmos3_omni", "lfm3_vl")
}
"""Families that read when each frame, or each merged pair, is shown."""
MEAN_RATE = {"qwen2_5_vl", "qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"}
"""Families that read how many frames a second there are; the others of `VIDEO` read no times."""
TOLERANCE = 1e-5
"""Relative L2 a head, in float32."""


@pytest.fixture(scope="module", params=[marked(family, ALWAYS) for family in VIDEO])
def model(request, tiny_model):
    return load_model(str(tiny_model(request.param)), dtype="float32")


def noise(count, size=(48, 40), seed=0):
    """Return a video of random frames, half a second each."""
    shape = (count, size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    frames = tuple(map(Image.fromarray, pixels))
    return Video(frames, tuple(place / 2 for place in range(count)), count / 2)


def timed(video, seconds):
    """Return a video that lasts so many seconds, with its frames at even times."""
    count = len(video.frames)
    return replace(
        video, times_s=tuple(place * seconds / count for place in range(count)), duration_s=seconds
    )


def features(model, pieces):
    """Return `(heads, head_dim)` of the last layer of one prompt."""
    return model.read(model.inputs([pieces])).heads[-1][:, 0]


def apart(one, other):
    """Return the relative L2 distance of each head."""
    return np.linalg.norm(one - other, axis=-1) / np.linalg.norm(one, axis=-1)


CLIPS = {
    "long.mp4": encode("mp4", [plain(color, (64, 48)) for color in PALETTE[:20]]),
    "other.mp4": encode("mp4", [plain(color, (64, 48)) for color in PALETTE[7:25]]),
    "short.mp4": encode("mp4", [plain(color, (48, 64)) for color in PALETTE[3:5]]),
}
ASKED = (
    ("long.mp4", "<image>What?"),
    ("short.mp4", "<image>What happens here, and why does it?"),
    ("other.mp4", "Watch: <image> What do you see, in a few words?"),
    ("short.mp4", "Before <image> after."),
    ("other.mp4", "<image>?"),
)


def test_a_job_of_videos_of_many_lengths_says_what_single_prompts_say(model):
    job = Job(
        tuple(Request(n, name, prompt, (name,), 4, 9) for n, (name, prompt) in enumerate(ASKED)),
        {name: Medium(name, data) for name, data in CLIPS.items()},
    )
    rules = MediaRules(video_frames=4)
    settings = PassSettings(rules=rules, dtype=torch.float32, raw_pixels=True)
    parts = prepare(model.encoder, job, settings).parts
    assert all(isinstance(part, Prepared) and not part.is_plain for part in parts)
    assert sorted(n for part in parts for n in part.requests) == list(range(len(ASKED)))
    assert max(len(part.requests) for part in parts) == 3
    for part in parts:
        batch = model.read(part.inputs).heads
        for place, number in enumerate(part.requests):
            name, prompt = ASKED[number]
            texts = prompt.split("<image>")
            (video,) = decode_medium(CLIPS[name], name, rules)
            pieces = tuple(piece for piece in (texts[0], video, texts[1]) if piece != "")
            alone = model.read(model.inputs([pieces])).heads
            for values, batched in zip(alone, batch, strict=True):
                assert apart(values[:, 0], batched[:, place]).max() < TOLERANCE


def test_features_are_what_enters_the_output_projection(model):
    pieces = ("Here is ", noise(4), ": what is it?")
    check = check_reading(model, pieces, run_single(model, pieces))
    assert check.passed, check.what


def test_the_pass_ends_before_logits_are_computed(model):
    computed = []
    handle = model.model.get_output_embeddings().register_forward_hook(
        lambda *_: computed.append(1)
    )
    try:
        model.read(model.inputs([(noise(2), "What?")]))
    finally:
        handle.remove()
    assert computed == []


def test_another_video_changes_every_head_of_the_last_layer(model):
    one, other = (features(model, (noise(4, seed=seed), "What?")) for seed in (0, 1))
    assert (apart(one, other) > 1e-3).all()


def test_the_order_of_frames_counts(model):
    video = noise(4)
    turned = replace(video, frames=video.frames[::-1])
    moved = apart(features(model, (video, "What?")), features(model, (turned, "What?")))
    assert moved.max() > 1e-3


def test_times_count_in_the_families_that_the_docs_name(model):
    video = timed(noise(8), 4)
    others = {
        "mean rate": timed(video, 600),
        "own times": replace(video, times_s=(*(place / 10 for place in range(7)), 3.9)),
    }
    own = features(model, (video, "What?"))
    read = {
        what
        for what, other in others.items()
        if apart(own, features(model, (other, "What?"))).max() > 1e-3
    }
    family = model.encoder.name
    expected = {"mean rate", "own times"} if family in OWN_TIMES else set()
    assert read == ({"mean rate"} if family in MEAN_RATE else expected)


def test_videos_stand_at_their_marks(model):
    video = noise(2)
    found = [
        model.encoder.tokenizer.decode(model.inputs([pieces])["input_ids"][0])
        for pieces in (("Alpha ", video, " beta."), (video, "Alpha  beta."))
    ]
    assert "Alpha  beta." not in found[0]
    assert "Alpha  beta." in found[1]
    assert found[0].index("Alpha ") < found[0].index(" beta.")


def test_pixels_of_videos_are_normalised_by_the_processor(model):
    assert find_scale(model.encoder, [(noise(2), "What?"), (noise(2), "Why?")]) is None


def test_batches_with_videos_are_prepared_again_rather_than_cut(model):
    inputs = model.inputs([(noise(2), "What?"), (noise(2), "Why?")])
    batch = Prepared((0, 1), dict(inputs), 2, is_plain=False)
    with pytest.raises(
        ValueError, match="how each processor lays out videos and sounds is not known"
    ):
        batch.take(range(1))


@pytest.mark.thorough
def test_answers_behind_a_cache_are_those_of_whole_passes(model):
    answers = Answers(label_tokens(model.encoder, ["a", "b c d"]))
    # where times are positions, those of the second video are beyond those of the text after it
    second = timed(noise(4, seed=1), 600)
    prompts = [(noise(4), "What?"), (second, "And what is this?")]
    found = choose("whole", cache_ways(Trial(model, prompts), answers, together=True))
    assert found.name == "cached", found.seen
    kept = model.read(model.inputs(prompts), answers.tried(2)).outputs["answers"]
    for row, prompt in enumerate(prompts):
        expected = [
            likelihood(model.model, model.inputs([prompt]), tokens)
            for tokens in answers.tokens.values()
        ]
        np.testing.assert_allclose(kept[row], expected, rtol=1e-5)


def worded(tiny_model, family, video):
    encoder = load_encoder(ModelOptions(model=str(tiny_model(family))))
    inputs = encoder.encode([(video, "What?")])
    return inputs, encoder.tokenizer.decode(inputs["input_ids"][0])


# frames at 0, 0.1, 0.2, 0.3, 6.3 and 66.3 s; the last lasts a tenth of a second
UNEVEN = encode("mp4", [plain(color) for color in PALETTE[:6]], [0, 1, 2, 3, 63, 663])


def test_qwen3_reads_the_times_of_the_file(tiny_model):
    _, text = worded(tiny_model, "qwen3_vl", decode_video(UNEVEN, "x", 6))
    # it writes the mean of each two frames: 0.05, 0.25 and 36.3 s, with one digit
    times = [part.split(" seconds")[0] for part in text.split("<")[1:] if " seconds" in part]
    assert times == [f"{0.05:.1f}", f"{0.25:.1f}", "36.3"]


@pytest.mark.thorough
def test_smolvlm_reads_the_times_of_the_file(tiny_model):
    _, text = worded(tiny_model, "smolvlm", decode_video(UNEVEN, "x", 6))
    times = [part[:5] for part in text.split("Frame from ")[1:]]
    assert times == ["00:00"] * 4 + ["00:06", "01:06"]
    assert "series of six frames from a 0:01:06 [H:MM:SS] video" in text


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("qwen2_5_vl", "second_per_grid_ts"),
        ("qwen2_5_omni_thinker", "video_second_per_grid"),
        pytest.param(
            *("qwen3_omni_moe_thinker", "video_second_per_grid"), marks=pytest.mark.thorough
        ),
    ],
)
def test_models_with_a_mean_rate_know_the_seconds_of_two_frames(tiny_model, family, name):
    encoder = load_encoder(ModelOptions(model=str(tiny_model(family))))
    inputs = encoder.encode([(timed(noise(8), seconds), "What?") for seconds in (4, 600)])
    assert list(map(float, inputs[name])) == [1.0, 150.0]


def test_seconds_keep_their_digits_in_bfloat16(tiny_model):
    model = load_model(str(tiny_model("qwen2_5_vl")), dtype="bfloat16")
    data = encode("mp4", [plain(color) for color in PALETTE[:8]], [*range(7), 998])  # 99.9 s
    job = Job((Request(0, "x", "<image>?", ("x",), 8, 9),), {"x": Medium("x", data)})
    rules = MediaRules(video_frames=8)
    settings = PassSettings(rules=rules, dtype=torch.bfloat16)
    (part,) = prepare(model.encoder, job, settings).parts
    placed = model.placed(part.inputs)
    assert placed["pixel_values_videos"].dtype == torch.bfloat16
    times = image_positions(model.model, placed)[0, 0][placed["mm_token_type_ids"][0] == 2]
    # 4 positions a second, 2 * 99.9 / 8 s between merged frames: 0, 99.9, 199.8 and 299.7;
    # in bfloat16 these would be 24.975 -> 25 s, and multiples of 100
    assert sorted(set((times - times[0]).tolist())) == [0, 99, 199, 299]


@pytest.mark.parametrize(
    ("family", "what"),
    [
        ("llava", "its LlavaProcessor takes none"),
        pytest.param("gemma3", "its Gemma3Processor takes none", marks=pytest.mark.thorough),
        pytest.param(
            "internvl", "its chat template has no place for a video", marks=pytest.mark.thorough
        ),
    ],
)
def test_a_family_that_takes_no_videos_is_named(tiny_model, family, what):
    encoder = load_encoder(ModelOptions(model=str(tiny_model(family))))
    with pytest.raises(ModelError, match=rf"\({family}\) takes no video .*{what}; `video` frames"):
        require_kind(encoder, VIDEOS)
    with pytest.raises(ValueError, match="takes no video as a video; `video` frames"):
        encoder.encode([(noise(2), "What?")])


@pytest.mark.thorough
@pytest.mark.parametrize(("family", "fits"), [("smolvlm", False), ("llava_onevision", True)])
def test_an_image_beside_a_video_runs_or_is_refused(tiny_model, family, fits):
    model = load_model(str(tiny_model(family)), dtype="float32")
    (image,) = noise(1, seed=1).frames
    prompt = (image, " and ", noise(2), ": what changed?")
    if fits:
        other = (*prompt[:2], noise(2, seed=2), prompt[3])
        assert (apart(features(model, prompt), features(model, other)) > 1e-3).all()
        return
    with pytest.raises(ValueError, match="takes no image together with a video; `video` frames"):
        model.inputs([prompt])


@pytest.mark.slow
def test_the_families_with_videos_are_those_whose_processors_take_them(tiny_model):
    found = [
        family
        for family in BUILDERS | LIMITED
        if takes(load_encoder(ModelOptions(model=str(tiny_model(family)))).processor, VIDEOS)
    ]
    assert sorted(found) == sorted(VIDEO)
