"""Readouts: rules from the features of chosen heads to class scores."""

from savs.pipeline.readouts.readout import ClassScores, Fitted, Readout
from savs.pipeline.readouts.vote import VOTE

READOUTS: dict[str, Readout] = {readout.name: readout for readout in (VOTE,)}
"""Name on the command line -> readout."""

__all__ = ["READOUTS", "ClassScores", "Fitted", "Readout"]
