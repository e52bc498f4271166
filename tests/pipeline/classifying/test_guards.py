"""Images are run on the model and to the prompt that the classifier was made with, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from savs import classify, load, load_selection, save_selection
from savs.foundation.errors import ParameterError
from savs.pipeline.classifying.model_match import decoding_of, decoding_rules, model_options
from savs.pipeline.errors import SelectionError


@pytest.mark.thorough
def test_another_question_is_refused_or_noted(animals, made) -> None:
    image = made.images[0]
    other = "Is it big?"
    message = r"1 of 1 examples have another prompt than in training, 'What animal.*'Is it big\?'"
    with pytest.raises(SelectionError, match=message):
        classify(animals, image, question=other)
    done = classify(animals, image, question=other, allow_other_prompt=True)
    assert "another prompt" in done.notes[0]
    same = load_selection(animals).tasks[0].question
    assert not classify(animals, image, question=same).notes


def test_more_images_than_in_training_are_refused(animals, made, tmp_path) -> None:
    names = [str(image) for image in made.images[:2]]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"images": names}) + "\n")
    with pytest.raises(SelectionError, match=r"with 1 images; 'rows:0' has 2"):
        classify(animals, tmp_path / "rows.jsonl", allow_outside=True)


@pytest.mark.thorough
def test_a_classifier_of_several_questions_needs_one(made, tmp_path) -> None:
    selection = load_selection(made.classifier)
    tasks = tuple(replace(task, question=None) for task in selection.tasks)
    saved = save_selection(replace(selection, tasks=tasks), tmp_path / "saved")
    with pytest.raises(SelectionError, match="pass `question` TEXT"):
        classify(saved, made.images[0])
    assert classify(saved, made.images[0], question="Which is it?").rows == len(tasks)


@pytest.mark.thorough
def test_another_model_is_refused_by_what_differs(
    animals, made, tmp_path, changed, monkeypatch
) -> None:
    facts = dict(load_selection(animals).source.model)
    other = changed(tmp_path / "a", animals, model=facts | {"weights": "0" * 64})
    with pytest.raises(SelectionError, match=r"another model, .*\n  model\.weights: '0000"):
        classify(other, made.images[0])
    named = changed(tmp_path / "b", animals, model=facts | {"name": "mine"})
    with pytest.raises(SelectionError, match=r"was a local folder called 'mine'; pass `model`"):
        classify(named, made.images[0])
    folder = tmp_path / "other"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for path in (str(folder), "other", "./other", "../other", "a/b/c", "~/model", "./mine"):
        beside = facts | {"name": path, "revision": "0" * 40}
        with pytest.raises(SelectionError, match="which is a path, not a name on the hub; pass"):
            classify(changed(tmp_path / "c", animals, model=beside), made.images[0])
    done = classify(named, made.images[0], model="demo")
    assert done.notes == ("model.name: 'mine' in the classifier, 'demo' now",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("owner/name", "c" * 40, "float32")),
        ({"revision": "main"}, ("owner/name", "main", "float32")),
        ({"model": "other/name"}, ("other/name", None, "float32")),
        (
            {"model": "other/name", "revision": "v1", "dtype": "bfloat16"},
            ("other/name", "v1", "bfloat16"),
        ),
    ],
    ids=["as recorded", "revision", "model", "all"],
)
def test_a_model_runs_at_its_own_revision(animals, given, expected) -> None:
    selection = load_selection(animals)
    facts = dict(selection.source.model) | {"name": "owner/name", "revision": "c" * 40}
    recorded = replace(selection, source=replace(selection.source, model=facts))
    nothing = {"model": None, "revision": None, "dtype": None, "placing": {}}
    options = model_options(recorded, **nothing | given)
    assert (options.model, options.revision, options.dtype) == expected


def test_a_revision_reaches_the_model_that_is_loaded(animals, made, monkeypatch) -> None:
    given = {}

    def stop(_, **options):
        given.update(options)
        raise SelectionError

    monkeypatch.setattr("savs.pipeline.classifying.model_match.model_options", stop)
    with pytest.raises(SelectionError):
        classify(animals, made.images[0], model="owner/name", revision="v1")
    assert (given["model"], given["revision"]) == ("owner/name", "v1")


@pytest.mark.parametrize(
    ("options", "inputs", "message"),
    [
        ({}, "a.jpg", "several processes share an output file; pass `out` FILE"),
        ({"out": "o.csv", "force": True}, "a.jpg", "several processes would each replace o.csv"),
        ({"out": "o.csv"}, "-", "several processes cannot share standard input"),
    ],
)
def test_several_processes_need_a_file_in_common(
    animals, monkeypatch, options, inputs, message
) -> None:
    for name, text in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(ParameterError, match=message):
        classify(animals, inputs, **options)


def test_media_are_decoded_as_they_were_recorded(animals) -> None:
    config = load_selection(animals)
    facts = {"video": "all", "jpeg_draft": 500}
    processor = {**config.source.processor, **facts}
    recorded = replace(config, source=replace(config.source, processor=processor))
    with pytest.raises(SelectionError, match="records video as 'all', expected"):
        decoding_of(recorded)
    assert decoding_rules(facts).draft_pixels == 500


def test_processor_and_template_are_compared_before_the_weights_are_loaded(
    animals, made, tmp_path, changed, monkeypatch
) -> None:
    def load(*given, **more):
        raise AssertionError

    monkeypatch.setattr("savs.pipeline.extraction.model_run.load", load)
    facts = dict(load_selection(animals).source.processor)
    other = changed(tmp_path / "a", animals, processor=facts | {"settings": "0" * 64})
    with pytest.raises(SelectionError, match=r"processor\.settings: '0000"):
        classify(other, made.images[0])
    worded = changed(tmp_path / "b", animals, prompt="0" * 64)
    with pytest.raises(SelectionError, match=r"prompt: '0000"):
        classify(worded, made.images[0])


def test_another_dtype_and_an_allowed_template_are_noted(animals, made, tmp_path, changed) -> None:
    worded = changed(tmp_path / "b", animals, prompt="0" * 64)
    done = classify(worded, made.images[0], dtype="bfloat16", allow_other_prompt=True)
    assert any(note.startswith("prompt: '0000") for note in done.notes)
    assert "dtype: 'float32' in the classifier, 'bfloat16' now" in done.notes


def test_a_loaded_classifier_has_the_options_of_its_model(animals, made, tmp_path, changed) -> None:
    """No parameter sets them. A prompt without marks is the same with and without `keep`."""
    facts = load_selection(animals).source.model
    kept = changed(tmp_path / "a", animals, model={**facts, "placeholders": "keep"})
    assert load(kept).predict(made.images).tolist() == load(animals).predict(made.images).tolist()


@pytest.mark.parametrize(
    ("part", "fact", "message"),
    [
        ("model", {"name": ["demo"]}, "records name as .*, expected a "),
        ("model", {"placeholders": 1}, "records placeholders as .*, expected a "),
        ("model", {"prompt_template": ["{prompt}"]}, "records prompt_template as .*, expected a "),
        ("model", {"prompt_template": "secret.txt"}, "_template as .*secret.*, expected a text w"),
        (
            "model",
            {"kwargs": {"weights_only": False}},
            r"model\.kwargs\.weights_only: False in",
        ),
        ("processor", {"max_pixels": "all"}, "records max_pixels as .*, expected a "),
        ("processor", {"min_pixels": 0}, "records min_pixels as .*, expected a "),
        ("processor", {"video_frames": True}, "records video_frames as .*, expected a "),
    ],
    ids=str,
)
def test_a_strangers_facts_are_checked(
    animals, made, tmp_path, changed, monkeypatch, part, fact, message
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret.txt").write_text("{prompt}")  # the classifier may not have it read
    source = load_selection(animals).source
    other = changed(tmp_path / "a", animals, **{part: {**getattr(source, part), **fact}})
    with pytest.raises(SelectionError, match=message):
        classify(other, made.images[0])
