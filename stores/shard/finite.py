"""Whether stored values are finite, by their bits: exact and fast for all three types."""

from typing import Any

import numpy as np

from savs.foundation.arrays import Array

EXPONENTS: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "bfloat16": (np.uint16, 0x7F80),
    "float16": (np.uint16, 0x7C00),
    "float32": (np.uint32, 0x7F80_0000),
}
"""Numeric type -> how to view its bits, and the exponent that NaN and the infinities have."""


def endless_row(values: Array, dtype: str) -> int | None:
    """Return the first row that holds NaN or infinity, of `(..., rows, width)`; None without."""
    bits, exponent = EXPONENTS[dtype]
    exponents = values.view(bits) & bits(exponent)
    if exponents.max(initial=0) < exponent:
        return None
    endless = (exponents == exponent).any(axis=(*range(values.ndim - 2), -1))
    return int(np.argmax(endless))


def is_finite(values: Array, dtype: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where values are neither NaN nor infinite."""
    bits, exponent = EXPONENTS[dtype]
    return (values.view(bits) & bits(exponent)) != exponent
