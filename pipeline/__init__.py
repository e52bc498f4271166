"""The two stages: `extract` on a GPU box, `select` and `evaluate` anywhere.

Nothing heavy is imported before it is used: `from savs.pipeline import extract` needs no torch,
which is asked for when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.pipeline.answers import zero_shot
    from savs.pipeline.assessment import Evaluation
    from savs.pipeline.comparing import compare
    from savs.pipeline.cross_validation import cross_validate
    from savs.pipeline.errors import SavsError
    from savs.pipeline.evaluation import evaluate
    from savs.pipeline.evaluation_file import save_evaluation
    from savs.pipeline.extraction.stage import Extraction, extract
    from savs.pipeline.head_votes import heads_frame
    from savs.pipeline.previewing.writing import preview
    from savs.pipeline.selection import Selection, select
    from savs.pipeline.selection_file import (
        load_selection,
        reference_dictionary,
        save_selection,
    )
    from savs.pipeline.splitting import Splitting, split
    from savs.pipeline.sweeping import Sweep, sweep
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
    "Evaluation": "savs.pipeline.assessment",
    "Extraction": "savs.pipeline.extraction.stage",
    "SavsError": "savs.pipeline.errors",
    "Selection": "savs.pipeline.selection",
    "Splitting": "savs.pipeline.splitting",
    "Sweep": "savs.pipeline.sweeping",
    "compare": "savs.pipeline.comparing",
    "cross_validate": "savs.pipeline.cross_validation",
    "evaluate": "savs.pipeline.evaluation",
    "extract": "savs.pipeline.extraction.stage",
    "heads_frame": "savs.pipeline.head_votes",
    "load_selection": "savs.pipeline.selection_file",
    "open_store": "savs.stores",
    "preview": "savs.pipeline.previewing.writing",
    "reference_dictionary": "savs.pipeline.selection_file",
    "save_evaluation": "savs.pipeline.evaluation_file",
    "save_selection": "savs.pipeline.selection_file",
    "select": "savs.pipeline.selection",
    "split": "savs.pipeline.splitting",
    "sweep": "savs.pipeline.sweeping",
    "zero_shot": "savs.pipeline.answers",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
