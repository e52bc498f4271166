"""Media are read once a window, and rows with equal media and prompt become one request."""

import shutil
import threading
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from clips import PALETTE, encode, nearest, plain

from savs.datasets import Example, MediaFolder, find_benchmark, read_examples
from savs.datasets.media.media import DEFAULT_RULES, MediaRules, sha256
from savs.datasets.media_kinds.decoding import DEFAULT_RATE
from savs.datasets.media_kinds.sounds import SOUNDS
from savs.datasets.media_kinds.videos import VIDEOS
from savs.pipeline.extraction.line import feed as window
from savs.pipeline.extraction.line.assembly import Assembly, find_faults
from savs.pipeline.extraction.line.feed import Planner, ReadMedium, ahead, windows
from savs.pipeline.extraction.line.jobs import BatchLimits
from savs.pipeline.extraction.line.pass_settings import PassSettings
from savs.pipeline.extraction.model.answers import ANSWERS, NO_ANSWERS, Answers
from savs.pipeline.extraction.model.hook_points import HookPoint
from savs.pipeline.extraction.model.reading import Read
from savs.pipeline.extraction.model.sites import HEADS
from savs.stores import LayerGrid, ShardSpec


class Counter:
    """Counts a token a character, one for ten pixels of width, a frame, or a tenth of a second."""

    encoder = SimpleNamespace(
        text_read=lambda prompt, media: prompt,
        count_tokens=lambda prompts: [len(prompt) for prompt in prompts],
    )

    def image(self, width, height):
        return width // 10

    processor = SimpleNamespace()

    def of_processor(self, kind, name, size):
        return size[0] if kind == "num_video_tokens" else round(10 * size / DEFAULT_RATE)


@pytest.fixture
def plan(inputs):
    def windows_of(*rows, batch=8, rules=DEFAULT_RULES):
        examples = [
            Example(f"e{n}", "test", n, "a", prompt, media)
            for n, (prompt, media) in enumerate(rows)
        ]
        spec = ShardSpec("test", 0, 0, len(examples), "")
        assembly = Assembly(spec, examples, (), "float32", answers=NO_ANSWERS, thumbnails=False)
        planner = Planner(
            Counter(), PassSettings(dtype=torch.float32, limits=BatchLimits(batch, 10_000))
        )
        folder = MediaFolder(inputs.root, rules=rules)
        return list(planner.plan(assembly, lambda _: folder))

    return windows_of


def test_rows_with_equal_media_and_prompt_are_one_request(plan, inputs):
    one = inputs.image("one.png", 1)
    shutil.copy(inputs.root / one, inputs.root / "copy.png")
    other = inputs.image("other.png", 2)
    (only,) = plan(("Q", (one,)), ("Q", ("copy.png",)), ("R", (one,)), ("Q", (other,)))
    assert [request for request, _ in only.waiting] == [0, 0, 1, 2]
    assert only.digests[0] == only.digests[1] != only.digests[3]
    (job,) = only.jobs
    assert [request.number for request in job.requests] == [0, 1, 2]
    assert len(job.media) == 2
    assert job.requests[0].tokens == 1 + 5
    assert only.is_last


def test_they_are_one_request_in_different_windows_of_a_shard(plan, inputs, monkeypatch):
    one = inputs.image("one.png", 1)
    monkeypatch.setattr(window, "WINDOW_BYTES", 1)
    first, second = plan(("Q", (one,)), ("Q", (one,)))
    assert [first.waiting, second.waiting] == [[(0, 0)], [(0, 1)]]
    assert (len(first.jobs), len(second.jobs)) == (1, 0)
    assert (first.is_last, second.is_last) == (False, True)


def test_a_row_whose_request_is_done_has_its_features_outputs_and_thumbnail():
    point = HookPoint(LayerGrid(0, (0,), 2), torch.nn.Identity())
    answers = Answers({"a": (1,), "b": (2,)})
    rows = examples_of((), ())
    spec = ShardSpec("test", 0, 0, 2, "")
    assembly = Assembly(spec, rows, [point], "float32", answers=answers, thumbnails=True)
    read = Read([np.float32([[[3, 4]]])], {ANSWERS: np.float32([[-1, -2]])})
    assembly.wait_for(0, 0)
    assembly.fill({0: 0}, read, {0: b"small"})
    assembly.wait_for(0, 1)
    assembly.fill({0: 0}, *assembly.of(0))
    content = assembly.contents({HEADS: {}})[HEADS]
    assert content.layers[0].tolist() == [[[3, 4], [3, 4]]]
    assert content.outputs[ANSWERS].tolist() == [[-1, -2], [-1, -2]]
    assert content.examples["thumbnail"] == [b"small", b"small"]


def test_a_fault_names_the_head_by_its_number_in_the_model():
    point = HookPoint(LayerGrid(3, (1, 4, 6), 2), torch.nn.Identity(), places=(1, 4, 6))
    values = np.zeros((3, 2, 2), np.float32)  # three chosen heads of two prompts
    values[1, 1, 0] = np.nan
    ((column, reason),) = find_faults(Read([values], {}), [point], "float32").items()
    assert column == 1
    assert reason.startswith("L3.H4 is NaN or infinite in float32")


@pytest.mark.parametrize(
    "other",
    [
        (("x",), "Q", "test", "s"),
        (("x", "y"), "R", "test", "s"),
        (("x", "y"), "Q", "test", "t"),
        (("x", "y"), "Q", "train", "s"),
        (("x", "y"), "Q", "classes", "s"),
    ],
    ids=["media", "prompt", "labels", "demonstrations", "generates"],
)
def test_what_a_request_is_known_by(other):
    answers = Answers({"a": (1,), "b": (2,)}, {"s": (0,), "t": (1,)}, (9,), {"s": {}})
    planner = Planner(Counter(), PassSettings(dtype=torch.float32), answers=answers)
    assert planner.key(*other) != planner.key(("x", "y"), "Q", "test", "s")


def test_rows_whose_media_are_gone_are_skipped_with_the_reason(plan, inputs):
    (only,) = plan(("Q", ("gone.png",)), ("Q", (inputs.image("one.png"),)))
    assert list(only.skipped) == [0]
    assert "gone.png is not in the media root" in only.skipped[0]
    assert only.waiting == [(0, 1)]


@pytest.mark.parametrize(
    ("video", "tokens"), [("native", 4), ("with-sound", 4 + 12), ("frames", 4 * (64 // 10))]
)
def test_a_video_has_the_tokens_of_what_the_model_gets(plan, inputs, video, tokens):
    (inputs.root / "x.mp4").write_bytes(encode("mp4", [plain(PALETTE[0])] * 12, sound=True))
    (only,) = plan(("Q", ("x.mp4",)), rules=MediaRules(video_frames=4, video=video))
    assert only.jobs[0].requests[0].tokens == len("Q") + tokens


@pytest.mark.parametrize("marks", ["<image><audio>", "<audio><image>"])
def test_a_video_that_is_shown_and_heard_is_read_as_both(inputs, marks):
    (inputs.root / "x.mp4").write_bytes(encode("mp4", [plain(PALETTE[0])] * 12, sound=True))
    example = Example("e", "test", 0, "a", f"{marks}Q", ("x.mp4", "x.mp4"))
    folder = MediaFolder(inputs.root, rules=MediaRules(video_frames=4, video="native"))
    ((media,),) = [found.values() for found in windows([example], lambda _: folder)]
    shown, heard = media if marks.startswith("<image>") else media[::-1]
    assert (len(shown.outline.sizes), shown.outline.kind) == (4, VIDEOS)
    assert (heard.outline.sizes, heard.outline.kind) == ([], SOUNDS)
    assert shown.outline.seconds is None
    assert heard.outline.seconds > 1


def test_a_job_carries_the_media_of_its_requests_alone(plan, inputs):
    names = [inputs.image(f"{n}.png", n) for n in range(3)]
    (only,) = plan(*(("Q", (name,)) for name in names), batch=2)
    assert [len(job.media) for job in only.jobs] == [2, 1]
    alone = only.jobs[0].alone()
    assert [set(job.media) == set(job.requests[0].media) for job in alone] == [True, True]


def test_ahead_makes_one_item_more_than_was_taken():
    made, taken = [], threading.Event()

    def numbers():
        for number in range(5):
            made.append(number)
            if number == 1:
                taken.set()
            yield number

    items = ahead(numbers())
    assert next(items) == 0
    assert taken.wait(600)
    assert made == [0, 1]
    assert list(items) == [1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_ahead_passes_errors_on():
    def broken():
        yield 1
        raise OSError("gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)


def examples_of(*media):
    return [Example(str(n), "test", n, "a", "?", names) for n, names in enumerate(media)]


@pytest.fixture
def threads():
    """Those that read."""
    return set()


@pytest.fixture
def reads(monkeypatch, threads):
    found = []
    read, lock = MediaFolder.read, threading.Lock()

    def counted(self, name):
        with lock:
            found.append(name)
            threads.add(threading.get_ident())
        return read(self, name)

    monkeypatch.setattr(MediaFolder, "read", counted)
    return found


def read_all(rows, root):
    folder = MediaFolder(root)
    return list(windows(rows, lambda _: folder))


def test_each_medium_of_a_window_is_read_once(inputs, reads):
    names = [inputs.image(f"{n}.png", n) for n in range(3)]
    rows = examples_of((names[0],), (names[1], names[0]), (), (names[0], "gone.png"), (names[2],))
    (only,) = read_all(rows, inputs.root)
    assert list(only) == [0, 1, 2, 3, 4]
    assert sorted(reads) == sorted([*names, "gone.png"])
    assert "gone.png is not in the media root" in only[3][1]
    medium = only[0][0]
    assert only[1][1] is medium
    assert isinstance(medium, ReadMedium)
    assert medium.medium.data == (inputs.root / names[0]).read_bytes()
    assert medium.outline.sizes == [(56, 40)]


def test_folders_may_have_media_of_one_name(inputs, tmp_path):
    rows = examples_of(("same.png",), ("same.png",), ("same.png",))
    folders = [MediaFolder(tmp_path / name) for name in "ab"]
    for number, folder in enumerate(folders):
        folder.root.mkdir()
        shutil.copy(inputs.root / inputs.image(f"{number}.png", number), folder.root / "same.png")
    (only,) = windows(rows, lambda example: folders[example.index % 2])
    first, second, third = (row[0] for row in only.values())
    assert first is third
    assert first.sha256 != second.sha256


def test_windows_are_cut_where_the_media_grow_too_large(inputs, monkeypatch):
    names = [inputs.image(f"{n}.png", n) for n in range(5)]
    size = (inputs.root / names[0]).stat().st_size
    monkeypatch.setattr(window, "WINDOW_BYTES", 2 * size - 99)
    rows = examples_of(*((name,) for name in names))
    found = read_all(rows, inputs.root)
    assert [list(window) for window in found] == [[0, 1], [2, 3], [4]]


def test_media_in_a_file_of_rows_are_read_in_its_order(inputs, reads, threads):
    pictures = [(inputs.root / inputs.image(f"{n}.png", n)).read_bytes() for n in range(40)]
    path = inputs.root / "rows.parquet"
    images = [{"bytes": data, "path": None} for data in pictures]
    rows = pl.DataFrame({"image": images, "question": ["?"] * 40, "label": list("ab") * 20})
    rows.write_parquet(path, row_group_size=5)
    found = read_examples(find_benchmark("general"), path, "test")
    (only,) = read_all(found, inputs.root)
    assert reads == [example.media[0] for example in found]
    assert threads == {threading.get_ident()}
    assert [row[0].medium.data for row in only.values()] == pictures


def test_an_image_is_read_once_for_all_its_boxes(plan, inputs, monkeypatch):
    read, names = MediaFolder.read, []
    monkeypatch.setattr(
        MediaFolder, "read", lambda folder, name: names.append(name) or read(folder, name)
    )
    one = inputs.image("one.png", 1, (60, 200))  # 200 px wide, 60 px high
    boxes = ("[20,0,120,60]", "[20,0,120,60]", "[0.0,0.0,0.5,0.5]", "[0,0,900,9]")
    parts = [f"{one}#box={box}" for box in boxes]
    (only,) = plan(*(("Q", (name,)) for name in (one, *parts)))
    assert names == [one]
    assert [request for request, _ in only.waiting] == [0, 1, 1, 2, 3]
    whole = sha256((inputs.root / one).read_bytes())
    assert only.digests == {0: (whole,)} | {
        place: (f"{whole}#box={box}",) for place, box in enumerate(boxes, start=1)
    }
    (job,) = only.jobs
    # a token for 10 px: 200 px, 100 px with 10 on each side, 100 px with 10 on one, and unknown
    tokens = {request.number: request.tokens for request in job.requests}
    assert tokens == {0: 1 + 20, 1: 1 + 12, 2: 1 + 11, 3: 1}
    assert len({id(medium.data) for medium in job.media.values()}) == 1  # sent to a worker once
    assert {medium.name for medium in job.media.values()} == {one, *parts}


def test_windows_of_a_video_are_decoded_where_it_is_read(plan, inputs, monkeypatch):
    data = encode("mp4", [plain(PALETTE[n]) for n in range(20)])
    (inputs.root / "x.mp4").write_bytes(data)
    read = []
    monkeypatch.setattr(MediaFolder, "read", lambda _, name: read.append(name) or data)
    names = ["x.mp4@0.0..0.8", "x.mp4@0.4..1.2", "x.mp4@0.4..1.2", "x.mp4@9.0..9.5"]
    rules = MediaRules(video_frames=2, video="frames")
    (only,) = plan(*(("Q", (name,)) for name in names), rules=rules)
    assert read == ["x.mp4"]
    assert [request for request, _ in only.waiting] == [0, 1, 1]
    assert only.skipped[3].startswith("x.mp4@9.0..9.5 is no window of the video")
    (job,) = only.jobs
    shown = [job.media[digest].decode(rules, None) for r in job.requests for digest in r.media]
    assert [[nearest(image) for image in one] for one in shown] == [[2, 6], [6, 10]]
    assert job.requests[0].pixels == 2 * 64 * 48
