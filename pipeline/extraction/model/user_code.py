"""Code of one's own for a model that the structural path does not know: heads, or prompts.

A file, or an entry point of the group `savs.models`, has one of these functions, or both::

    def find_heads(model) -> list[HookPoint]: ...
    def to_inputs(processor, prompts) -> BatchFeature: ...

`HookPoint(LayerGrid(layer, heads, head_dim), projection)` names a module whose input holds the
heads of a layer side by side. `to_inputs` gets prompts as tuples of text and PIL images in reading
order, and returns a batch that is padded on the left, with `attention_mask`.
"""

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.attention_hooks import HookPoint
from savs.pipeline.inputs.plugins import load_file

GROUP = "savs.models"


@dataclass(frozen=True, slots=True)
class OwnCode:
    """What replaces the structural path; None where that is good enough."""

    find_heads: Callable[[Any], Sequence[HookPoint]] | None = None
    to_inputs: Callable[[Any, Sequence[Any]], Any] | None = None
    digest: str | None = None
    """SHA-256 of the file: other code gives other features."""


def load_own_code(source: str) -> OwnCode:
    """Run a Python file, or import an entry point, and take its functions.

    Raises
    ------
    OwnCodeError
        Not there, or fails when it runs.
    ModelError
        Has neither function, or no entry point has this name.
    """
    module = load_file(source, "model_code") if source.endswith(".py") else _entry_point(source)
    code = OwnCode(
        getattr(module, "find_heads", None),
        getattr(module, "to_inputs", None),
        _digest(module),
    )
    if code.find_heads is None and code.to_inputs is None:
        raise ModelError(
            f"{source} has neither find_heads(model) nor to_inputs(processor, prompts)"
        )
    return code


def _entry_point(name: str) -> Any:
    points = importlib.metadata.entry_points(group=GROUP)
    if name not in points.names:
        known = ", ".join(sorted(points.names)) or "none is installed"
        raise ModelError(
            f"--model-code is {name!r}, expected a file that ends in .py or an entry point of the"
            f" group {GROUP} ({known})"
        )
    return points[name].load()


def _digest(module: Any) -> str:
    path = getattr(module, "__file__", None)
    content = Path(path).read_bytes() if path else repr(module).encode()
    return hashlib.sha256(content).hexdigest()
