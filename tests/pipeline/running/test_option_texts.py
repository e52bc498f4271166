"""What the text of an option means: each grammar, what it refuses, and back to a text."""

import pytest

from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.model.model_texts import (
    parse_code,
    parse_kwargs,
    parse_recipe,
    write_kwargs,
    write_recipe,
)
from savs.pipeline.extraction.recorded_options import (
    command_words,
    options_of_site,
    python_words,
    recorded_options,
)
from savs.pipeline.extraction.run_options import RunOptions
from savs.pipeline.inputs.input_options import FileOfRows, InputOptions
from savs.pipeline.running import option_texts
from savs.pipeline.running.option_texts import (
    PERMISSIONS,
    parse_against,
    parse_allowed,
    parse_asked,
    parse_classes,
    parse_engine,
    parse_model,
    parse_queried,
    parse_question,
    parse_result,
    parse_target,
    parse_test,
    write_allowed,
    write_classes,
)

READ = [
    ("task", "regression", {"task": "regression"}),
    ("task", "many-labels", {"task": "many-labels"}),
    ("task", "many-labels:|", {"label_separator": "|"}),
    ("task", "many-labels:::", {"label_separator": "::"}),
    ("task", "many-labels:cat,red dog", {"label_columns": ("cat", "red dog")}),
    ("task", "positive:unsafe", {"positive": "unsafe"}),
    ("shots", "20", {"shots": 20}),
    ("shots", "groups:3", {"train_groups": 3}),
    ("limit", "100", {"limit": 100}),
    ("limit", "30s", {"audio_max_seconds": 30}),
    ("limit", "100,30s", {"limit": 100, "audio_max_seconds": 30}),
    ("video", "native", {"video": "native"}),
    ("video", "4", {"video_frames": 4}),
    ("video", "frames:16", {"video": "frames", "video_frames": 16}),
    ("answers", "labels", {"answers": "labels"}),
    ("answers", "labels,generate,icl:2", {"answers": "labels,generate", "icl_shots": 2}),
    ("test", "test.jsonl", {"test": "test.jsonl"}),
    ("test", "https://host/a.csv?key=1", {"test": "https://host/a.csv?key=1"}),
    ("test", "camera=3,camera=4", {"hold_out": ("camera=3", "camera=4")}),
]


@pytest.mark.parametrize(("name", "text", "fields"), READ, ids=[f"{n} {t}" for n, t, _ in READ])
def test_a_text_is_read_and_written(name, text, fields) -> None:
    assert getattr(option_texts, f"parse_{name}")(text) == fields
    assert getattr(option_texts, f"write_{name}")(fields) == text


WRONG = [
    *(("task", text) for text in ("ordinal:3", "many-labels:", "classes:a")),
    *(("shots", text) for text in ("0", "x", "groups:", "groups:0", "sets:2", "-1", "")),
    *(("limit", text) for text in ("0", "3,4", "3m", "", "2s,3s")),
    *(("video", text) for text in ("frames:", "frames:0", "frames:x")),
    *(("answers", text) for text in ("icl:0", "icl:x", "icl:1,icl:2", "labels:3")),
    *(("engine", text) for text in ("ray,actors", "ray,actors=0", "local,actors=2", "ray,x=1")),
    *(("engine", text) for text in ("local,workers=-1", "ray,gpus=x", "ray,cpus=0", "a,cpus=1")),
    *(("engine", text) for text in ("ray,ranks=2", "vllm,ranks=0", "local,against=a", "vllm,x=1")),
    *(("program", text) for text in ("local", "ray", "vllm,workers=1", "transformers,ranks=2")),
    *(("target", text) for text in ("pseudo-labels", "pseudo-labels:many")),
    *(("model", text) for text in ("@main", "org/name@")),
    *(("classifiers", text) for text in ("pets,", "pets,fur=")),
]


@pytest.mark.parametrize(("name", "text"), WRONG, ids=[f"{n} {t!r}" for n, t in WRONG])
def test_a_wrong_text_says_what_was_expected(name, text) -> None:
    with pytest.raises(ValueError, match=r"^(expected|where) "):
        getattr(option_texts, f"parse_{name}")(text)


def test_a_separator_of_letters_has_no_text() -> None:
    assert option_texts.write_task({"label_separator": " and "}) is None


def test_a_file_that_is_there_is_no_condition(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.csv").write_text("")
    assert parse_test("a=b.csv") == {"test": "a=b.csv"}


def test_prompts_of_files_and_of_texts_are_one_list(tmp_path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("\nA?\n B? \n")
    assert parse_question(["Which?"]) == "Which?"
    assert parse_question([str(file), "C?"]) == ("A?", "B?", "C?")
    file.write_text("\n")
    with pytest.raises(ValueError, match="an empty file, expected one per line"):
        parse_question([str(file)])
    with pytest.raises(ValueError, match=r"none\.txt cannot be read: No such file"):
        parse_question(["none.txt"])


def test_questions_with_classes_are_a_json_object(tmp_path) -> None:
    file = tmp_path / "asked.json"
    file.write_text('{"Which?": ["a", "b"]}')
    assert parse_asked([str(file)]) == {"Which?": ["a", "b"]}
    assert parse_asked(["Which?"]) == "Which?"
    for text in ('["Which?"]', '{"Which?": "a"}', "{"):
        file.write_text(text)
        with pytest.raises(ValueError, match="no JSON object of questions"):
            parse_asked([str(file)])


def test_a_revision_is_after_the_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_model("org/name@v1") == {"model": "org/name", "revision": "v1"}
    assert parse_model("org/name") == {"model": "org/name"}
    (tmp_path / "run@2").mkdir()
    assert parse_model("run@2") == {"model": "run@2"}


def test_a_result_is_named_by_its_folder(tmp_path) -> None:
    assert parse_result("https://host/pets/results/lda") == {
        "store": "https://host/pets",
        "selection": "https://host/pets/results/lda",
    }
    assert parse_queried("pets/results/lda/") == {"store": "pets", "result": "lda"}
    assert parse_against("pets/results/lda") == {"against": "pets", "selection": "pets/results/lda"}
    for whole in ("pets", "pets/results", "results/vote", "a/results/b/c"):
        assert parse_result(whole) == {"store": whole}
    store = tmp_path / "results" / "pets"
    store.mkdir(parents=True)
    (store / "store.json").touch()
    assert parse_result(str(store)) == {"store": str(store)}
    lda = f"{store}/results/lda"
    assert parse_result(lda) == {"store": str(store), "selection": lda}


def test_classes_are_told_from_texts_about_them_by_their_lines(tmp_path) -> None:
    names, texts = str(tmp_path / "names.txt"), str(tmp_path / "texts.txt")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "texts.txt").write_text("a photo of {c}\n")
    assert parse_classes(["labels"]) == {"classes": "labels"}
    both = {"classes": names, "templates": texts}
    assert parse_classes([texts, names]) == both
    assert write_classes(both) == [names, texts]
    with pytest.raises(ValueError, match="expected one of both kinds at most"):
        parse_classes([names, "labels"])
    with pytest.raises(ValueError, match="cannot be read"):
        parse_classes(["none.txt"])


def test_an_engine_has_numbers() -> None:
    assert parse_engine("local,workers=0,shard_rows=2") == {
        "processes": "local",
        "workers": 0,
        "shard_rows": 2,
    }
    assert parse_engine("ray://host:6379,actors=4,cpus=2,gpus=0.5") == {
        "processes": "ray://host:6379",
        "actors": 4,
        "actor_cpus": 2,
        "actor_gpus": 0.5,
    }


@pytest.mark.parametrize(
    "text", ["local,workers=1,workers=2", "ray,gpus=.5x", "ray,gpus=\u0661", "ray,gpus=1.2.3"]
)
def test_a_number_of_an_engine_is_given_once(text) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_engine(text)


def test_what_is_learned() -> None:
    assert parse_target("labels") == {"target": None}
    assert parse_target("pseudo-labels:0") == {"target": None, "pseudo_labels": 0}


def test_a_recipe_is_a_text_a_name_or_a_file(tmp_path) -> None:
    form = tmp_path / "form"
    form.write_text("Q: {prompt}")
    cases = {
        "Q: {prompt} A:": "prompt_template",
        str(form): "prompt_template",
        "gme": "embedding",
        "mine.toml": "embedding",
        "mine.py": "model_code",
        "blocks": "model_code",
    }
    for text, field in cases.items():
        assert parse_recipe(text) == {field: text}
        assert write_recipe({field: text}) == text
    with pytest.raises(ValueError, match=r"expected a text with \{prompt\} or a file"):
        parse_recipe("no such file")
    assert parse_code("mine.py") == "mine.py"
    with pytest.raises(ValueError, match=r"expected code, FILE\.py"):
        parse_code("gme")


def test_arguments_of_a_checkpoint_fill_fields() -> None:
    text = '{"attn_implementation": "eager", "min_pixels": 3136, "a": 1}'
    fields = {"model_kwargs": {"a": 1}, "attention": "eager", "min_pixels": 3136}
    assert parse_kwargs(text) == fields
    assert parse_kwargs(write_kwargs(fields)) == fields | {"model_kwargs": {}}
    for wrong in (
        "{",
        "[]",
        '{"min_pixels": 0}',
        '{"min_pixels": "x"}',
        '{"attn_implementation": 1}',
    ):
        with pytest.raises(ValueError, match=r"expected|not JSON"):
            parse_kwargs(wrong)


ALL = tuple(PERMISSIONS)


def test_permissions_are_a_list_with_amounts() -> None:
    found = parse_allowed(["outside,urls:50GB", "images:2MP", "drafts:1204224", "skips:0"], ALL)
    assert found == {
        "allow_outside": True,
        "fetch_urls": True,
        "fetch_gb": 50,
        "max_image_pixels": 2_000_000,
        "jpeg_draft": 1_204_224,
        "max_skip": 0,
    }
    assert parse_allowed([write_allowed(found)], ALL) == found
    assert parse_allowed(["urls"], ALL) == {"fetch_urls": True}
    assert parse_allowed(["images:1MP"], ALL) == {"max_image_pixels": 1_000_000}


@pytest.mark.parametrize(
    "text",
    [
        *("all", "", "outside:1", "urls:0", "urls:x", "urls:5MP"),
        *("images", "skips", "skips:-1", "skips:5-"),
    ],
)
def test_a_wrong_permission_is_refused(text) -> None:
    with pytest.raises(ValueError, match="expected "):
        parse_allowed([text], ALL)


def test_a_permission_of_another_command_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is 'urls', expected one of outside, skips:N"):
        parse_allowed(["urls"], ["outside", "skips"])


def test_a_recorded_request_becomes_words_and_what_python_alone_has() -> None:
    asked = {
        "benchmark": "general",
        "hold_out": ["camera=3"],
        "train": "t.jsonl",
        "question": ["A?", "B?"],
        "label_columns": ["cat", "dog"],
        "shots": 5,
        "fetch_urls": True,
        "jpeg_draft": 9,
        "model": "org/name",
        "embedding": "gme",
        "attention": "eager",
        "answers": "labels",
        "icl_shots": 2,
        "placeholders": "keep",
        "reuse": "off",
        "columns": {"question": "prompt"},
        "thumbnails": True,
    }
    words = command_words(asked)
    assert words == [
        *("--test", "camera=3", "--train", "t.jsonl", "--column", "question=prompt"),
        *("--task", "many-labels:cat,dog", "--question", "A?", "--question", "B?", "--shots", "5"),
        *("--model", "org/name", "--recipe", "gme"),
        *("--model-kwargs", '{"attn_implementation": "eager"}'),
        *("--answers", "labels,icl:2", "--thumbnails", "--allow", "urls,drafts:9"),
    ]
    assert python_words(asked) == ["placeholders='keep'", "reuse='off'"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"label_columns": ["cat, small", "dog"]}, ["label_columns=['cat, small', 'dog']"]),
        ({"label_columns": [" cat", "dog"]}, ["label_columns=[' cat', 'dog']"]),
        ({"label_columns": ["+", "-"]}, ["label_columns=['+', '-']"]),  # a text between labels
        ({"hold_out": ["a,b"]}, ["hold_out=['a,b']"]),
    ],
    ids=["comma", "space", "signs", "held out"],
)
def test_what_no_text_of_a_shell_says_is_a_keyword_of_python(asked, words) -> None:
    assert command_words(asked) == []
    assert python_words(asked) == words


def test_label_columns_are_recorded_one_by_one() -> None:
    inputs = InputOptions(label_columns=("cat, small", "dog"))
    recorded = recorded_options("general", inputs, ModelOptions(model="demo"), RunOptions())
    assert recorded["label_columns"] == ["cat, small", "dog"]


def test_a_run_records_what_is_no_default_without_secrets_and_rows() -> None:
    inputs = InputOptions(
        train=FileOfRows("/tmp/rows.jsonl"),
        test="https://me:secret@host/t.jsonl",
        label_columns=("cat", "dog"),
        question="why@here?",
        limit=5,
        fetch_urls=True,
        columns={},
        seed=0,
    )
    model = ModelOptions(model="org/m", revision="x", model_kwargs={"a": 1}, max_pixels=100_000)
    run = RunOptions(site="mlp", slices=True, pooling="image-mean", workers=2, retry_skipped=True)
    found = recorded_options("general", inputs, model, run)
    assert found == {
        "benchmark": "general",
        "train": "TRAIN",
        "test": "https://host/t.jsonl",
        "label_columns": ["cat", "dog"],
        "question": "why@here?",
        "limit": 5,
        "fetch_urls": True,
        "model": "org/m",
        "max_pixels": 100_000,
        "site": "mlp",
        "slices": True,
        "pooling": "image-mean",
    }
    of_heads = {n: value for n, value in found.items() if n not in ("site", "slices", "pooling")}
    assert options_of_site(found, "heads") == of_heads
    assert options_of_site(found, "mlp") == of_heads | {"site": "mlp"}


def test_an_edited_request_gives_no_error() -> None:
    asked = {"test": None, "shots": {}, "hold_out": 3, "audio_max_seconds": "x", "templates": 1}
    assert "--classes" in command_words(asked)


def test_the_engine_of_a_record_is_one_option() -> None:
    asked = {"benchmark": "general", "engine": "vllm", "shard_rows": 8}
    assert command_words(asked)[-2:] == ["--engine", "vllm,shard_rows=8"]
    assert command_words({"shard_rows": 8})[-2:] == ["--engine", "local,shard_rows=8"]
    assert command_words({"engine": "vllm", "thumbnails": False}) == ["--engine", "vllm"]
    assert not python_words(asked)
