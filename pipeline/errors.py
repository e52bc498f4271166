"""Errors of the stages. Each is also the builtin that a caller would catch."""

from savs.foundation.errors import SavsError


class PipelineError(SavsError):
    """Base class of the stages' errors."""


class ModelError(PipelineError, ValueError):
    """A checkpoint that cannot be loaded, or whose heads or prompts cannot be found."""


class OwnCodeError(PipelineError, ValueError):
    """A Python file of the user that does not exist, or fails when it runs."""


class MissingExtraError(PipelineError, ImportError):
    """Stage 1 was called where torch is not installed."""


class ClusterError(PipelineError, ConnectionError):
    """A cluster that cannot be reached, has no room, or lost what runs there too often."""


class SelectionError(PipelineError, ValueError):
    """A selection that cannot be made from these examples, or does not fit this store."""


class WaitingForLabelsError(SelectionError):
    """All images of a folder are read and wait for a label; the command ends well with this."""


class QueryError(PipelineError, ValueError):
    """A query that cannot be answered from the existing tables."""


class ComparisonError(PipelineError, ValueError):
    """Results that cannot be compared: other examples, other metrics, or given twice."""


class ReportError(PipelineError, ValueError):
    """Folders that cannot be reported on, or an example that a result does not have."""


class ExportError(PipelineError, ValueError):
    """An unknown file format, or a part that the store does not have."""


class ImportFileError(PipelineError, ValueError):
    """Features of a file that cannot become a store: their shape, their type, or their rows."""


class LabelError(PipelineError, ValueError):
    """Labels that a store cannot take: unknown examples, or classes that it does not have."""


class OutputError(PipelineError, OSError):
    """A file that cannot be written: its name is taken, or the disk fails."""


class LeakError(PipelineError, ValueError):
    """Every test example was seen in training, so without the leaks there is nothing to score."""


class HubError(PipelineError, OSError):
    """The Hugging Face hub refuses, cannot be reached, or has no such classifier."""
