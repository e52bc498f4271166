"""Readouts: rules from the features of chosen heads to class scores."""

from savs.pipeline.readouts.catalogue import READOUTS, choose_readout, find_readout
from savs.pipeline.readouts.readout import ClassScores, Fitted, Readout

__all__ = ["READOUTS", "ClassScores", "Fitted", "Readout", "choose_readout", "find_readout"]
