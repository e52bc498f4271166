import random

import pytest
from transformers import Qwen2VLModel

from savs.pipeline.extraction.model.loaded_model import LoadedModel


@pytest.fixture
def weightless(monkeypatch):
    """Return a function that lets no weights be loaded from then on."""

    def load(*given, **more):
        raise AssertionError("the weights were loaded")

    return lambda: monkeypatch.setattr("savs.pipeline.extraction.model_run.load", load)


QUESTIONS = ("What is it?", "Is it the one that you saw before?", "Where?", "Why is it there?")


@pytest.fixture
def towers(monkeypatch):
    """Count the images that enter the vision tower."""
    seen = []
    features = Qwen2VLModel.get_image_features

    def counted(self, pixel_values, image_grid_thw=None, **options):
        seen.append(len(image_grid_thw))
        return features(self, pixel_values, image_grid_thw, **options)

    monkeypatch.setattr(Qwen2VLModel, "get_image_features", counted)
    return seen


@pytest.fixture
def rows(inputs):
    """Write a shuffled file: some images, four questions about each."""

    def make(name, images, seed=0):
        shown = [inputs.image(f"{name}{n}.png", seed + n, (40, 56 + 28 * (n % 2))) for n in images]
        found = [
            {"image": image, "question": question, "label": "ab"[len(question) % 2]}
            for n, image in enumerate(shown)
            for question in QUESTIONS
        ]
        random.Random(name).shuffle(found)
        return inputs.rows(f"{name}.jsonl", found)

    return make


@pytest.fixture
def passes(monkeypatch):
    """Keep the number of prompts of each forward pass that gives features."""
    seen = []
    run = LoadedModel.run

    def counted(self, arguments, *given, **named):
        seen.append(len(arguments["input_ids"]))
        return run(self, arguments, *given, **named)

    monkeypatch.setattr(LoadedModel, "run", counted)
    return seen


@pytest.fixture
def spoil_inputs(monkeypatch):
    """Let a function change the inputs of every batch, which it gets with the prompts."""
    inputs = LoadedModel.inputs

    def spoil(change):
        def changed(self, prompts):
            batch = inputs(self, prompts)
            change(batch, prompts)
            return batch

        monkeypatch.setattr(LoadedModel, "inputs", changed)

    return spoil
