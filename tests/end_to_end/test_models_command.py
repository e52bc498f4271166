"""`savs models`: what is said of each architecture, and that the list is whole."""

import json

import pytest
import transformers
from tiny_models import AUDIO, BUILDERS, LIMITED
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from savs.pipeline.extraction.model.sites import NAMES

STATUSES = {"verified", "verified (text)", "untested", "unsupported"}
CLASSES = {
    **MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    **MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
}
OF_SOUNDS = {
    name: CLASSES[name]
    for name in (
        *("audioflamingo3", "glmasr", "granite_speech", "moss_transcribe_diarize", "musicflamingo"),
        *("qwen2_audio", "qwen3_asr", "vibevoice_asr", "voxtral"),
    )
    if name in CLASSES
}
"""Families that read sounds and no images."""
TYPES = {"pixtral": "llava"}
"""What a builder's checkpoint calls itself where that is not the builder's name: Pixtral is a
LLaVA with another vision tower."""


def listed(savs, *options):
    done = savs("models", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_table_and_json_have_the_families(savs):
    found = listed(savs)
    assert set(found) == {"transformers", "families"}
    families = found["families"]
    assert {family["status"] for family in families} == STATUSES
    for family in families:
        assert set(family) == {"family", "class", "status", "what", "sharing", "reads", "sites"}
        assert all(family[key] for key in family.keys() - {"sharing", "reads", "sites"}), family
        ran = family["status"].startswith("verified")
        assert set(family["sites"]) == ({*NAMES} if ran else set())
        assert all(family["sites"].values())
        has_images = family["reads"].get("images") == "verified"
        assert bool(family["sharing"]) == has_images
        assert has_images <= (family["status"] == "verified")
        assert family["status"] in STATUSES
    done = savs("models")
    header, *lines = done.stdout.splitlines()
    assert header.split() == [
        *("family", "status", "reads", "computed", "once", "sites", "details")
    ]
    assert [line.split()[0] for line in lines] == [f["family"] for f in families]
    start = header.index("status")
    for line, family in zip(lines, families, strict=True):
        assert line[start:].startswith(family["status"] + " ")
    assert done.stderr.startswith(f"{len(families)} architectures, tested with transformers 5.")


def test_every_architecture_of_the_named_release_is_listed_once(savs):
    found = listed(savs)
    if found["transformers"] != transformers.__version__:
        pytest.skip(f"the list is of transformers {found['transformers']}, not of this release")
    known = {**MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, **OF_SOUNDS}
    names = [family["family"] for family in found["families"]]
    assert sorted(names) == sorted(known)
    assert {family["family"]: family["class"] for family in found["families"]} == known


def test_every_family_that_tests_build_is_verified(savs):
    statuses = {family["family"]: family["status"] for family in listed(savs)["families"]}
    built = BUILDERS | LIMITED | AUDIO
    found = {family: statuses[TYPES.get(family, family)] for family in built}
    assert found == dict.fromkeys(built, "verified")


def test_what_a_family_reads_is_in_the_list(savs):
    """A run with sounds would be planned on a model whose batches of them are wrong."""
    reads = {family["family"]: family["reads"] for family in listed(savs)["families"]}
    heard = {name: own["sounds"] for name, own in reads.items() if "sounds" in own}
    ways = dict.fromkeys(AUDIO, "verified")
    unread = {"granite_speech", "qwen3_asr", "vibevoice_asr"}
    assert heard == ways | dict.fromkeys(unread, "untested")
    assert reads["qwen2_vl"] == {"images": "verified", "videos": "verified"}
    table = savs("models").stdout
    assert "images, videos, sounds " in table
