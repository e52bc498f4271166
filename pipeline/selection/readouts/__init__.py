"""Readouts: rules from the features of chosen heads to class scores."""

from savs.pipeline.selection.readouts.catalogue import (
    BUILT_IN,
    READOUTS,
    TEXT_READOUTS,
    choose_readout,
    find_readout,
)
from savs.pipeline.selection.readouts.readout import ClassScores, Fitted, Readout

__all__ = [
    "BUILT_IN",
    "READOUTS",
    "TEXT_READOUTS",
    "ClassScores",
    "Fitted",
    "Readout",
    "choose_readout",
    "find_readout",
]
