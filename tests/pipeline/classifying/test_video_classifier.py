"""A `SavsClassifier` of videos says how they were decoded."""

from dataclasses import replace

import pytest
from clips import PALETTE, encode, plain
from sklearn.base import clone

from savs import SavsClassifier, classify
from savs.pipeline.classifying.bundle.bundle import why_not_standalone
from savs.pipeline.errors import SelectionError

pytestmark = pytest.mark.thorough


def test_how_videos_were_decoded_is_recorded(tiny_model, tmp_path):
    """The classifier would run on videos that are decoded otherwise, and say nothing."""
    clips = [
        encode("mp4", [plain(PALETTE[a if k < 3 + n else b]) for k in range(8 + n)])
        for a, b in ((18, 2), (2, 18))
        for n in range(2)
    ]
    model = str(tiny_model("qwen3_vl"))
    ask = SavsClassifier(model, question="What happens?", heads=2, dtype="float32", cache=False)
    ask.fit(clips, ["cools", "cools", "warms", "warms"])
    processor = ask.selection_.source.processor
    assert (processor["video"], processor["video_frames"]) == ("native", 8)
    assert "had videos" in (why_not_standalone(ask.selection_) or "")
    other = {**processor, "video_settings": "another"}
    assert ask(clips[0]) in ("cools", "warms")
    source = replace(ask.selection_.source, processor=other)
    ask.selection_ = replace(ask.selection_, source=source)
    with pytest.raises(SelectionError, match="video_settings"):
        ask.predict(clips[:1])
    (tmp_path / "clip.mp4").write_bytes(clips[0])
    noted = classify(
        clone(ask).fit(clips, [*"aabb"]).save(tmp_path / "saved"),
        [tmp_path / "clip.mp4"],
        model=model,
    )
    assert not any("had no videos" in note for note in noted.notes)


@pytest.mark.parametrize("name", ["clip.mp4", "clip"])
def test_a_video_is_named_where_training_had_none(fitted, tmp_path, name):
    clip = tmp_path / name
    clip.write_bytes(encode("mp4", [plain(PALETTE[number]) for number in range(3)]))
    notes = classify(fitted.save(tmp_path / "saved"), [clip]).notes
    assert f"the training examples had no videos, and {clip} is one" in notes
