"""What a user sees when something is wrong: one line that says where, what, and what to do."""

import os

import pytest


@pytest.fixture
def extract(savs, inputs, tmp_path):
    train, test = inputs.few_shots()

    def run(
        *more, benchmark="general", train=train, test=test, model="demo", out="store", env=None
    ):
        return savs(
            *("extract", benchmark, "--train", train, "--test", test),
            *("--model", model, "--out", tmp_path / out, *more),
            env=env,
        )

    return run


PATHS = ("--train", "t", "--test", "e", "--model", "m", "--out", "o")


def failed(done, code, *texts):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"benchmark": "genral"}, "'genral' (did you mean 'general'?)"),
        ({"model": "no/such-model"}, "model 'no/such-model' cannot be loaded"),
        ({"test": "no.jsonl"}, "no.jsonl does not exist; check the path"),
        ({"benchmark": "image-folder", "train": "no"}, "error: no does not exist"),
    ],
    ids=["benchmark", "model", "file", "folder"],
)
def test_what_does_not_exist(extract, given, message):
    failed(extract(**given), 2 if given.get("benchmark") == "genral" else 1, message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "line 2: field 'label' is missing"),
        ({"question": "?", "label": None}, "test example 'bad:1' has no label"),
        ({"label": "a"}, "line 2: field 'question' is missing"),
        ({"question": "? <image>", "label": "a"}, "line 2: 1 <image> placeholders for 0 images"),
        ({"question": "?", "label": "a", "id": "x"}, "line 2: id 'x' is taken by"),
    ],
    ids=["no label", "null label", "no question", "mark without image", "duplicate id"],
)
def test_bad_rows(extract, inputs, row, message):
    first = {"question": "?", "label": "a", "id": "x"}
    failed(extract(test=inputs.rows("bad.jsonl", [first, row])), 1, "bad", message)


@pytest.mark.parametrize(
    ("count", "message"),
    [(0, "few.jsonl holds no rows"), (2, "one class only, 'a'")],
)
def test_training_rows_that_are_too_few(extract, inputs, count, message):
    rows = [{"question": "?", "label": "a"}] * count
    failed(extract(train=inputs.rows("few.jsonl", rows)), 1, message)


@pytest.mark.thorough
def test_bad_images_are_skipped_counted_and_exit_4(extract, savs, inputs, tmp_path):
    (inputs.root / "text.png").write_text("no image")
    rows = [
        {"image": name, "question": "?", "label": "a"}
        for name in ("text.png", "absent.png", "images/test0.png")
    ]
    test = inputs.rows("some.jsonl", rows)
    failed(
        extract(test=test),
        4,
        "skipped test some:0: text.png is not an image of a known format",
        "skipped test some:1: absent.png is not in the media root",
        "2 examples were skipped, 0 allowed",
    )
    assert extract("--allow", "skips:2", test=test).returncode == 0
    scored = savs("evaluate", tmp_path / "store")
    assert scored.returncode == 0, scored.stderr
    assert "1 of 3 test examples used; 2 unreadable" in scored.stderr
    assert "2 test examples were skipped at extraction; they count as wrong" in scored.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["extract", "train", "classify"])
def test_skipped_images_have_one_exit_code_and_the_others_are_written(
    savs, inputs, tmp_path, command
):
    for number in range(3):
        inputs.image(f"photos/a/{number}.png", number)
        inputs.image(f"photos/b/{number}.png", 9 + number)
    photos, store, model = inputs.root / "photos", tmp_path / "store", ("--model", "demo")
    if command == "classify":
        assert savs("train", photos, *model, "--out", store).returncode == 0
    (photos / "a/bad.png").write_text("no image")
    calls = {
        "extract": (("image-folder", "--train", photos, *model, "--out", store), store),
        "train": (
            (photos, *model, "--out", store),
            store / "results/trained/classifier.safetensors",
        ),
        "classify": ((store, photos, "--out", tmp_path / "new.csv"), tmp_path / "new.csv"),
    }
    given, written = calls[command]
    failed(savs(command, *given), 4, "1 example was skipped, 0 allowed; fix the files")
    assert written.exists()
    again = () if command == "train" else ("--retry-skipped",)  # `train` does by itself
    allowed = savs(command, *given, "--allow", "skips:1", *again)
    assert allowed.returncode == 0, allowed.stderr
    assert "bad.png: " in allowed.stderr


@pytest.mark.thorough
def test_an_image_that_is_put_to_two_prompts_is_skipped_once_and_in_its_run_alone(
    savs, inputs, tmp_path
):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        inputs.image(f"photos/{name}", len(name))
    (inputs.root / "photos/a/bad.png").write_text("no image")
    given = ("extract", "image-folder", "--train", inputs.root / "photos", "--model", "demo")
    given = (*given, "--question", "Which?", "--question", "What?", "--out", tmp_path / "store")
    failed(
        savs(*given, "--allow", "skips:0"), 4, "1 example was skipped", "skipped train a/bad.png#2"
    )
    inputs.image("photos/b/3.png", 9)
    added = savs(*given, "--append")
    assert added.returncode == 0, added.stderr
    assert "skipped" not in added.stderr
    assert savs(*given, "--retry-skipped").returncode == 4


@pytest.mark.thorough
def test_the_demo_model_is_named_where_images_are_no_drawn_scenes(extract, savs, scenes, tmp_path):
    note = "note: demo only knows drawn shapes. For photos use e.g. --model Qwen/"
    assert note in extract().stderr
    drawn = ("extract", "shapes", "--train", scenes.train, "--test", scenes.test)
    done = savs(*drawn, "--model", "demo", "--out", tmp_path / "drawn")
    assert (done.returncode, note in done.stderr) == (0, False)


@pytest.mark.thorough
def test_a_class_without_a_usable_training_example(extract, savs, inputs, tmp_path):
    rows = [
        {"question": "?", "label": "a"},
        {"question": "!", "label": "a"},
        {"image": "empty.png", "question": "?", "label": "gone"},
        {"question": "??", "label": "b"},
    ]
    train = inputs.rows("train.jsonl", rows)
    train.with_name("empty.png").touch()
    assert extract(train=train).returncode == 4
    failed(savs("evaluate", tmp_path / "store"), 1, "class 'gone' has no training example left")


@pytest.mark.thorough
def test_a_test_label_that_training_never_had(extract, savs, inputs, tmp_path):
    rows = [{"question": "?", "label": label} for label in ("a", "c", "c")]
    assert extract(test=inputs.rows("new.jsonl", rows)).returncode == 0
    scored = savs("evaluate", tmp_path / "store")
    assert scored.returncode == 0
    assert "label 'c' of 2 test examples is not in the training examples" in scored.stderr


@pytest.mark.thorough
def test_incomplete_store(extract, savs, tmp_path):
    assert extract(env={"SAVS_EXTRACT_ENGINE": "local,shard_rows=2"}).returncode == 0
    (tmp_path / "store" / "test-00001.h5").unlink()
    failed(
        savs("evaluate", tmp_path / "store"),
        3,
        "1 of 6 shards are missing (test-00001.h5 first)",
        "run the same `savs extract` command again",
    )
    shown = savs("show", tmp_path / "store")
    assert shown.returncode == 0
    assert "1 missing" in shown.stdout


@pytest.mark.thorough
def test_damaged_store(extract, savs, tmp_path):
    assert extract().returncode == 0
    shard = tmp_path / "store" / "train-00000.h5"
    shard.write_bytes(shard.read_bytes()[:3000])
    failed(savs("evaluate", tmp_path / "store"), 3, "train-00000.h5")


@pytest.mark.thorough
def test_two_models_in_one_store(extract, tiny_model):
    assert extract().returncode == 0
    failed(
        extract(model=tiny_model("qwen2_vl")),
        1,
        "was extracted with other settings",
        "model.name: 'demo' in the store, 'qwen2_vl' now",
        "pass another --out",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate",), "Missing argument"),
        (("extract", "general"), "Missing option"),
        (("extrakt",), "No such command"),
        (("select", "s", "--config", "no.toml"), "no.toml cannot be read"),
        (("extract", "general", *PATHS, "--answers", "all"), "expected labels, generate"),
    ],
    ids=["argument", "option", "command", "config", "answers"],
)
def test_usage_errors_exit_2(savs, arguments, message):
    done = savs(*arguments)
    failed(done, 2)
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[select]\nhaeds = 3\n", "[select] has no option 'haeds'"),
        ("[select]\nconfig = 'a.toml'\n", "no option 'config'"),
        ("[select]\n[[]]\n", "is not TOML"),
        ("[slect]\nheads = 3\n", "[slect] is not a command"),
        ("heads = 3\n", "heads is 3, expected a table [COMMAND]"),
        (None, "not a regular file"),
    ],
)
def test_a_config_file_that_cannot_be(savs, tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text or "")
    done = savs("select", "s", "--config", "run.toml" if text else os.devnull)
    failed(done, 2)
    assert message in " ".join(done.stderr.split())


def test_no_store_there(savs, tmp_path):
    failed(savs("show", tmp_path / "none"), 1, "none is not a folder, so it is not a feature store")


def test_an_image_outside_the_media_root(extract, inputs):
    inputs.image("../outside.png")
    rows = [{"image": "../outside.png", "question": "?", "label": "a"}]
    failed(extract(test=inputs.rows("out.jsonl", rows)), 1, "outside.png is outside the media root")


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["extract", "dry run"])
def test_a_wrong_media_root_stops_before_the_model_is_loaded(extract, tmp_path, more):
    done = extract("--media-root", tmp_path / "nowhere", *more, model="no/such-model")
    failed(done, 1, "none of the 11 media exists", "nowhere; set --media-root")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", ["evaluate", "compare", "explain", "suggest"])
def test_a_name_that_no_disk_takes_is_one_line(savs, command):
    name = "x" * 300
    done = savs(command, name, *(["r"] if command == "compare" else []))
    failed(done, 1, "File name too long")
    assert done.stderr.count("\n") == 1
