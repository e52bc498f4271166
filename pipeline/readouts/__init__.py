"""Readouts: rules from the features of chosen heads to class scores."""

from savs.pipeline.readouts.calm import CALM
from savs.pipeline.readouts.knn import KNN
from savs.pipeline.readouts.lda import LDA
from savs.pipeline.readouts.logistic import LOGISTIC
from savs.pipeline.readouts.posterior import POSTERIOR
from savs.pipeline.readouts.readout import ClassScores, Fitted, Readout
from savs.pipeline.readouts.vote import VOTE

READOUTS: dict[str, Readout] = {
    readout.name: readout for readout in (VOTE, POSTERIOR, CALM, LDA, LOGISTIC, KNN)
}
"""Name on the command line -> readout."""

__all__ = ["READOUTS", "ClassScores", "Fitted", "Readout"]
