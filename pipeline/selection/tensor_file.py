"""The arrays of a selection in a safetensors file, checked before they are read."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from savs.foundation.arrays import Array
from savs.foundation.files import regular_size
from savs.pipeline.running.result_files import CONFIG, SELECT, file_sha256, reading, write_file

HEADER_BYTES = 2**12
"""Most bytes of a header without its tensors, and of each tensor in it without its name."""
TYPES = {"float32": "F32", "int64": "I64"}
"""Type of an array -> its name in the file."""


class TensorForm(NamedTuple):
    """Shape and type that a tensor must have."""

    shape: tuple[int, ...]
    dtype: str
    """`float32` or `int64`."""


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Write named arrays to a safetensors file and return its SHA-256."""
    content = save({name: np.asarray(a, order="C") for name, a in tensors.items()}, dict(metadata))
    return write_file(path, content)


def read_tensors(
    path: Path, forms: Mapping[str, TensorForm], metadata: Mapping[str, str], sha256: str
) -> dict[str, Array]:
    """Read what `write_tensors` wrote, after its size, header and digest were checked.

    `forms` are those of the tensors that it must hold, and no other.

    Raises
    ------
    ResultError
        It does not exist, is not a safetensors file, or is not the expected one.
    """
    with reading(path, SELECT):
        _require_size(path, forms)
        with safe_open(path, framework="numpy") as file:
            if file.metadata() != dict(metadata):
                raise ValueError(
                    f"its metadata is {file.metadata()}, expected {dict(metadata)}: it belongs to"
                    f" another selection than {CONFIG}"
                )
            _require_forms(file, forms)
            digest = file_sha256(path)
            if digest != sha256:
                raise ValueError(f"its SHA-256 is {digest}, expected {sha256} as in {CONFIG}")
            return {name: file.get_tensor(name) for name in forms}


def _require_size(path: Path, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless a file is as long as its header and the expected tensors."""
    size = regular_size(path)
    data = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms.values())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    most = HEADER_BYTES + sum(HEADER_BYTES + 8 * len(name) for name in forms)
    if header > most or size != 8 + header + data:
        raise ValueError(
            f"it has {size:,} bytes and a header of {header:,}, expected a header of at most"
            f" {most:,} and tensors of {data:,} as in {CONFIG}"
        )


def _require_forms(file: Any, forms: Mapping[str, TensorForm]) -> None:
    """Raise ValueError unless the header of an open file declares the expected tensors."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    declared = {n: (tuple(part.get_shape()), part.get_dtype()) for n, part in slices.items()}
    expected = {name: (shape, TYPES[dtype]) for name, (shape, dtype) in forms.items()}
    for name in {**expected, **declared}:
        if declared.get(name) != expected.get(name):
            raise ValueError(
                f"tensor {name!r}: expected {expected.get(name, 'none')} as in {CONFIG},"
                f" got {declared.get(name, 'none')}"
            )
