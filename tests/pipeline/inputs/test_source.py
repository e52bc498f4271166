"""The input files of a command: looked up once, with several prompts, searched for videos."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clips import encode, plain
from official_files import write_blink

from savs.datasets import MediaFolder, find_benchmark
from savs.datasets.benchmarks.options import adapt
from savs.datasets.errors import SourceError
from savs.datasets.many_labels import count_labels
from savs.datasets.media.download import Fetching
from savs.datasets.media_kinds.videos import VIDEOS
from savs.datasets.rows.label_kinds import MANY, Labels
from savs.foundation.errors import ParameterError
from savs.pipeline.inputs.chosen_benchmark import choose_benchmark
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import ENDS, Source, find_others, make_fetching, video_ms

BLINK = find_benchmark("blink")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the data sets that a hub was asked for; it gives each the same files."""
    write_blink(tmp_path / "hub", rows_each=8)
    asked: list[str] = []

    def download(name: str, **_: Any) -> str:
        asked.append(name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def use(source: Source) -> None:
    examples = source.examples()
    assert all(source.media(split).has(e.media[0]) for split, own in examples.items() for e in own)
    source.survey(examples)
    source.leaks(examples)


def test_a_source_of_the_hub_is_looked_up_once(asked: list[str]) -> None:
    use(Source(BLINK, InputOptions(test="hf://o/pool", shots=1)))
    assert asked == ["o/pool"]
    use(Source(BLINK, InputOptions(train="hf://o/train", test="hf://o/test")))
    assert asked == ["o/pool", "o/train", "o/test"]


def test_shots_of_a_benchmark_of_many_labels_are_drawn_for_each_label(tmp_path: Path) -> None:
    rows = [["a"], ["b"], ["c"], ["a", "b"], ["a", "c"], ["b", "c"]]  # as classes, one of each
    pool = tmp_path / "pool.jsonl"
    pool.write_text("\n".join(json.dumps({"question": "?", "label": row}) for row in rows))
    benchmark = adapt(find_benchmark("general"), labels=Labels(MANY, {"form": "list"}))
    train = Source(benchmark, InputOptions(train=pool, shots=2)).examples()["train"]
    counts = count_labels(example.label for example in train)
    assert min(counts[name] for name in "abc") >= 2


def test_a_folder_of_classes_is_its_own_media_root(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"image")
    source = Source(
        find_benchmark("image-folder"), InputOptions(train=tmp_path, test=str(tmp_path))
    )
    use(source)
    assert {source.media(split).root for split in ("train", "test")} == {tmp_path}


def test_test_examples_need_training_examples_though_others_wait_for_a_label(tmp_path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "?", "label": "a"}))
    source = Source(find_benchmark("general"), InputOptions(test=rows, unlabelled=rows))
    with pytest.raises(SourceError, match="there are no training examples: give `train`"):
        source.examples()


def test_images_that_wait_for_a_label_are_a_split_of_their_own(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png", "unlabelled/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"image")
    benchmark = find_benchmark("image-folder")
    source = Source(benchmark, InputOptions(train=tmp_path))
    ids = {split: [e.id for e in rows] for split, rows in source.examples().items()}
    assert ids == {"train": ["cat/1.png", "dog/1.png"], "unlabelled": ["unlabelled/1.png"]}
    assert source.media("unlabelled").root == tmp_path
    alone = Source(benchmark, InputOptions(unlabelled=tmp_path / "unlabelled"))
    assert {s: [e.id for e in rows] for s, rows in alone.examples().items()} == {
        "train": [],
        "unlabelled": ["1.png"],
    }


def test_labels_in_an_unlabelled_file_are_not_read(tmp_path: Path) -> None:
    write_blink(tmp_path / "blink", rows_each=4)
    (tmp_path / "rows.jsonl").write_text('{"question": "a?"}\n{"question": "b?", "label": "x"}\n')
    for benchmark, place in ((BLINK, "blink"), (find_benchmark("general"), "rows.jsonl")):
        source = Source(benchmark, InputOptions(unlabelled=tmp_path / place))
        waiting = source.examples()["unlabelled"]
        assert len(waiting) >= 2
        assert {example.label for example in waiting} == {None}
    mapped = choose_benchmark("general", columns={"label": "class", "question": "q"})
    (tmp_path / "mapped.jsonl").write_text('{"q": "a?"}\n')
    (row,) = Source(mapped, InputOptions(unlabelled=tmp_path / "mapped.jsonl")).given_splits()[
        "unlabelled"
    ]
    assert (row.label, row.prompt) == (None, "a?")


@pytest.mark.parametrize(
    "name", ["shots", "video_frames", "jpeg_draft", "max_image_pixels", "fetch_gb", "limit"]
)
@pytest.mark.parametrize("value", [0, -2])
def test_a_number_below_one_is_refused(name, value) -> None:
    with pytest.raises(ParameterError, match=f"`{name}` is {value}, expected at least 1"):
        InputOptions(test="test.jsonl", **{name: value})


CLIP = encode("mp4", [plain((9, 9, 9))] * 2)


@pytest.fixture
def put(tmp_path):
    def write(*names, data=CLIP):
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return list(names)

    return write


def test_a_name_of_a_video_needs_no_file(tmp_path):
    assert find_others(["a.jpg", "gone/b.MP4"], MediaFolder(tmp_path)) == {VIDEOS: "gone/b.MP4"}


def test_a_name_without_suffix_is_read_and_one_of_an_image_is_not(put, tmp_path):
    folder = MediaFolder(tmp_path)
    images = put("still", data=b"\x89PNG")
    assert find_others(images + put("still.png") + ["gone"], folder) == {}
    assert find_others(images + put("clip"), folder) == {VIDEOS: "clip"}


@pytest.mark.parametrize(("place", "seen"), [(0, True), (ENDS, False), (2 * ENDS, True)])
def test_both_ends_of_each_folder_are_read(put, tmp_path, place, seen):
    names = [f"one/{number}" for number in range(2 * ENDS + 1)]
    put(*names, data=b"\x89PNG")
    put(names[place])
    found = find_others(names, MediaFolder(tmp_path))
    assert found == ({VIDEOS: names[place]} if seen else {})
    others = [name for name in names if name != names[place]]
    assert find_others(others + put("two/clip"), MediaFolder(tmp_path)) == {VIDEOS: "two/clip"}


ASKED = ("Cat?", "Dog?", "Which?")


@pytest.fixture
def pool(inputs) -> Path:
    rows = [
        {"image": inputs.image(f"{i}.png", i), "label": "ab"[i % 2], "id": f"e{i}"}
        for i in range(10)
    ]
    return inputs.rows("all.jsonl", rows)


def read(**options):
    inputs = InputOptions(**options, question=ASKED)
    benchmark = choose_benchmark("general", question=inputs.question)
    source = Source(benchmark, inputs)
    return source, source.examples()


def test_an_image_is_in_one_split_with_all_its_prompts(pool):
    _, found = read(test=pool, shots=2)
    sides = {split: [(e.media[0], e.prompt) for e in examples] for split, examples in found.items()}
    train, test = ({name for name, _ in sides[split]} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (4, 6, set())
    for side, names in (("train", train), ("test", test)):
        assert sorted(sides[side]) == sorted((n, p) for n in names for p in ASKED)


def test_a_limit_counts_images(pool):
    _, found = read(train=pool, limit=4)
    assert [e.id for e in found["train"]][-3:] == ["e3#1", "e3#2", "e3#3"]


def test_a_doubt_is_told_once(pool, inputs):
    row = {"image": inputs.image("0.png"), "label": "a", "id": "again"}
    more = inputs.rows("more.jsonl", [row])
    pool.write_text(pool.read_text() + more.read_text())
    source, found = read(train=pool)
    (line,) = source.notes(found)
    assert line == "1 example repeats an earlier one with the same label: again as e0"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Videos of 3 s in the form of UCF-Crime; one has an anomaly from 1 s to 2 s."""
    lines = ["Abuse001_x264.mp4 Abuse 31 60 -1 -1"]
    lines += [f"Normal_Videos_{n:03}_x264.mp4 Normal -1 -1 -1 -1" for n in (1, 2)]
    (tmp_path / "test.txt").write_text("\n".join(lines))
    for line in lines:
        name, kind, *_ = line.split()
        path = tmp_path / (kind if kind == "Abuse" else "Testing_Normal_Videos_Anomaly") / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode("mp4", [plain((200, 100, len(line)))] * 30))
    return tmp_path / "test.txt"


def test_windows_are_labelled_by_the_benchmark_and_grouped_by_video(clips: Path) -> None:
    benchmark = find_benchmark("ucf-crime")
    source = Source(benchmark, InputOptions(test=clips, window=1), trains=False)
    test = source.examples()["test"]
    assert [(e.id.partition("@")[2], e.label) for e in test[:3]] == [
        ("0.0..1.0", "No"),
        ("1.0..2.0", "Yes"),
        ("2.0..3.0", "No"),
    ]
    assert len(test) == 9
    assert test[0].group == test[2].group == "Abuse/Abuse001_x264.mp4"
    assert source.decoding_facts(kinds={VIDEOS}) == {
        "video": "native",
        "video_frames": 8,
        "window_ms": 1000,
        "stride_ms": 1000,
    }


def test_shots_and_limits_count_videos_and_not_windows(clips: Path) -> None:
    rows = [
        {"image": f"{n}.mp4", "question": "?", "label": "ab"[n % 2], "id": f"{n}"} for n in range(4)
    ]
    file = clips.with_name("rows.jsonl")
    file.write_text("\n".join(map(json.dumps, rows)))
    for n in range(4):
        clip = encode("mp4", [plain((0, 60 * n, 9))] * 20)
        clips.with_name(f"{n}.mp4").write_bytes(clip)
    options = InputOptions(test=file, shots=1, window=1, stride=0.5)
    splits = Source(find_benchmark("general"), options).examples()
    for split in ("train", "test"):
        ids = [example.id.partition("@") for example in splits[split]]
        assert [window for _, _, window in ids] == ["0.0..1.0", "0.5..1.5", "1.0..2.0"] * 2
        assert len({video for video, _, _ in ids}) == 2
    assert not {e.group for e in splits["train"]} & {e.group for e in splits["test"]}
    few = Source(
        find_benchmark("general"), InputOptions(test=file, limit=1, window=1), trains=False
    )
    assert [example.id for example in few.examples()["test"]] == ["0@0.0..1.0", "0@1.0..2.0"]


def test_an_image_is_not_read_for_a_duration(monkeypatch) -> None:
    monkeypatch.setattr(MediaFolder, "read", lambda _, name: pytest.fail(name))
    for name in ("a.jpg", "https://host/a.jpg?size=2", "a.png#box=[0,0,9,9]"):
        assert video_ms(name, MediaFolder(Path())) is None


def test_every_option_of_media_arrives_where_they_are_read(tmp_path) -> None:
    given = {"jpeg_draft": 9, "max_image_pixels": 99, "video_frames": 3, "audio_max_seconds": 5}
    options = InputOptions(train=tmp_path, video="frames", allow_outside=True, **given)
    source = Source(find_benchmark("image-folder"), options)
    rules = source.media("train").rules
    found = (rules.draft_pixels, rules.max_pixels, rules.video_frames, rules.audio_max_seconds)
    assert found == tuple(given.values())
    assert (rules.video, rules.allow_outside, rules.fetching) == ("frames", True, None)
    facts = {"video": "frames", "video_frames": 3, "jpeg_draft": 9}
    assert facts.items() <= source.decoding_facts(kinds=()).items()
    plain = Source(find_benchmark("image-folder"), InputOptions(train=tmp_path))
    assert plain.decoding_facts(kinds=()) == {}
    urls = InputOptions(train="t", fetch_urls=True, fetch_gb=2, allow_private_addresses=True)
    assert make_fetching(urls, tmp_path) == Fetching(tmp_path, True, 2 * 10**9)
    assert make_fetching(replace(urls, fetch_urls=False), tmp_path) is None
