"""Readouts: rules from the features of chosen heads to class scores."""

from savs.pipeline.readouts.catalogue import (
    ADDED_READOUTS,
    BUILT_IN,
    READOUTS,
    TEXT_READOUTS,
    choose_readout,
    find_readout,
)
from savs.pipeline.readouts.heads_fit import ClassScores, HeadsFit
from savs.pipeline.readouts.readout import Fitted, Readout

__all__ = [
    "ADDED_READOUTS",
    "BUILT_IN",
    "READOUTS",
    "TEXT_READOUTS",
    "ClassScores",
    "Fitted",
    "HeadsFit",
    "Readout",
    "choose_readout",
    "find_readout",
]
