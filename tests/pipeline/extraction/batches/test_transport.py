"""What passes between processes arrives as it was sent, in shared memory or in files."""

import pytest
import torch

from savs.pipeline.extraction.batches.jobs import Done, Job, Medium, Prepared, Refused, Request
from savs.pipeline.extraction.batches.workers import (
    Stored,
    receive_done,
    receive_job,
    send_done,
    send_job,
)

INPUTS = {
    "pixel_values": torch.arange(12, dtype=torch.bfloat16).view(3, 4).T,
    "input_ids": torch.tensor([[1, 2], [3, 4]]),
    "scalar": torch.tensor(7),
    "sizes": (3, 4),
}
HOST_INPUTS = {"position_ids": torch.arange(12).view(3, 2, 2)}
DONE = Done(
    5, [Prepared((0, 1), INPUTS, 1, host_inputs=HOST_INPUTS), Refused(2, "no")], {0: b"jpeg"}
)


def require_same(found):
    prepared, refused = found.parts
    assert (refused, found.thumbnails) == (DONE.parts[1], DONE.thumbnails)
    assert prepared.inputs["sizes"] == (3, 4)
    for name, value in (INPUTS | HOST_INPUTS).items():
        if torch.is_tensor(value):
            arrived = (prepared.inputs | prepared.host_inputs)[name]
            assert arrived.dtype == value.dtype
            assert arrived.equal(value)


@pytest.mark.parametrize("files", [False, True])
def test_inputs_arrive_as_they_were(tmp_path, files):
    sent = send_done(DONE, tmp_path, files=files)
    kinds = {type(value) for value in sent.parts[0].inputs.values()}
    assert kinds == {Stored if files else torch.Tensor, tuple}
    assert len(list(tmp_path.iterdir())) == (4 if files else 0)
    require_same(receive_done(sent))
    assert list(tmp_path.iterdir()) == []


def test_where_shared_memory_is_full_they_go_into_files(tmp_path, monkeypatch):
    def full(self):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    sent = send_done(DONE, tmp_path, files=False)
    assert isinstance(sent.parts[0].inputs["input_ids"], Stored)
    require_same(receive_done(sent))


def test_what_lies_in_a_file_is_read_when_it_is_pinned(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # there is no GPU
    pinned = send_done(DONE, tmp_path, files=True).pin_memory()
    assert torch.is_tensor(pinned.parts[0].inputs["input_ids"])
    assert list(tmp_path.iterdir()) == []
    require_same(receive_done(pinned))


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("media", [{}, {"a": b"one"}, {"a": b"one", "b": b"", "c": b"three"}])
def test_a_job_arrives_with_its_media(tmp_path, files, media):
    found = {name: Medium(f"{name}.png", data) for name, data in media.items()}
    job = Job(3, (Request(0, "e", "?", tuple(found), 1, 9),), found)
    sent = send_job(job, tmp_path, files=files)
    assert all(medium.data == b"" for medium in sent.job.media.values())
    assert receive_job(sent) == job
    assert list(tmp_path.iterdir()) == []
