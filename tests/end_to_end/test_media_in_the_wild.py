"""Media as people have them: videos, base64, addresses, paths of another machine."""

import base64
import json
import shutil

import polars as pl
import pytest
from clips import CODECS, encode, plain, sound_only
from rounding import check_same_features
from web import serve

from savs.stores import open_store

RED, BLUE = (216, 40, 40), (40, 40, 216)
ASKED = "What colour is it?"


def row(name, place):
    return {"image": name, "question": ASKED, "label": ("red", "blue")[place % 2]}


@pytest.fixture
def extract(savs, tmp_path):
    def run(train, test, *more, out="store"):
        return savs(
            *("extract", "general", "--train", train, "--test", test),
            # the shipped model was trained on images alone
            *("--model", "demo", "--out", tmp_path / out, "--video", "frames", *more),
        )

    return run


@pytest.mark.thorough
def test_videos_through_the_whole_pipeline(extract, savs, inputs, tmp_path):
    def clip(split, place, suffix, frames):
        (inputs.root / split).mkdir(exist_ok=True)
        color = [(RED, BLUE)[place % 2], (128, 128, 40 + 4 * place)]
        data = encode(suffix, [plain(color[n % 9 == 8]) for n in range(frames)])
        (inputs.root / f"{split}/{place}.{suffix}").write_bytes(data)
        return row(f"{split}/{place}.{suffix}", place)

    suffixes = [*CODECS, "mp4"]
    train = [clip("train", n, suffix, 10 + n) for n, suffix in enumerate(suffixes)]
    test = [clip("test", n, suffix, 20 + n) for n, suffix in enumerate(suffixes)]
    whole = (inputs.root / "train/0.mp4").read_bytes()
    for name, data in (
        ("copy.mov", whole),  # the same bytes: a leak
        ("cut.mp4", whole[:-50]),
        ("sound.mp4", sound_only()),
        ("text.mkv", b"no video"),
    ):
        (inputs.root / name).write_bytes(data)
        test.append(row(name, 0))
    files = inputs.rows("train.jsonl", train), inputs.rows("test.jsonl", test)

    done = extract(*files, "--json")
    assert done.returncode == 4, done.stderr
    assert [(s["id"], s["reason"]) for s in json.loads(done.stdout)["skipped"]] == [
        ("test:7", "cut.mp4 is truncated: 50 bytes are missing at its end"),
        ("test:8", "sound.mp4 has no pictures: it has only sound, or is empty"),
        (
            "test:9",
            "text.mkv is not a video of a known format (MP4, MOV, Matroska, WebM, AVI)",
        ),
    ]
    assert "leak: 1 of 6 training examples is also in the test split" in done.stderr
    assert open_store(tmp_path / "store").facts["processor"]["video_frames"] == 8
    assert extract(*files, "--allow", "skips:3").returncode == 0
    other = extract(*files, "--allow", "skips:3", "--video", "4")
    assert (other.returncode, "video_frames: 8 in the store, 4 now" in other.stderr) == (1, True)
    assert extract(*files, "--video", "0").returncode == 2

    assert savs("select", tmp_path / "store", "--heads", "10").returncode == 0
    scored = savs("evaluate", tmp_path / "store", "--drop-leaks", "--json")
    assert scored.returncode == 0, scored.stderr
    found = open_store(tmp_path / "store").path / "results/vote/predictions.parquet"
    right = pl.read_parquet(found).filter(pl.col("id").str.contains(r"test:[0-5]$"))
    assert right["correct"].to_list() == [True] * 6  # red and blue clips are told apart


@pytest.fixture
def photos(inputs):
    """Two training and two test images, and their rows."""
    rows = {split: [row(f"{split}/{n}.png", n) for n in range(2)] for split in ("train", "test")}
    for split, own in rows.items():
        for place, one in enumerate(own):
            inputs.image(one["image"], seed=place + len(split))
    return rows


@pytest.mark.thorough
def test_images_in_rows_and_at_an_address_are_those_in_files(
    extract, inputs, photos, tmp_path, monkeypatch
):
    def files(name, change):
        return [
            inputs.rows(f"{name}-{split}.jsonl", [r | {"image": change(r["image"])} for r in own])
            for split, own in photos.items()
        ]

    def in_base64(name):
        data = base64.b64encode((inputs.root / name).read_bytes()).decode()
        return f"data:image/png;base64,{data}"

    assert extract(*files("named", str), out="named").returncode == 0
    done = extract(*files("inside", in_base64), out="inside")
    assert done.returncode == 0, done.stderr
    named = open_store(tmp_path / "named")
    check_same_features(open_store(tmp_path / "inside"), named)
    examples = open_store(tmp_path / "inside").examples()
    assert [media for (media,) in examples["media"]] == [
        f"inside-{split}.jsonl#{n}/image" for split in ("train", "test") for n in range(2)
    ]
    digests = named.examples()["media_sha256"]
    assert examples["media_sha256"].to_list() == digests.to_list()

    with serve(inputs.root) as (address, _):
        web = files("web", lambda name: f"{address}/{name}")
        refused = extract(*web, out="web")
        assert refused.returncode == 1
        assert "none of the 4 media exists" in refused.stderr
        assert "is a URL; to download it, pass --allow urls" in refused.stderr
        assert not (tmp_path / "web.fetched").exists()
        (inputs.root / "train/1.png").rename(inputs.root / "moved.png")
        private = extract(*web, "--allow", "urls", out="private")
        assert private.returncode == 4
        flag = "--allow private-addresses"
        assert f"is in a private network; if you trust the rows, pass {flag}" in private.stderr
        web = (*web, "--allow", "private-addresses")
        done = extract(*web, "--allow", "urls", out="web")
        assert done.returncode == 4, done.stderr
        assert f"3 of 4 URLs are in {tmp_path / 'web.fetched'}" in done.stderr
        assert "train/1.png cannot be fetched: File not found" in done.stderr
        (inputs.root / "moved.png").rename(inputs.root / "train/1.png")
        again = extract(*web, "--allow", "urls", "--retry-skipped", out="web")
        assert again.returncode == 0, again.stderr
    check_same_features(open_store(tmp_path / "web"), named)  # three images and then one
    assert extract(*web, "--allow", "urls", out="web").returncode == 0  # all are kept


@pytest.mark.thorough
def test_bad_base64_is_skipped_with_its_row(extract, inputs, photos):
    bad = [*photos["test"], row("data:image/png;base64,A*", 0), row("data:image/png,x", 1)]
    files = inputs.rows("train.jsonl", photos["train"]), inputs.rows("bad.jsonl", bad)
    done = extract(*files)
    assert done.returncode == 4
    assert "skipped test bad:2: bad.jsonl#2/image is not base64: " in done.stderr
    assert "skipped test bad:3: bad.jsonl#3/image: 'data:image/png' is not base64" in done.stderr


@pytest.mark.thorough
def test_paths_of_another_machine(extract, inputs, photos, tmp_path):
    elsewhere = {
        split: inputs.rows(
            f"{split}.jsonl", [r | {"image": f"/home/you/{r['image']}"} for r in own]
        )
        for split, own in photos.items()
    }
    done = extract(*elsewhere.values(), "--media-root", inputs.root, out="found")
    assert done.returncode == 0
    assert "train: 2 paths of another machine were matched below" in done.stderr
    assert "test: 2 paths of another machine were matched below" in done.stderr

    (inputs.root / "deeper").mkdir()
    for split in photos:
        shutil.move(inputs.root / split, inputs.root / "deeper" / split)
    lost = extract(*elsewhere.values(), "--media-root", inputs.root, out="lost")
    assert lost.returncode == 1
    assert "is outside the media root" in lost.stderr
    assert "set --media-root to the folder that holds it, or pass --allow outside" in lost.stderr

    (inputs.root / "flat").mkdir()
    for name in ("0.png", "1.png"):
        shutil.copy(inputs.root / "deeper/train" / name, inputs.root / "flat" / name)
    twice = inputs.rows(
        "twice.jsonl", [row("/home/you/cats/0.png", 0), row("/home/you/dogs/0.png", 1)]
    )
    same = extract(twice, twice, "--media-root", inputs.root / "flat", out="same")
    assert same.returncode == 1
    assert "/home/you/cats/0.png and /home/you/dogs/0.png both match" in same.stderr


@pytest.mark.thorough
def test_names_that_lead_out_of_the_media_root(extract, inputs, photos):
    rows = [r | {"image": f"../{r['image']}"} for r in photos["train"]]
    (inputs.root / "in").mkdir()
    file = inputs.rows("in/rows.jsonl", rows)
    refused = extract(file, file)
    assert refused.returncode == 1
    assert "../train/0.png is outside the media root" in refused.stderr
    assert "--allow outside" in refused.stderr
    assert extract(file, file, "--allow", "outside").returncode == 0
