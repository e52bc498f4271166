"""Names and defaults that help texts show, without the rooms that they belong to.

A docstring has a default as `DEFAULT_HEADS` in backticks: the help of a command, `help()` and the
site show its value, see `with_defaults`.
"""

import re
from typing import TypeVar

T = TypeVar("T")
ZERO_SHOT = "zero-shot"
ZERO_SHOT_MEAN = "zero-shot-mean"
GENERATED = "generated"
ICL = "icl"
OWN_ANSWERS = (ZERO_SHOT, ZERO_SHOT_MEAN, ICL, GENERATED)
"""Readouts of the model's own answers, which choose no heads."""
IMPORTED = "imported"
"""Class of the model of features that `savs import` took from a file."""
PARQUET = "parquet"
EXPORT_FORMS = (PARQUET, "npz", "safetensors")
BUNDLE_FORM = "classifier"
"""What `savs export --to` makes a bundle of."""
SPACE_FORM = "space"
"""What it makes a page for the Hugging Face Hub of."""
PAGE_SUFFIXES = (".html", ".htm")
"""Ends of the names of HTML pages."""
HEADS_IN_VLLM = "HEADS_IN_VLLM"
"""Variable that makes a process of vLLM embed heads: the architecture of the model, and optionally
after a slash the sites, with commas: `Qwen2VLForConditionalGeneration/heads,residual`."""
DEFAULT_HEADS = 20
STORE_FORM = "store"
"""What it makes a store of some heads of."""
DEFAULT_HEAD_COUNTS = (*sorted({1, 5, 10, 50, DEFAULT_HEADS}), "all")
"""Numbers of heads that a sweep compares."""
DEFAULT_READOUT, DEFAULT_READOUT_OF_NUMBERS = "vote", "ridge"
DEFAULT_TRIED_READOUTS = ("vote", "posterior", "lda")
"""What `savs train` chooses the readout from: these are fast."""
DEFAULT_SHOTS, DEFAULT_SHOTS_OF_NUMBERS = (1, 2, 4, 8, 16), (8, 16, 32, 64)
"""Numbers of training examples that a sweep measures, and all."""
DEFAULT_DRAWS = 10
DEFAULT_SEED = 0
DEFAULT_BATCH_SIZE = 32
DEFAULT_EXAMPLES = 20
"""Examples of each split that a preview shows."""
DEFAULT_GALLERY = 120
"""Most examples that a report shows."""
DEFAULT_PREDICTIONS = 500
"""Most predictions that a page of `savs classify` shows."""
DEFAULT_SUGGESTED = 20
DEFAULT_EXPLAINED = 12
"""Examples that are explained where none is named."""
_DEFAULT = re.compile("`(DEFAULT_[A-Z_]+)`")


def with_defaults(text: str) -> str:
    """Return a text with the values of the defaults that it names.

    >>> with_defaults("Most predictions (default: `DEFAULT_PREDICTIONS`).")
    'Most predictions (default: 500).'
    """
    return _DEFAULT.sub(lambda match: _written(globals().get(match[1], match[0])), text)


def _written(value: object) -> str:
    if not isinstance(value, tuple):
        return str(value)
    are_names = all(isinstance(item, str) for item in value)
    return (", " if are_names else ",").join(map(str, value))  # numbers as an option takes them


def shows_defaults(documented: T) -> T:
    """Decorate a function or class whose docstring names defaults: its `help()` has the values."""
    documented.__doc__ = with_defaults(documented.__doc__ or "")
    return documented
