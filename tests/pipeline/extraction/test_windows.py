"""Windows of videos as rows: extracted, trained on, measured by clip, and of new clips."""

import numpy as np
import pytest
from clips import PALETTE, encode, plain

from savs import classify, evaluate, extract, select
from savs.datasets.media.media import MediaFolder, MediaRules
from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.input_options import InputOptions
from savs.stores import StoreMismatchError

QUESTION = "What is it?"
COLOURS = {"a": (0, 4, 9), "b": (20, 24, 26)}


@pytest.fixture
def folder(tmp_path):
    """Three clips a class of 1.2 s, with two windows of 0.8 s."""
    for label, colours in COLOURS.items():
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number, colour in enumerate(colours):
            frames = [plain(PALETTE[(colour + n // 4) % 27]) for n in range(12)]
            (tmp_path / "clips" / label / f"{number}.mp4").write_bytes(encode("mp4", frames))
    return tmp_path / "clips"


@pytest.mark.thorough
def test_windows_are_rows_from_extraction_to_new_clips(folder, tiny_model, tmp_path):
    model = str(tiny_model("qwen2_vl"))
    given = {"model": model, "dtype": "float32"}
    shown = {"video": "frames", "video_frames": 2, "window": 0.8, "stride": 0.4}
    of_folder = {"train": folder, "test": folder, "question": QUESTION, "out": tmp_path / "store"}
    done = extract("image-folder", **of_folder, **shown, **given)
    assert done.skipped == []
    table = done.store.examples("test")
    first = ["a/0.mp4@0.0..0.8", "a/0.mp4@0.4..1.2", "a/1.mp4@0.0..0.8"]
    assert table["id"].to_list()[:3] == first
    assert table["label"].to_list() == [*"aaaaaabbbbbb"]
    assert table["group"].to_list()[:3] == ["a/0.mp4", "a/0.mp4", "a/1.mp4"]
    assert table["media_sha256"].explode().n_unique() == 12

    # the features are those of the frames as images
    media, rows = MediaFolder(folder, rules=MediaRules(video_frames=2, video="frames")), []
    for name in ("a/0.mp4@0.4..1.2", "b/2.mp4@0.0..0.8"):
        names = []
        for number, image in enumerate(media.decode(name)):
            names.append(f"{name[0]}-{number}.png")
            image.save(tmp_path / names[-1])
        rows.append({"images": names, "question": QUESTION, "label": name[0]})
    alone = extract("general", train=rows, media_root=tmp_path, out=tmp_path / "frames", **given)
    both = done.store.features("train")[:, [1, 10]]
    np.testing.assert_allclose(both, alone.store.features("train"), rtol=1e-4, atol=1e-5)

    with pytest.raises(StoreMismatchError, match=r"window_ms: 800 in the store, 700 now"):
        extract("image-folder", **of_folder, **{**shown, "window": 0.7}, **given)

    selection = select(done.store, heads=4, out=True)
    metric = evaluate(done.store, selection).metrics[0]
    assert (metric.units, metric.clusters) == (12, 6)

    clip = folder / "a" / "0.mp4"
    found = classify(done.store.path, [f"{clip}@0.4..1.2", clip], model=model).predictions
    # by the windows of the training examples; the named one is among them
    names = [name.rpartition("@")[2] for name in found["id"]]
    assert names == ["0.4..1.2", "0.0..0.8"]
    parts = classify(done.store.path, [clip], model=model, window=0.6)
    names = [name.rpartition("@")[2] for name in parts.predictions["id"]]
    assert names == ["0.0..0.6", "0.6..1.2"]
    assert "processor.window_ms: 800 in the classifier, 600 now" in parts.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 1}, "`stride` leads from one window to the next; pass `window`"),
        ({"window": 0}, "`window` is 0 s, expected 0.001 to 86,400 s"),
        ({"window": float("nan")}, "`window` is nan s"),
        ({"window": 2, "stride": -1}, "`stride` is -1 s"),
        ({"window": 2, "stride": 2.5}, r"`stride` 2.5 s leaves out what is between windows of 2 s"),
        ({"window": 2, "video": "with-sound"}, "`window` gives the pictures of a video"),
    ],
)
def test_windows_that_cannot_be_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        InputOptions(train="x", **options)
