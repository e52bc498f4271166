"""The two stages: `extract` on a GPU box, `select` and `evaluate` anywhere.

Nothing heavy is imported before it is used: `from savs.pipeline import extract` needs no torch,
which is asked for when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.foundation.errors import SavsError
    from savs.pipeline.comparing.compare import compare
    from savs.pipeline.evaluation.assessment import Evaluation
    from savs.pipeline.evaluation.cross_validation import cross_validate
    from savs.pipeline.evaluation.evaluation import evaluate
    from savs.pipeline.evaluation.evaluation_file import save_evaluation
    from savs.pipeline.evaluation.zero_shot import zero_shot
    from savs.pipeline.extraction.stage import Extraction, extract
    from savs.pipeline.heads.head_votes import heads_frame
    from savs.pipeline.previewing.preview import preview
    from savs.pipeline.selection.selection import Selection, select
    from savs.pipeline.selection.selection_file import (
        load_selection,
        reference_dictionary,
        save_selection,
    )
    from savs.pipeline.splitting.split import Splitting, split
    from savs.pipeline.sweeping.sweep import Sweep, sweep
    from savs.stores import open_store

__all__ = [
    "Evaluation",
    "Extraction",
    "SavsError",
    "Selection",
    "Splitting",
    "Sweep",
    "compare",
    "cross_validate",
    "evaluate",
    "extract",
    "heads_frame",
    "load_selection",
    "open_store",
    "preview",
    "reference_dictionary",
    "save_evaluation",
    "save_selection",
    "select",
    "split",
    "sweep",
    "zero_shot",
]

_HOMES = {
    "Evaluation": "savs.pipeline.evaluation.assessment",
    "Extraction": "savs.pipeline.extraction.stage",
    "SavsError": "savs.foundation.errors",
    "Selection": "savs.pipeline.selection.selection",
    "Splitting": "savs.pipeline.splitting.split",
    "Sweep": "savs.pipeline.sweeping.sweep",
    "compare": "savs.pipeline.comparing.compare",
    "cross_validate": "savs.pipeline.evaluation.cross_validation",
    "evaluate": "savs.pipeline.evaluation.evaluation",
    "extract": "savs.pipeline.extraction.stage",
    "heads_frame": "savs.pipeline.heads.head_votes",
    "load_selection": "savs.pipeline.selection.selection_file",
    "open_store": "savs.stores",
    "preview": "savs.pipeline.previewing.preview",
    "reference_dictionary": "savs.pipeline.selection.selection_file",
    "save_evaluation": "savs.pipeline.evaluation.evaluation_file",
    "save_selection": "savs.pipeline.selection.selection_file",
    "select": "savs.pipeline.selection.selection",
    "split": "savs.pipeline.splitting.split",
    "sweep": "savs.pipeline.sweeping.sweep",
    "zero_shot": "savs.pipeline.evaluation.zero_shot",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
