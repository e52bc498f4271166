import shutil
import threading
from types import SimpleNamespace

import pytest

from savs.datasets import Example, MediaFolder
from savs.pipeline.extraction.batches import window
from savs.pipeline.extraction.batches.assembly import Assembly
from savs.pipeline.extraction.batches.feed import Planner, ahead
from savs.pipeline.extraction.batches.plan import BatchLimits
from savs.pipeline.extraction.model.answers import NO_ANSWERS
from savs.stores import ShardSpec


class Counter:
    """Counts a token a character, and one for ten pixels of width."""

    encoder = SimpleNamespace(text_read=lambda prompt, media: prompt)

    def text(self, prompts):
        return [len(prompt) for prompt in prompts]

    def image(self, width, height):
        return width // 10


@pytest.fixture
def plan(inputs):
    def windows_of(*rows, batch=8):
        examples = [
            Example(f"e{n}", "test", n, "a", prompt, media)
            for n, (prompt, media) in enumerate(rows)
        ]
        spec = ShardSpec("test", 0, 0, len(examples), "")
        assembly = Assembly(spec, examples, (), "float32", answers=NO_ANSWERS, thumbnails=False)
        planner = Planner(Counter(), BatchLimits(batch, 10_000))
        folder = MediaFolder(inputs.root)
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


def test_rows_whose_media_are_gone_are_skipped_with_the_reason(plan, inputs):
    (only,) = plan(("Q", ("gone.png",)), ("Q", (inputs.image("one.png"),)))
    assert list(only.skipped) == [0]
    assert "gone.png is not in the media root" in only.skipped[0]
    assert only.waiting == [(0, 1)]


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
