"""Errors of the stages, and the family that holds all errors of the three rooms."""

from savs.datasets.errors import DatasetError
from savs.stores.errors import StoreError


class PipelineError(Exception):
    """Root of the stages' errors; the message says where, expected, got, and what to do."""


class ModelError(PipelineError, ValueError):
    """A checkpoint that cannot be loaded, or whose heads or prompts cannot be found."""


class OwnCodeError(PipelineError, ValueError):
    """A Python file of one's own that is not there, or fails when it runs."""


class MissingExtraError(PipelineError, ImportError):
    """Stage 1 was called where torch is not installed."""


class SelectionError(PipelineError, ValueError):
    """A selection that cannot be made from these examples, or does not fit this store."""


class QueryError(PipelineError, ValueError):
    """A query that cannot be answered from the tables there are."""


class ComparisonError(PipelineError, ValueError):
    """Results that cannot be compared: of other examples, measured otherwise, or given twice."""


class ExportError(PipelineError, ValueError):
    """A form that cannot be written, or a part of the store that is not there."""


class LeakError(PipelineError, ValueError):
    """Every test example was seen in training, so without the leaks there is nothing to score."""


SavsError = (PipelineError, StoreError, DatasetError)
"""What `except SavsError` catches: every error that is the input's fault, not the program's.

The rooms do not know each other, so they share no base class; this names their three roots.
"""
