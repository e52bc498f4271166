"""The type of every array; docstrings give its shape and numeric type."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
