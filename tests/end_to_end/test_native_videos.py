"""Videos as videos, or as their frames: one choice a store, which classifiers keep."""

import base64
import json

import numpy as np
import polars as pl
import pytest
from clips import PALETTE, encode, plain

from savs.stores import open_store

RED, BLUE = PALETTE[18], PALETTE[2]

pytestmark = pytest.mark.thorough


@pytest.fixture
def clips(inputs):
    """Folders of short clips: red ones become blue, blue ones become red."""
    for label, colors in (("cools", (RED, BLUE)), ("warms", (BLUE, RED))):
        (inputs.root / label).mkdir()
        for number in range(4):
            frames = [plain(colors[n >= 3 + number]) for n in range(8 + number)]
            (inputs.root / label / f"{number}.mp4").write_bytes(encode("mp4", frames))
    return inputs.root


@pytest.fixture
def extract(savs, clips, tiny_model, tmp_path):
    """Extract them by the command line."""

    def run(store, *more, family="qwen3_vl"):
        given = ("--shots", "2", "--question", "What happens?", "--dtype", "float32")
        model = ("--model", tiny_model(family), "--engine", "local,workers=0", "--no-progress")
        out = ("--out", tmp_path / store)
        return savs("extract", "image-folder", "--test", clips, *given, *model, *out, *more)

    return run


@pytest.mark.costly
def test_two_ways_are_two_stores_and_classifiers_keep_theirs(
    savs, extract, clips, tiny_model, tmp_path
):
    done = {"native": extract("native"), "frames": extract("frames", "--video", "frames")}
    assert {way: one.returncode for way, one in done.items()} == {"native": 0, "frames": 0}, done
    stores = {way: open_store(tmp_path / way) for way in done}
    for way, store in stores.items():
        assert store.facts["processor"]["video"] == way
    features = [store.features("test") for store in stores.values()]
    assert features[0].shape == features[1].shape
    assert not np.allclose(*features, rtol=1e-2)

    other = {"native": "frames", "frames": "native"}
    for way in stores:
        mixed = extract(way, "--video", other[way])
        assert mixed.returncode == 1
        assert f"processor.video: '{way}' in the store, '{other[way]}' now" in mixed.stderr
        assert extract(way, "--video", way).returncode == 0

        assert savs("select", tmp_path / way, "--heads", "4").returncode == 0
        scored = savs("evaluate", tmp_path / way)
        assert scored.returncode == 0, scored.stderr
        results = tmp_path / way / "results/vote"
        known = pl.read_parquet(results / "predictions.parquet").explode("media")
        new = savs(
            *("classify", results, clips, "--out", tmp_path / f"{way}.csv"),
            *("--model", tiny_model("qwen3_vl")),
        )
        assert new.returncode == 0, new.stderr
        assert "training examples had no videos" not in new.stderr
        again = pl.read_csv(tmp_path / f"{way}.csv")
        assert len(again) == 8
        found = {"/".join(row["media"].split("/")[-2:]): row for row in again.to_dicts()}
        for row in known.to_dicts():
            assert found[row["media"]]["prediction"] == row["prediction"]
            assert found[row["media"]]["margin"] == pytest.approx(row["margin"], abs=1e-4)
        bundle = tmp_path / f"bundle-{way}"
        shared = savs("export", tmp_path / way, "--to", "classifier", "--out", bundle)
        assert shared.returncode == 0, shared.stderr
        assert not (bundle / "predict.py").exists()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--video", "both"), 2, "video is 'both', expected native or with-sound or frames"),
        ((), 1, "(llava) takes no video as a video: its LlavaProcessor takes none; --video frames"),
        (("--video", "native"), 1, "takes no video as a video: its LlavaProcessor takes none"),
        (("--video", "frames"), 0, "examples to do"),
    ],
    ids=["no way", "by default", "native", "frames"],
)
def test_a_model_that_takes_no_videos_is_refused_before_it_is_loaded(
    extract, tmp_path, given, code, said
):
    dry = extract("store", *given, "--dry-run", family="llava")
    assert dry.returncode == code, dry.stderr
    done = extract("store", *given, family="llava")
    assert code == 0 or dry.stderr.endswith(done.stderr)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert ("loading" in done.stderr) == (code == 0)
    assert (tmp_path / "store/store.json").exists() == (code == 0)


def without_names(clips, train, kind):
    """Write rows that hold the clips themselves, or name them without a suffix."""
    rows = []
    for clip in sorted(clips.rglob("*.mp4")):
        data = clip.read_bytes()
        bare = clip.with_suffix("")
        bare.write_bytes(data)
        medium = {
            "bytes in Parquet": {"bytes": data, "path": None},
            "base64 in JSONL": "data:video/mp4;base64," + base64.b64encode(data).decode(),
            "no suffix": str(bare.relative_to(clips)),
        }[kind]
        rows.append({"image": medium, "question": "What happens?", "label": clip.parent.name})
    if kind == "bytes in Parquet":
        pl.DataFrame(rows).write_parquet(train)
    else:
        train.write_text("\n".join(map(json.dumps, rows)), "utf-8")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("bytes in Parquet", "train.parquet"),
        ("base64 in JSONL", "train.jsonl"),
        ("no suffix", "train.jsonl"),
    ],
)
def test_videos_are_known_by_their_content(savs, clips, tiny_model, tmp_path, kind, file):
    without_names(clips, clips / file, kind)

    def extract(family, *more):
        return savs(
            *("extract", "general", "--train", clips / file, "--out", tmp_path / family),
            *(
                "--model",
                tiny_model(family),
                "--dtype",
                "float32",
                "--engine",
                "local,workers=0",
                *more,
            ),
        )

    refused = extract("llava")
    said = "takes no video as a video: its LlavaProcessor takes none; --video frames"
    assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    (tmp_path / "own.py").write_text("def to_inputs(processor, prompts): 1 / 0\n")
    refused = extract("qwen3_vl", "--recipe", tmp_path / "own.py")
    assert refused.returncode == 1
    assert "your to_inputs takes text and images, and no video" in refused.stderr
    done = extract("qwen3_vl")
    assert done.returncode == 0, done.stderr
    facts = open_store(tmp_path / "qwen3_vl").facts["processor"]
    assert (facts["video"], facts["video_frames"]) == ("native", 8)
    assert facts["video_settings"]


def test_examples_are_appended_to_videos_whose_files_are_gone(savs, clips, tiny_model, tmp_path):
    without_names(clips, clips / "train.parquet", "bytes in Parquet")
    more = pl.read_parquet(clips / "train.parquet")[:2]
    given = ("--model", tiny_model("qwen3_vl"), "--dtype", "float32", "--engine", "local,workers=0")
    out = ("--out", tmp_path / "store")
    whole = savs("extract", "general", "--train", clips / "train.parquet", *given, *out)
    assert whole.returncode == 0, whole.stderr
    (clips / "train.parquet").unlink()
    more.with_columns(id=pl.Series(["x", "y"])).write_parquet(clips / "more.parquet")
    done = savs("extract", "general", "--train", clips / "more.parquet", *given, *out, "--append")
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "store").examples("train").height == 10


def test_images_alone_need_no_model_that_takes_videos(savs, inputs, tiny_model, tmp_path):
    train, test = inputs.few_shots(2, 2)
    given = (
        "--model",
        tiny_model("llava"),
        "--engine",
        "local,workers=0",
        "--out",
        tmp_path / "store",
    )
    given += ("--video", "4")  # nothing is a video for that
    done = savs("extract", "general", "--train", train, "--test", test, *given)
    assert done.returncode == 0, done.stderr
    assert "video" not in open_store(tmp_path / "store").facts["processor"]
    more, _ = inputs.few_shots(3, 2)
    done = savs("extract", "general", "--train", more, *given, "--append")
    assert done.returncode == 0, done.stderr


def test_a_video_has_no_map_and_images_beside_it_have(savs, clips, tiny_model, tmp_path):
    for number in range(2):
        plain(PALETTE[number * 9], (64, 48)).save(clips / f"{number}.png")
    media = ["cools/0.mp4", "0.png", "warms/0.mp4", "1.png"]
    rows = [{"image": m, "question": "What?", "label": "ab"[n // 2]} for n, m in enumerate(media)]
    (clips / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    model = tiny_model("qwen3_vl")
    store, page = tmp_path / "store", tmp_path / "page.html"
    files = ("--train", clips / "rows.jsonl", "--test", clips / "rows.jsonl")
    for command in (
        (
            *("extract", "general", *files),
            *(
                "--model",
                model,
                "--out",
                store,
                "--dtype",
                "float32",
                "--engine",
                "local,workers=0",
            ),
        ),
        ("select", store, "--heads", "2"),
        ("evaluate", store),
        (
            *("explain", store / "results/vote", "--media-root", clips, "--attention-maps"),
            *("--model", model, "--n", "4", "--out", page),
        ),
    ):
        done = savs(*command)
        assert done.returncode == 0, done.stderr
    text = page.read_text("utf-8")
    assert text.count("is about a video, and maps show images") == 2
    assert text.count('aria-label="attention of ') == 2 * 2  # heads, images


def test_the_page_of_inputs_shows_how_a_video_is_read(savs, clips, tiny_model, tmp_path):
    given = ("image-folder", "--test", clips, "--shots", "2", "--question", "What happens?")
    model = ("--model", tiny_model("qwen3_vl"), "--out", tmp_path / "store", "--dry-run")
    page_of = ("--page", tmp_path / "page.html")
    assert savs("extract", *given, *model, *page_of).returncode == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("0.1 seconds") > 0
    assert "frame 2 of 8" in page
    assert savs("extract", *given, *model, *page_of, "--video", "frames").returncode == 0
    assert "seconds" not in (tmp_path / "page.html").read_text("utf-8")
