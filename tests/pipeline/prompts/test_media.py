"""Kinds of media in prompts: what is alike in a batch, and where a kind is asked."""

import types

import numpy as np
import pytest
from PIL import Image

from savs.datasets.media_kinds import catalogue
from savs.datasets.media_kinds.catalogue import KIND_OF_SUFFIX, KINDS, SUFFIXES, kind_of
from savs.datasets.media_kinds.decoders.sounds import Sound
from savs.datasets.media_kinds.decoders.videos import Video
from savs.datasets.media_kinds.images import IMAGES
from savs.datasets.media_kinds.medium import MediumKind, Outline
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.extraction import model_run
from savs.pipeline.inputs import source
from savs.pipeline.prompts import media_places
from savs.pipeline.prompts.chat import chat_inputs
from savs.pipeline.prompts.media.catalogue import INPUTS, inverted, is_plain, shape_of
from savs.pipeline.prompts.media.inputs import KindInputs

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
DECODED = {IMAGES: FRAMES[0], SOUNDS: NOISE, VIDEOS: CLIP}


def test_every_kind_is_found_by_its_media_and_has_its_own_names():
    assert [*DECODED] == [*INPUTS]
    assert {*INPUTS} <= {*KINDS}  # a kind without inputs is decoded to images
    assert all(kind_of(medium) is kind for kind, medium in DECODED.items())
    for name in ("noun", "mark", "usual_suffix"):
        assert len({getattr(kind, name) for kind in KINDS}) == len(KINDS), name
    for name in ("letter", "word", "part"):
        assert len({getattr(inputs, name) for inputs in INPUTS.values()}) == len(INPUTS), name
    assert len(SUFFIXES) == len(KIND_OF_SUFFIX)
    assert [is_plain((medium, "Q")) for medium in DECODED.values()] == [True, False, False]
    assert shape_of(("Q", *DECODED.values())) == (0, -1, 4)


def test_other_media_of_the_same_size_differ():
    image, noise, clip = inverted(tuple(DECODED.values()))
    assert image.getpixel((0, 0)) == clip.frames[-1].getpixel((0, 0)) == (255,) * 3
    assert noise.samples.tolist() == NOISE.samples[::-1].tolist()
    assert (shape_of((image, clip, noise)), noise.rate) == ((0, 4, -1), NOISE.rate)


class DepthMaps(MediumKind):
    """A kind of media that is told of by this class and the next alone."""

    noun, mark, columns, column_words = "depth map", "<depth>", ("depth",), ("depth",)
    suffixes, usual_suffix, of = (".depth",), ".depth", np.ndarray
    one, question = "name of one depth map", "How far is it?"

    def has_content(self, data):
        """Return whether a file is one."""
        return data.startswith(b"DEPTH")

    def decode(self, data, name, rules):
        """Return a map of one row."""
        return [np.frombuffer(data[5:], np.uint8)[None]]

    def outline(self, data, rules):
        """Return nothing but what it is."""
        return Outline(self)

    def pictures(self, piece):
        """Return it in greys."""
        return [Image.fromarray(piece)]


DEPTHS = DepthMaps()


class DepthInputs(KindInputs):
    """What a processor is given of them."""

    kind, letter, word, part = DEPTHS, "D", "depth", "depth_processor"
    refusal = "this model reads no depth maps, and the prompt has one"

    def value(self, piece):
        """Return the map."""
        return piece

    def tokens(self, counter, outline):
        """Return one."""
        return 1

    def said(self, media):
        """Return how many there are."""
        return f"{len(media)} depth maps"

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


def test_a_new_kind_is_two_classes(monkeypatch):
    monkeypatch.setattr(catalogue, "KINDS", (*KINDS, DEPTHS))
    monkeypatch.setitem(INPUTS, DEPTHS, DepthInputs())
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


class PointClouds(MediumKind):
    """A kind of media that is decoded to images is told of by this class alone."""

    noun, mark, columns, column_words = "point cloud", "<cloud>", ("image",), ("cloud",)
    suffixes, usual_suffix, of = (".xyz",), ".xyz", Image.Image
    one, question = "name of one point cloud", "What is it?"

    def has_content(self, data):
        """Return whether a file is one."""
        return data.startswith(b"XYZ")

    def decode(self, data, name, rules):
        """Return two views."""
        return [Image.new("RGB", (64, 64), color) for color in ((data[3], 9, 9), (9, 9, data[3]))]

    def outline(self, data, rules):
        """Return the sizes of both."""
        return Outline(self, [(64, 64)] * 2)

    def pictures(self, piece):
        """Return the view."""
        return [piece]


CLOUDS = PointClouds()


@pytest.mark.thorough
def test_a_new_kind_that_is_decoded_to_images_is_one_class(monkeypatch, inputs, run):
    for module in (catalogue, model_run, source):
        monkeypatch.setattr(module, "KINDS", (*KINDS, CLOUDS))
    monkeypatch.setitem(KIND_OF_SUFFIX, ".xyz", CLOUDS)
    clouds, views = [], []
    for n in range(4):
        data = b"XYZ" + bytes([n * 80])
        (inputs.root / f"{n}.xyz").write_bytes(data)
        names = [f"{n}-{place}.png" for place in range(2)]
        for name, view in zip(names, CLOUDS.decode(data, "", None), strict=True):
            view.save(inputs.root / name)
        label = "ab"[n % 2]
        clouds.append({"image": f"{n}.xyz", "question": "Is <image> red?", "label": label})
        views.append({"images": names, "question": "Is <image><image> red?", "label": label})
    features = []
    for name, rows in (("clouds", clouds), ("views", views)):
        file = inputs.rows(f"{name}.jsonl", rows)
        done = run(name, train=file, test=file, dtype="float32")
        assert done.skipped == []
        features.append(done.store.features("test"))
    np.testing.assert_allclose(*features, rtol=1e-4, atol=1e-5)
