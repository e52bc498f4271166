"""What a model computes from the sizes of images, given to it: the same features, no waiting."""

import numpy as np
import pytest
import torch
from narrow_towers import CONFIGS, build_narrow, counting, counting_passes
from tiny_models import BUILDERS, marked
from tiny_parts import picture

from savs.pipeline.extraction.checks.decisions import COMPUTED, host_ways
from savs.pipeline.extraction.checks.trial import Choice, Trial, choose
from savs.pipeline.extraction.entry_points import load_model
from savs.pipeline.extraction.line.jobs import Prepared
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import share_images
from savs.pipeline.extraction.line.shared_forward import SharedForward
from savs.pipeline.extraction.model import host_inputs as module
from savs.pipeline.extraction.model.answers import NOTHING, Answers
from savs.pipeline.extraction.model.continuation import image_positions, positions_and_next
from savs.pipeline.extraction.model.host_inputs import host_inputs
from savs.pipeline.extraction.model.tower_attention import set_runs

TAKEN = {
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    *("cosmos3_omni", "cosmos3_edge", "ernie4_5_vl_moe"),
    *("glm4v", "glm4v_moe", "glm46v", "glmga", "glm_ocr"),
}
"""Families that take them all, and keep every bit. PaddleOCR-VL does not: its tower interpolates
positions in another way, which the comparison must see."""
PROMPTS = [
    (picture(60, 40), "What is it?"),
    (picture(60, 40, 1), "And that?"),
    (picture(100, 60, 2), " or ", picture(56, 56, 3), "?"),
]

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # GLM-4V's processor
)


def loaded(tiny_model, family, dtype="float32"):
    return load_model(str(tiny_model(family)), dtype=dtype)


def compared(model, prompts=PROMPTS):
    return choose(COMPUTED, host_ways(Trial(model, prompts), "runs", len(prompts)))


@pytest.mark.parametrize("family", [marked(family, ("qwen3_vl",)) for family in BUILDERS])
def test_what_is_given_keeps_every_bit_or_is_not_given(tiny_model, family):
    model = loaded(tiny_model, family)
    found = compared(model)
    assert (found.name == "given") == (family in TAKEN), found.seen
    if found.name == "given":
        assert found.seen == "features keep every bit"


def test_positions_are_those_of_the_model_and_need_no_weights(tiny_model):
    model = loaded(tiny_model, "qwen2_5_vl")
    inputs = model.inputs(PROMPTS[:2])
    expected = image_positions(model.model, inputs)
    found = host_inputs(model.encoder, inputs)["position_ids"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.thorough
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_model_in_bfloat16_is_given_them_too(tiny_model, family):
    """Of learned positions it would else get weights with three digits."""
    found = compared(loaded(tiny_model, family, "bfloat16"))
    assert found == Choice("given", "features keep every bit")


def test_prompts_with_videos_are_left_to_the_model(tiny_model):
    model = loaded(tiny_model, "qwen2_vl")
    inputs = dict(model.inputs(PROMPTS[:1]))
    assert host_inputs(model.encoder, inputs)
    assert host_inputs(model.encoder, inputs | {"video_grid_thw": inputs["image_grid_thw"]}) == {}


def test_text_alone_has_nothing_to_compute(tiny_model):
    model = loaded(tiny_model, "qwen2_vl")
    prompts = [("Is the sky blue?",), ("Is it?",)]
    assert host_inputs(model.encoder, model.inputs(prompts)) == {}
    assert compared(model, prompts) == Choice("computed", "the model takes none")


def test_other_positions_are_not_given(tiny_model, monkeypatch):
    model = loaded(tiny_model, "qwen2_vl")
    known = positions_and_next
    monkeypatch.setattr(
        module, "positions_and_next", lambda *given: tuple(2 * places for places in known(*given))
    )
    assert compared(model) == Choice("computed", "features would not keep every bit")


def test_a_cut_batch_leaves_them_to_the_model(tiny_model):
    model = loaded(tiny_model, "qwen2_vl")
    prompts = [PROMPTS[0], PROMPTS[1], (picture(28, 56), "?")]
    inputs = model.inputs(prompts)
    batch = Prepared((0, 1, 2), dict(inputs), 1, host_inputs=host_inputs(model.encoder, inputs))
    assert batch.take(range(2)).host_inputs == {}


SIZES = {
    "448 x 448": [(448, 448)] * 8,
    "mixed": [
        *((448, 448), (336, 560), (224, 224), (640, 384)),
        *((448, 448), (300, 700), (512, 512), (280, 420)),
    ],
}
LIMITS = {
    ("qwen2_vl", "448 x 448"): (2279, 1800, 5),
    ("qwen2_vl", "mixed"): (2348, 2150, 6),
    ("qwen2_5_vl", "448 x 448"): (6052, 2150, 5),
    ("qwen2_5_vl", "mixed"): (6261, 2700, 6),
    ("qwen3_vl", "448 x 448"): (2872, 2400, 11),
    ("qwen3_vl", "mixed"): (2957, 2700, 14),
}
"""Operations of a batch as transformers runs it, and the most that it may have here, and waits."""


COSTLY = [pytest.param(name, marks=pytest.mark.costly) for name in CONFIGS if name != "qwen3_vl"]


@pytest.fixture(scope="module", params=["qwen3_vl", *COSTLY])
def narrow(request, tmp_path_factory):
    """Return a model of full depth, and its family."""
    folder = build_narrow(request.param, tmp_path_factory.mktemp("narrow"))
    return load_model(str(folder), dtype="float32"), request.param


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", SIZES)
def test_a_batch_of_eight_has_few_operations_and_waits(narrow, sizes):
    """A loop over images, windows or layers that is new costs a GPU milliseconds an image."""
    model, family = narrow
    images = [picture(*size, seed) for seed, size in enumerate(SIZES[sizes])]
    inputs = model.inputs([(image, "What is it?") for image in images])
    before, most, waits = LIMITS[family, sizes]
    with counting() as counts:
        plain = model.run(model.placed(inputs)).result().heads
    assert abs(counts.operations - before) < 0.02 * before  # the harness counts what it did
    assert sum(counts.waits.values()) > 160
    set_runs(model.model, runs=True)
    try:
        given = model.placed({**inputs, **host_inputs(model.encoder, inputs)})
        with counting() as counts:
            found = model.run(given).result().heads
    finally:
        set_runs(model.model, runs=False)
    assert counts.operations <= most
    assert sum(counts.waits.values()) <= waits
    for ours, theirs in zip(found, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.thorough
def test_a_batch_with_answers_waits_as_often_as_one_without(narrow):
    """Three labels, of one to three tokens after the first: their pass has no wait of its own."""
    model, family = narrow
    inputs = model.inputs([(picture(448, 448, seed), "What is it?") for seed in range(4)])
    query = Answers({"yes": (5, 30, 2), "no": (9, 2), "both": (7, 8, 9, 2)}).tried(4)
    plain = model.run(model.placed(inputs), query).result()
    set_runs(model.model, runs=True)
    try:
        given = model.placed({**inputs, **host_inputs(model.encoder, inputs)})
        with counting() as counts:
            found = model.run(given, query).result()
    finally:
        set_runs(model.model, runs=False)
    assert sum(counts.waits.values()) <= LIMITS[family, "448 x 448"][2]
    np.testing.assert_allclose(found.outputs["answers"], plain.outputs["answers"], rtol=1e-6)
    for ours, theirs in zip(found.heads, plain.heads, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.thorough
@pytest.mark.parametrize("prefixes", [False, True])
def test_prompts_that_share_images_wait_little_too(narrow, prefixes):
    """In the tower and in the decoder, with answers or without."""
    model, family = narrow
    images = [picture(448, 448, seed) for seed in range(2)]
    batch = share_images(
        model.encoder,
        [(image, text) for image in images for text in ("What is it?", "Why?")],
        {id(image): (f"image {number}", 0) for number, image in enumerate(images)},
        range(4),
        PassSettings(dtype=torch.float32),
    )
    answers = Answers({"yes": (5, 30, 2), "no": (9, 2)})
    for query in (NOTHING, answers.tried(4)):
        waits, read = [], []
        set_runs(model.model, runs=True)
        try:
            for given in (False, True):
                settings = PassSettings(
                    dtype=torch.float32, shares_prefixes=prefixes, host_inputs=given
                )
                shared = SharedForward(model, None, settings)
                shared.least_saved = 0
                with counting_passes(model.model, model.model.model.visual) as counts:
                    read.append(shared.launch(batch, query).result())
                waits.append(sum(counts.values()))
        finally:
            set_runs(model.model, runs=False)
        assert waits[1] <= LIMITS[family, "448 x 448"][2] < waits[0]
        for ours, theirs in zip(read[1].heads, read[0].heads, strict=True):
            np.testing.assert_array_equal(ours, theirs)
