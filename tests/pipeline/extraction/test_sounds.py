"""Sounds in every form of input give the same features; what cannot be read is skipped."""

import base64
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from clips import PALETTE, encode, plain
from sounds import loudest_hertz, tone, wav
from tiny_text import build_text

from savs import (
    SavsClassifier,
    classify,
    evaluate,
    extract,
    report,
    save_evaluation,
    select,
    train,
)
from savs.datasets import MediaError, OptionError, RowError
from savs.datasets.media.media import MediaRules, decode_medium
from savs.datasets.media_kinds.decoders.sounds import decode_sound
from savs.pipeline.app.answers import answer
from savs.pipeline.app.workspace import Workspace
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.reports.preview.preview import preview
from savs.pipeline.running.progress import Reporting
from savs.stores import StoreMismatchError, open_store

pytestmark = pytest.mark.thorough

QUESTION = "Is it low?"
TONES = [tone(0.3 + 0.1 * n, 200 if n % 2 else 2_000) for n in range(4)]
LOADING = {"revision": None, "dtype": "float32", "placing": {}}
LABELS = ["high", "low", "high", "low"]


@pytest.fixture
def clips(inputs):
    """Four tones in files."""
    for number, samples in enumerate(TONES):
        (inputs.root / f"{number}.wav").write_bytes(wav(samples))
    return inputs


def run(tiny_model, rows, out, **options):
    given = {"model": str(tiny_model("qwen2_audio")), "dtype": "float32", **options}
    return extract(given.pop("benchmark", "general"), train=rows, out=out, **given)


def table(clips, tmp_path, form):
    """Return the four tones in one form."""
    data = [wav(samples) for samples in TONES]
    plain_rows = [{"question": QUESTION, "label": label} for label in LABELS]
    if form == "names":
        sounds = [f"{number}.wav" for number in range(4)]
    elif form == "a list":
        return [
            {**row, "audios": [str(clips.root / f"{n}.wav")]} for n, row in enumerate(plain_rows)
        ]
    elif form == "a data URI":
        sounds = [f"data:audio/wav;base64,{base64.b64encode(d).decode()}" for d in data]
    elif form == "arrays":
        sounds = [{"array": samples, "sampling_rate": 16_000, "path": None} for samples in TONES]
        return [{**row, "audio": sound} for row, sound in zip(plain_rows, sounds, strict=True)]
    elif form == "a Parquet file of Hugging Face":
        frame = pl.DataFrame(plain_rows).with_columns(
            audio=pl.Series([{"bytes": d, "path": "x.wav"} for d in data])
        )
        frame.write_parquet(clips.root / "x.parquet")
        return clips.root / "x.parquet"
    else:
        members = []
        for number, (row, content) in enumerate(zip(plain_rows, data, strict=True)):
            members += [(f"{number}.wav", content), (f"{number}.json", json.dumps(row).encode())]
        with tarfile.open(clips.root / "x.tar", "w") as tar:
            for name, content in members:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return clips.root / "x.tar"
    return clips.rows(
        "x.jsonl", [{**r, "audio": s} for r, s in zip(plain_rows, sounds, strict=True)]
    )


FORMS = ("a list", "a data URI", "arrays", "a Parquet file of Hugging Face", "a tar shard")


def test_every_form_gives_the_same_features(clips, tiny_model, tmp_path):
    first = run(tiny_model, table(clips, tmp_path, "names"), tmp_path / "names")
    assert first.skipped == []
    features = first.store.features("train")
    assert len(np.unique(features[-1], axis=0)) == 4
    processor = first.store.manifest.identity.processor
    assert (processor["audio"], processor["audio_rate"]) == (
        "libswresample, mean of the channels",
        16_000,
    )
    for form in FORMS:
        other = run(tiny_model, table(clips, tmp_path, form), tmp_path / form)
        assert other.skipped == [], form
        np.testing.assert_array_equal(other.store.features("train"), features, err_msg=form)
        digests = [
            s.examples("train")["media_sha256"].to_list() for s in (first.store, other.store)
        ]
        assert digests[0] == digests[1], form


def test_several_kinds_stand_at_their_marks(clips, tiny_model, tmp_path):
    clips.image("0.png")
    clips.image("1.png", 1)
    pictures = [encode("mp4", [plain(PALETTE[3 * n])] * 12, sound=True) for n in range(2)]
    for number, data in enumerate(pictures):
        (clips.root / f"{number}.mp4").write_bytes(data)
    asked = "Is <audio> the sound of <image>?"
    rows = [
        {"image": f"{n}.png", "audio": f"{n}.wav", "question": asked, "label": "ab"[n]}
        for n in range(2)
    ]
    # the sound of a video next to its pictures: one file, read in two ways
    rows += [
        {"image": f"{n}.mp4", "audio": f"{n}.mp4", "question": "What is it?", "label": "ab"[n]}
        for n in range(2)
    ]
    done = run(
        tiny_model,
        clips.rows("x.jsonl", rows),
        tmp_path / "out",
        model=str(tiny_model("qwen2_5_omni_thinker")),
    )
    assert done.skipped == []
    found = done.store.examples("train")
    assert found["prompt"].to_list()[2] == "<audio>What is it?"
    assert found["media"].to_list()[0] == ["0.wav", "0.png"]
    assert len(np.unique(done.store.features("train")[-1], axis=0)) == 4


@pytest.mark.parametrize("family", ["qwen2_5_omni_thinker", "qwen3_omni_moe_thinker"])
def test_a_video_goes_in_with_its_sound(clips, tiny_model, tmp_path, family):
    """Two lengths, two tones each; sounds under a second would differ in batches of Qwen3-Omni."""
    for number in range(4):
        frames = [plain(PALETTE[i]) for i in range(12 + 4 * (number % 2))]
        sound = tone(1.2 + 0.4 * (number % 2), 300 if number // 2 else 1_500)
        (clips.root / f"{number}.mp4").write_bytes(encode("mp4", frames, sound=sound))
    (clips.root / "4.mp4").write_bytes(encode("mp4", [plain(PALETTE[0])] * 12))
    rows = [{"image": f"{n}.mp4", "question": QUESTION, "label": "ab"[n % 2]} for n in range(5)]
    asked = "Is <audio> in <video>?"
    rows += [{"image": "0.mp4", "audio": "2.wav", "question": asked, "label": "a"}]
    rows += [{"images": ["0.mp4", "1.mp4"], "question": QUESTION, "label": "b"}]
    file = clips.rows("x.jsonl", rows)
    model = str(tiny_model(family))
    given = {"model": model, "video_frames": 4}
    with_sound = {"video": "with-sound", **given}
    heard = run(tiny_model, file, tmp_path / "heard", batch_size=4, **with_sound)
    alone = run(tiny_model, file, tmp_path / "1", batch_size=1, **with_sound)
    seen = run(tiny_model, file, tmp_path / "seen", **given)
    reasons = {name: reason for _, name, reason in heard.skipped}
    assert sorted(reasons) == ["x:4", "x:6"], reasons
    assert "4.mp4 has no sound" in reasons["x:4"]
    assert "other rates of frames" in reasons["x:6"]
    assert heard.store.manifest.batching["batches"]["name"] == "together"
    features = heard.store.features("train")
    np.testing.assert_allclose(features, alone.store.features("train"), atol=1e-5)
    assert len(np.unique(features[-1], axis=0)) == 5
    assert len(np.unique(seen.store.features("train")[-1][:4], axis=0)) == 2
    facts = heard.store.manifest.identity.processor
    assert (facts["video"], facts["audio_rate"]) == ("with-sound", 16_000)
    with pytest.raises(StoreMismatchError, match="video"):
        run(tiny_model, file, tmp_path / "heard", append=True, **given)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_a_sound_stands_between_the_frames_as_the_processor_puts_it(tiny_model):
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_5_omni_thinker"))))
    frames = [plain(PALETTE[n]) for n in range(12)]
    data = encode("mp4", frames, sound=tone(1.2, 300))
    rules = MediaRules(video_frames=4, video="with-sound")
    (video,) = decode_medium(data, "x.mp4", rules)
    found = encoder.encode([(video, "What is it?")])
    processor = encoder.processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What is it?"}]}],
        add_generation_prompt=True,
        tokenize=False,
    )
    theirs = processor(
        text=[text],
        videos=[[*video.frames]],
        audio=[video.sound.samples],
        audio_from_video_indices=[0],
        load_audio_from_video=True,
        videos_kwargs={"do_sample_frames": False, "fps": 4 / 1.2},
        audio_kwargs={"max_length": len(video.sound.samples) + 400},
        return_tensors="pt",
    )
    assert found.pop("use_audio_in_video") is True
    assert found.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(np.array(found[name]), np.array(value), err_msg=name)


def test_a_model_without_sounds_of_videos_is_refused_before_it_is_loaded(
    clips, tiny_model, tmp_path
):
    (clips.root / "0.mp4").write_bytes(encode("mp4", [plain(PALETTE[0])] * 4, sound=True))
    rows = [{"image": "0.mp4", "question": QUESTION, "label": label} for label in "ab"]
    with pytest.raises(ModelError, match="takes no video with its sound: its Qwen2VLProcessor"):
        run(
            tiny_model,
            clips.rows("x.jsonl", rows),
            tmp_path / "out",
            model=str(tiny_model("qwen2_vl")),
            video="with-sound",
        )


def test_files_of_published_benchmarks_are_run_and_searched_for_leaks(clips, tiny_model, tmp_path):
    """Names without suffix, the sound of a video for a model without videos, many labels."""
    films = [encode("mp4", [plain(PALETTE[n])] * 12, sound=True) for n in range(2)]
    for number, data in enumerate([*(wav(samples) for samples in TONES), *films]):
        suffix = "wav" if number < len(TONES) else "mp4"
        (clips.root / f"id{number}_000003.{suffix}").write_bytes(data)
        (clips.root / f"y{number}.{suffix}").write_bytes(data)
    lines = [f"id{n},3,{'ab'[n % 2]},{'test' if n > 3 else 'train'}\n" for n in range(6)]
    (clips.root / "vggsound.csv").write_text("".join([*lines, "id0,3,a,test\n"]))
    said: list[str] = []
    done = run(
        tiny_model,
        None,
        tmp_path / "vggsound",
        benchmark="vggsound",
        test=clips.root / "vggsound.csv",
        hold_out=["split=test"],
        reporting=Reporting(said.append),
    )
    assert done.skipped == []
    assert any("1 of 4 training examples is also in the test split" in line for line in said)
    (clips.root / "class_labels_indices.csv").write_text(
        "index,mid,display_name\n0,/m/0,Dog\n1,/m/1,Rain\n"
    )
    for split, numbers in (("train", range(4)), ("test", (4, 5))):
        text = "".join(f'y{n}, 0.000, 10.000, "/m/{n % 2}"\n' for n in numbers)
        (clips.root / f"{split}_segments.csv").write_text(f"# YTID, start_seconds\n{text}")
    store = run(
        tiny_model,
        clips.root / "train_segments.csv",
        tmp_path / "audioset",
        benchmark="audioset",
        test=clips.root / "test_segments.csv",
    ).store
    assert store.examples("train")["label"].to_list() == ['["Dog"]', '["Rain"]'] * 2
    select(store, heads=2)
    assert evaluate(store).metrics[0].name == "mAP"


def test_what_cannot_be_read_is_skipped_and_long_sounds_are_cut(clips, tiny_model, tmp_path):
    (clips.root / "half.wav").write_bytes(wav(tone(1))[:9_000])
    for name, seconds in (("long", 3), ("longer", 4)):
        (clips.root / f"{name}.wav").write_bytes(wav(tone(seconds)))
    names = ["0.wav", "1.wav", "half.wav", "long.wav", "gone.wav", "longer.wav"]
    rows = [
        {"audio": name, "question": QUESTION, "label": "ab"[n % 2]} for n, name in enumerate(names)
    ]
    file = clips.rows("x.jsonl", rows)
    done = run(tiny_model, file, tmp_path / "out")
    reasons = {name: reason for _, name, reason in done.skipped}
    assert list(reasons) == ["x:2", "x:3", "x:4", "x:5"]
    assert "half.wav is truncated" in reasons["x:2"]
    assert "the processor refuses it (sounds of [3.0] s): the sound lasts 3.0 s" in reasons["x:3"]
    lines: list[str] = []
    cut = run(
        *(tiny_model, file, tmp_path / "cut"),
        audio_max_seconds=1,
        batch_size=1,
        reporting=Reporting(lines.append),
    )
    assert [name for _, name, _ in cut.skipped] == ["x:2", "x:4"]
    assert "2 sounds were cut after 1 s (`audio_max_seconds`)" in lines
    with pytest.raises(StoreMismatchError, match="audio_max_seconds"):
        run(tiny_model, file, tmp_path / "cut", append=True)


def test_a_model_that_reads_no_sounds_refuses_the_run(clips, tiny_model, tmp_path):
    """Its rows would become text alone."""
    rows = table(clips, tmp_path, "names")
    with pytest.raises(ModelError, match=r"demo \(qwen2_vl\) reads no sounds, and prompts have so"):
        run(tiny_model, rows, tmp_path / "out", model="demo")
    with pytest.raises(ModelError, match="reads no sounds"):
        run(tiny_model, rows, tmp_path / "out", model=str(build_text(tmp_path / "text")))
    with pytest.raises(ModelError, match="is a dual encoder"):
        run(tiny_model, rows, tmp_path / "out", model=str(tiny_model("clip")))
    assert not (tmp_path / "out").exists()


def test_a_column_of_sounds_is_never_left_out(clips, tiny_model, tmp_path):
    speech = [{"speech": "0.wav", "question": QUESTION, "label": "a"}]
    with pytest.raises(
        OptionError, match=r"'speech' names a medium, '0.wav'; map it: `columns` aud"
    ):
        run(tiny_model, clips.rows("x.jsonl", speech), tmp_path / "out")
    marked = [{"audio": "0.wav", "question": "<audio> or <audio>?", "label": "a"}]
    with pytest.raises(RowError, match="2 <audio> placeholders for 1 sounds"):
        run(tiny_model, clips.rows("y.jsonl", marked), tmp_path / "out")


def test_a_folder_of_sounds_becomes_a_classifier(tiny_model, tmp_path):
    folder, new = tmp_path / "clips", tmp_path / "new"
    new.mkdir()
    for kind, hertz in (("low", 200), ("high", 3_000)):
        (folder / kind).mkdir(parents=True)
        for number in range(9):
            data = wav(tone(0.3 + 0.05 * number, hertz * (1 + number / 200)))
            place = new if number in (3, 5) else folder / kind
            (place / f"{kind}{number}.wav").write_bytes(data)
    (new / "notes.txt").write_text("left out")
    model = str(tiny_model("qwen2_audio"))
    trained = train(folder, model=model, out=tmp_path / "out", dtype="float32")
    assert "the question is 'What do you hear?'; pass `question` to ask what" in trained.notes[-1]
    store = open_store(tmp_path / "out")
    assert store.manifest.identity.benchmark["name"] == "audio-folder"
    assert store.examples("train")["thumbnail"].null_count() == 0
    assert trained.expected.metrics[0].value > 0.9
    found = classify(tmp_path / "out", [new], model=model)
    answers = dict(found.predictions.select("id", "prediction").iter_rows())
    assert {name: kind for name, kind in answers.items() if kind not in name} == {}
    assert len(answers) == 4
    assert "training had sounds" in (why_not_standalone(trained.selection) or "")
    told = answer(
        Workspace(trained.folder, store.path, folder, {**LOADING, "model": model}),
        [*new.glob("*.wav")],
        None,
    )
    assert {one.name: one.said.prediction for one in told.answers} == {
        Path(name).name: kind for name, kind in answers.items()
    }
    assert all(one.pictures[0].player.data for one in told.answers)
    again = select(store, readout="vote", heads=2)
    assert evaluate(store, again, on="folds").metrics[0].value > 0.9


def test_an_estimator_hears(tiny_model, tmp_path):
    """Sounds of a program: arrays with a rate, files, bytes."""
    sounds = [{"array": samples, "sampling_rate": 16_000} for samples in TONES]
    model = str(tiny_model("qwen2_audio"))
    heard = SavsClassifier(model, question=f"<audio>{QUESTION}", heads=2, cache=False)
    heard.fit(sounds, LABELS)
    assert heard.predict([wav(TONES[0]), sounds[1]]).tolist() == ["high", "low"]
    assert heard.selection_.source.processor["audio_rate"] == 16_000
    (tmp_path / "0.wav").write_bytes(wav(TONES[0]))
    again = classify(heard.save(tmp_path / "saved"), [tmp_path / "0.wav"], model=model)
    assert again.predictions["prediction"].to_list() == ["high"]
    shown = SavsClassifier(model, question=QUESTION, heads=2, cache=False)
    with pytest.raises(MediaError, match=r"is a sound and no image: .* by <audio>"):
        shown.fit(sounds, LABELS)


def test_pages_play_the_sounds(clips, tiny_model, tmp_path):
    """A waveform alone does not tell a listener whether a label is right."""
    clips.rows("x.jsonl", [{"audio": f"{n}.wav", "label": label} for n, label in enumerate(LABELS)])
    rows = clips.root / "x.jsonl"
    model = str(tiny_model("qwen2_audio"))
    page = tmp_path / "inputs.html"
    content = preview("general", train=rows, question=QUESTION, model=model, out=page)
    shown = content.splits[0].shown[0]
    picture, text = shown.pieces
    assert (text, picture.size, shown.skipped) == (QUESTION, "0.3 s", None)
    played = decode_sound(picture.player.data, "the player")
    assert played.seconds == pytest.approx(0.3, abs=0.03)
    assert loudest_hertz(played.samples, 16_000) == pytest.approx(2_000, abs=20)
    html = page.read_text("utf-8")
    assert html.count('src="data:audio/ogg;base64,') == 4
    assert "media-src data:" in html
    assert f"{shown.worded.image_tokens} of them of media" in html
    done = run(tiny_model, rows, tmp_path / "out", question=QUESTION)
    result = evaluate(done.store, select(done.store, heads=2), on="folds")
    save_evaluation(result, tmp_path / "result")
    report(tmp_path / "result", media_root=clips.root, out=tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8").count("data:audio/ogg;base64,") == 4
