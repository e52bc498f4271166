"""Jobs and model inputs between processes: over a socket, as a pickle and then bytes of tensors.

A tensor is written from where it lies and read to where it will be used, in page-locked memory if a
GPU copies it from there. So a message needs no files, no shared memory and no descriptors, whatever
it holds, and a process that dies in the middle of one leaves a stream that ends.
"""

import io
import pickle  # noqa: TID251  between a process and its own workers there are no files
import socket
import struct
import traceback
from typing import Any

import torch

SIZE = struct.Struct("!Q")
"""Bytes of the pickle, before it."""


def send(wire: socket.socket, value: Any) -> None:
    """Send an object; OSError if the other end is closed."""
    pickled = _Parts()
    pickler = _Pickler(pickled)
    pickler.dump(value)
    wire.sendall(SIZE.pack(pickled.size))
    for part in pickled.parts:
        wire.sendall(part)
    for tensor in pickler.tensors:
        wire.sendall(_bytes(tensor))


def receive(wire: socket.socket, *, pin: bool = False) -> Any:
    """Return the next object, tensors page-locked if `pin`; EOFError or OSError at the end."""
    (size,) = SIZE.unpack(_read(wire, SIZE.size))
    unpickler = _Unpickler(io.BytesIO(_read(wire, size)), pin=pin)
    value = unpickler.load()
    for tensor in unpickler.tensors:
        _read_into(wire, _bytes(tensor))
    return value


def portable(error: Exception) -> Exception:
    """Return an error as it can be sent and raised elsewhere, with its traceback as a note."""
    text = "in a worker process:\n" + "".join(traceback.format_exception(error))
    try:
        error.add_note(text)
        pickle.loads(pickle.dumps(error))
    except Exception:  # it is made of other arguments than it keeps, or holds what has no copy
        return RuntimeError(text)
    return error


class _Parts:
    """A file of what is written to it; bytes of media stay where they lie."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def write(self, part: bytes) -> None:
        self.parts.append(part)
        self.size += len(part)


class _Pickler(pickle.Pickler):
    """Leaves tensors out, and lists them."""

    def __init__(self, file: _Parts) -> None:
        super().__init__(file, protocol=5)
        self.tensors: list[torch.Tensor] = []

    def persistent_id(self, value: Any) -> tuple[torch.dtype, tuple[int, ...]] | None:
        """Return what an empty tensor is made by; None for all other objects."""
        if not isinstance(value, torch.Tensor):
            return None
        self.tensors.append(value.detach().cpu().contiguous())
        return value.dtype, tuple(value.shape)


class _Unpickler(pickle.Unpickler):
    """Puts an empty tensor in the place of each that was left out, and lists them."""

    def __init__(self, file: io.BytesIO, *, pin: bool) -> None:
        super().__init__(file)
        self.tensors: list[torch.Tensor] = []
        self._pin = pin

    def persistent_load(self, key: tuple[torch.dtype, tuple[int, ...]]) -> torch.Tensor:
        """Return a tensor whose values come later."""
        dtype, shape = key
        self.tensors.append(torch.empty(shape, dtype=dtype, pin_memory=self._pin))
        return self.tensors[-1]


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _read(wire: socket.socket, size: int) -> bytes:
    whole = wire.recv(size, socket.MSG_WAITALL)  # where it can all be had at once, without a copy
    if len(whole) == size:
        return whole
    rest = bytearray(size - len(whole))
    if not whole:
        raise EOFError
    _read_into(wire, memoryview(rest))
    return whole + rest


def _read_into(wire: socket.socket, room: memoryview) -> None:
    # One call for as much as the system gives at once: between calls the thread of the model may
    # hold the interpreter for milliseconds.
    while room:
        count = wire.recv_into(room, 0, socket.MSG_WAITALL)
        if not count:
            raise EOFError
        room = room[count:]
