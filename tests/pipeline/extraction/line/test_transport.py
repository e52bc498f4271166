"""What passes between processes arrives as it was sent, and a wire that ends is noticed."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.line import transport
from savs.pipeline.extraction.line.jobs import Done, Job, Medium, Prepared, Refused, Request
from savs.pipeline.extraction.line.transport import portable, receive, send

INPUTS = {
    "pixel_values": torch.arange(12, dtype=torch.bfloat16).view(3, 4).T,
    "input_ids": torch.tensor([[1, 2], [3, 4]]),
    "scalar": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "nothing": torch.empty(0, 5),
    "sizes": (3, 4),
}
VISION = {("a", 0): {"pixel_values": torch.rand(700, 700)}, ("b", 0): {"grid": torch.ones(1, 3)}}
HOST_INPUTS = {"position_ids": torch.arange(12).view(3, 2, 2)}
PREPARED = Prepared((0, 1), INPUTS, 1, vision=VISION, host_inputs=HOST_INPUTS)
DONE = Done([PREPARED, Refused(2, "no")], {0: b"jpeg"})


@pytest.fixture
def wire():
    """Both ends of a wire."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def carried(wire, value, **options):
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, wire[0], value)
        arrived = receive(wire[1], **options)
        sending.result()
    return arrived


def require_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if torch.is_tensor(value):
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
            assert found[name].equal(value)
        else:
            assert found[name] == value


def test_inputs_arrive_as_they_were_one_message_after_the_other(wire):
    for _ in range(2):
        prepared, refused = carried(wire, DONE).parts
        assert refused == DONE.parts[1]
        require_same(prepared.inputs, INPUTS)
        require_same(prepared.host_inputs, HOST_INPUTS)
        for key, inputs in VISION.items():
            require_same(prepared.vision[key], inputs)


def test_all_tensors_are_read_into_page_locked_memory(wire, monkeypatch):
    empty, locked = torch.empty, []

    def make(*shape, pin_memory, **options):  # there is no GPU
        locked.append(pin_memory)
        return empty(*shape, **options)

    monkeypatch.setattr(transport.torch, "empty", make)
    carried(wire, DONE, pin=True)
    assert locked == [True] * 8


@pytest.mark.parametrize(
    "media", [{}, {"a": b"one"}, {"a": b"one", "b": b"", "c": bytes(range(256)) * 5000}]
)
def test_a_job_arrives_with_its_media(wire, media):
    found = {name: Medium(f"{name}.png", data) for name, data in media.items()}
    job = Job((Request(0, "e", "?", tuple(found), 1, 9),), found)
    assert carried(wire, job) == job


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_wire_that_ends_anywhere_in_a_message_is_noticed(wire, share):
    message = bytearray()
    sender = type("Recorder", (), {"sendall": lambda self, part: message.extend(part)})()
    send(sender, DONE)
    wire[0].sendall(message[: int(share * len(message))][:100_000])
    wire[0].close()
    with pytest.raises(EOFError):
        receive(wire[1])


class OddError(Exception):
    """Cannot be made again from what it keeps."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ModelError("no"), ModelError), (OddError(1, 2), RuntimeError)],
    ids=["plain", "odd"],
)
def test_an_error_arrives_with_its_traceback(wire, error, kind):
    try:
        raise error
    except Exception as raised:
        arrived = carried(wire, portable(raised))
    assert type(arrived) is kind
    text = "\n".join([str(arrived), *getattr(arrived, "__notes__", [])])
    assert "in a worker process" in text
    assert "raise error" in text
    assert kind is RuntimeError or str(arrived) == "no"
