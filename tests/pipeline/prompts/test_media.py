"""Kinds of media in prompts: what is alike in a batch, and where a kind is asked."""

import types

import numpy as np
import pytest
from PIL import Image

from savs.datasets.media_kinds.sounds import Sound
from savs.datasets.media_kinds.videos import Video
from savs.pipeline.prompts import chat, media, media_places
from savs.pipeline.prompts.chat import chat_inputs
from savs.pipeline.prompts.media import (
    IMAGES,
    KINDS_OF_MEDIA,
    SOUNDS,
    VIDEOS,
    Kind,
    inverted,
    is_plain,
    kind_of,
    shape_of,
)

FRAMES = (Image.new("RGB", (8, 8)),) * 4


def test_videos_with_sounds_have_one_shape_if_they_last_equally_long():
    """A processor spreads the sounds of a batch by one rate of frames."""
    sound = Sound(np.zeros(16, np.float32), 16_000)
    heard = [Video(FRAMES, (0.0,) * 4, duration, sound) for duration in (1.2, 1.2 + 1e-9, 1.6)]
    first, same, longer = (shape_of((video, "Q")) for video in heard)
    assert first == same != longer
    silent = [Video(FRAMES, (0.0,) * 4, duration) for duration in (1.2, 1.6)]
    assert {shape_of((video, "Q")) for video in silent} == {(4,)}


CLIP = Video(FRAMES, (0.0,) * 4, 1.2)
NOISE = Sound(np.linspace(0, 1, 16, dtype=np.float32), 16_000)
DECODED = {IMAGES: FRAMES[0], VIDEOS: CLIP, SOUNDS: NOISE}


def test_every_kind_is_found_by_its_media_and_has_its_own_names():
    assert DECODED.keys() == {*KINDS_OF_MEDIA}
    assert all(kind_of(medium) is kind for kind, medium in DECODED.items())
    for name in ("letter", "word", "noun", "of", "part"):
        assert len({getattr(kind, name) for kind in KINDS_OF_MEDIA}) == len(KINDS_OF_MEDIA), name
    assert [is_plain((medium, "Q")) for medium in DECODED.values()] == [True, False, False]
    assert shape_of(("Q", *DECODED.values())) == (0, 4, -1)


def test_other_media_of_the_same_size_differ():
    image, clip, noise = inverted(tuple(DECODED.values()))
    assert image.getpixel((0, 0)) == clip.frames[-1].getpixel((0, 0)) == (255,) * 3
    assert noise.samples.tolist() == NOISE.samples[::-1].tolist()
    assert (shape_of((image, clip, noise)), noise.rate) == ((0, 4, -1), NOISE.rate)


class Depths(Kind):
    """A kind of media that is told of by this class alone."""

    letter, word, noun, of, part = "D", "depth", "depth map", np.ndarray, "depth_processor"
    refusal = "this model reads no depth maps, and the prompt has one"

    def value(self, piece):
        """Return the map."""
        return piece

    def shape(self, piece):
        """Return its size."""
        return piece.shape

    def options(self, processor, media):
        """Return how many there are."""
        return {"depths": len(media)} if media else {}


class DepthProcessor:
    """Takes maps where its template has a mark for them; gives back what it was given."""

    chat_template, image_processor, depth_processor = "a template", object(), object()
    tokenizer = types.SimpleNamespace(added_tokens_decoder={0: "<depth>"})

    def apply_chat_template(self, turns, *, tokenize=True, **options):
        """Return turns and options, or the text of the only turn."""
        if tokenize:
            return {"turns": turns, "options": options["processor_kwargs"]}
        pieces = turns[0]["content"]
        return "".join(p["text"] if p["type"] == "text" else f"<{p['type']}>" for p in pieces)


def test_a_new_kind_is_one_class(monkeypatch):
    kinds = (*KINDS_OF_MEDIA, Depths())
    for module in (media, chat):
        monkeypatch.setattr(module, "KINDS_OF_MEDIA", kinds)
    monkeypatch.setitem(media_places._TYPES, "D", "depth")
    depth = np.ones((2, 3), np.float32)
    assert shape_of((depth, "How far?")) == (2, 3)
    inputs = chat_inputs(DepthProcessor(), [(depth, "How far?")])
    ((turn,),) = inputs["turns"]
    assert [piece["type"] for piece in turn["content"]] == ["depth", "text"]
    assert turn["content"][0]["depth"] is depth
    assert inputs["options"]["depths"] == 1
    blind = types.SimpleNamespace(chat_template="a template", image_processor=object())
    with pytest.raises(ValueError, match="this model reads no depth maps"):
        chat_inputs(blind, [(depth, "How far?")])
