"""A video is combined with a model as its frames, at the place of its mark."""

import io

import numpy as np
import pytest
import torch
from clips import PALETTE, encode, nearest, plain
from PIL import Image

from savs import extract
from savs.datasets.media.media import MediaRules
from savs.datasets.media_kinds.decoders.videos import decode_video
from savs.pipeline.extraction.line.jobs import Job, Medium, Refused, Request
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.line.prepare import prepare
from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions
from savs.pipeline.extraction.run_options import RunOptions
from savs.stores import StoreMismatchError, open_store

pytestmark = pytest.mark.thorough

QUESTION = "Before <image> and after."


@pytest.fixture
def files(inputs):
    """Clips of 9, 9, 2 and 2 frames, two a class, and the same prompts with frames as images."""
    clips, images = [], []
    for number, count in enumerate((9, 9, 2, 2)):
        data = encode("mp4", [plain(PALETTE[(number * 7 + i) % 27]) for i in range(count)])
        (inputs.root / f"{number}.mp4").write_bytes(data)
        frames = decode_video(data, "x", 3).frames
        assert len(frames) == min(3, count)
        names = []
        for place, frame in enumerate(frames):
            names.append(f"{number}-{place}.png")
            frame.save(inputs.root / names[-1])
        label = "ab"[number % 2]
        clips.append({"image": f"{number}.mp4", "question": QUESTION, "label": label})
        marked = QUESTION.replace("<image>", "<image>" * len(names))
        images.append({"images": names, "question": marked, "label": label})
    return inputs.rows("clips.jsonl", clips), inputs.rows("frames.jsonl", images)


@pytest.mark.parametrize(
    "family",
    ["qwen2_vl", pytest.param("idefics3", marks=pytest.mark.thorough)],
)
def test_a_clip_gives_the_features_of_its_frames(files, tiny_model, tmp_path, family):
    clips, frames = files
    given = {"model": str(tiny_model(family)), "dtype": "float32"}
    shown = {"video": "frames", "video_frames": 3}
    many = extract(*("general",), train=clips, test=clips, out=tmp_path / "c", **shown, **given)
    one = extract("general", train=frames, test=frames, out=tmp_path / "f", batch_size=1, **given)
    assert many.skipped == one.skipped == []
    for split in ("train", "test"):
        features = many.store.features(split)
        np.testing.assert_allclose(features, one.store.features(split), rtol=1e-4, atol=1e-5)
        assert len(np.unique(features[-1], axis=0)) == 4  # each clip is given from the others


def test_videos_are_in_the_identity_of_a_store_only_where_there_are_some(
    files, inputs, tiny_model, tmp_path
):
    clips, frames = files
    model = str(tiny_model("qwen2_vl"))

    def processor(name, rows, **options):
        extract("general", train=rows, test=rows, model=model, out=tmp_path / name, **options)
        return open_store(tmp_path / name).manifest.identity.processor

    plain_facts = processor("images", frames)
    assert "video_frames" not in plain_facts
    whole = processor("clips", clips)
    assert len(whole.pop("video_settings")) == len(plain_facts["settings"])
    assert whole == {**plain_facts, "video": "native", "video_frames": 8}
    assert processor("given", frames, video_frames=2) == {**plain_facts, "video_frames": 2}
    assert processor("mode", frames, video="frames") == {**plain_facts, "video": "frames"}
    processor("clips", clips, video_frames=8, video="native")  # what it had by default
    with pytest.raises(StoreMismatchError, match=r"processor\.video_frames: 8 in the store, 4 now"):
        processor("clips", clips, video_frames=4)


def test_a_thumbnail_of_a_video_is_the_first_frame_that_the_model_reads(
    inputs, tiny_model, tmp_path
):
    data = encode("mp4", [plain(PALETTE[i % 27]) for i in range(20)])
    (inputs.root / "clip.mp4").write_bytes(data)
    rows = [{"image": "clip.mp4", "question": "What?", "label": label} for label in "ab"]
    given = inputs.rows("clips.jsonl", rows)
    options = {"model": str(tiny_model("qwen2_vl")), "thumbnails": True, "video_frames": 4}
    done = extract("general", train=given, test=given, out=tmp_path / "t", **options)
    first = nearest(decode_video(data, "x", 4).frames[0])
    assert first == 2  # the middle of the first quarter
    small = [Image.open(io.BytesIO(data)) for data in done.store.examples("test")["thumbnail"]]
    assert [nearest(image) for image in small] == [first, first]


def test_a_thumbnail_of_several_images_is_the_first(inputs, tiny_model, tmp_path):
    images = [inputs.image(f"{n}.png", 40 + 90 * n) for n in range(2)]
    rows = [
        {"images": images[:: 1 - 2 * n], "question": "Which?", "label": "ab"[n]} for n in range(2)
    ]
    given = inputs.rows("both.jsonl", rows)
    options = {"model": str(tiny_model("qwen2_vl")), "thumbnails": True}
    store = extract("general", train=given, test=given, out=tmp_path / "t", **options).store
    wholes = [Image.open(inputs.root / name).convert("RGB") for name in images]
    for number, data in enumerate(store.examples("test")["thumbnail"]):
        small = np.asarray(Image.open(io.BytesIO(data)).resize(wholes[0].size), float)
        apart = [np.abs(small - np.asarray(whole, float)).mean() for whole in wholes]
        assert np.argmin(apart) == number


@pytest.mark.parametrize(("video", "grids"), [("frames", (6, 4)), ("native", (2, 2))])
def test_a_batch_has_one_number_of_images(files, inputs, tiny_model, video, grids):
    (inputs.root / "4.mp4").write_bytes(b"no video")
    names = [f"{clip}.mp4" for clip in (0, 2, 4, 1, 3)]
    job = Job(
        tuple(Request(n, name, QUESTION, (name,), 3, 9) for n, name in enumerate(names)),
        {name: Medium(name, (inputs.root / name).read_bytes()) for name in names},
    )
    encoder = load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
    settings = PassSettings(
        run=RunOptions(thumbnails=True),
        rules=MediaRules(video_frames=3, video=video),
        dtype=torch.float32,
    )
    done = prepare(encoder, job, settings)
    refused, three, two = done.parts
    assert isinstance(refused, Refused)
    assert refused.request == 2
    assert [(part.requests, part.images) for part in (three, two)] == [((0, 3), 3), ((1, 4), 2)]
    grid = "image_grid_thw" if video == "frames" else "video_grid_thw"
    assert tuple(len(part.inputs[grid]) for part in (three, two)) == grids
    assert set(done.thumbnails) == {0, 1, 3, 4}
