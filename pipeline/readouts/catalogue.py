"""Readouts by name, built in or of installed packages, and those of the user: files or objects."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from savs.foundation.installed import Additions, kind_problem
from savs.pipeline.errors import OwnCodeError, SelectionError
from savs.pipeline.names import OWN_ANSWERS
from savs.pipeline.readouts.answers import ANSWERS, ANSWERS_FITTED, ANSWERS_LDA
from savs.pipeline.readouts.calm import CALM, POSTERIOR
from savs.pipeline.readouts.clip import CLIP, CLIP_NAMES, TIP_ADAPTER, TIP_ADAPTER_CV
from savs.pipeline.readouts.hec import HEC_T, HEC_VT, HEC_VT_CV
from savs.pipeline.readouts.knn import KNN
from savs.pipeline.readouts.lda import HEC_V, LDA
from savs.pipeline.readouts.linear import LOGISTIC
from savs.pipeline.readouts.lp_plus_plus import LP_PLUS_PLUS
from savs.pipeline.readouts.mahalanobis import MAHALANOBIS
from savs.pipeline.readouts.neurons import NEURONS
from savs.pipeline.readouts.own import guarded
from savs.pipeline.readouts.readout import Readout
from savs.pipeline.readouts.ridge import RIDGE
from savs.pipeline.readouts.vote import VOTE
from savs.pipeline.running.user_files import own_object

READOUTS: dict[str, Readout] = {
    readout.name: readout
    for readout in (VOTE, POSTERIOR, CALM, LDA, HEC_V, MAHALANOBIS, LOGISTIC, RIDGE, KNN, NEURONS)
}
"""Name on the command line -> built-in readout that learns from images alone."""
TEXT_READOUTS: dict[str, Readout] = {
    readout.name: readout
    for readout in (
        *(CLIP, CLIP_NAMES, TIP_ADAPTER, TIP_ADAPTER_CV, LP_PLUS_PLUS),
        *(HEC_T, HEC_VT, HEC_VT_CV),
    )
}
"""Name -> built-in readout that compares images with the classes as texts."""
ANSWER_READOUTS: dict[str, Readout] = {
    readout.name: readout for readout in (ANSWERS, ANSWERS_FITTED, ANSWERS_LDA)
}
"""Name -> built-in readout of the model's own answers, which a store must keep."""
BUILT_IN = READOUTS | TEXT_READOUTS | ANSWER_READOUTS
ADDED_READOUTS: Additions[Readout] = Additions(
    "savs.readouts", kind_problem(Readout), lambda: {*BUILT_IN, *OWN_ANSWERS}, OwnCodeError
)
"""Readouts of installed packages."""


def find_readout(name: str, also: Sequence[str] = ()) -> Readout:
    """Return a readout by its name, built in or of an installed package. No file is run.

    `also` are further names that the caller accepts, for the message. SelectionError if none has
    it; OwnCodeError if the package fails.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    added = ADDED_READOUTS.find(name)
    if added is None:
        known = (*BUILT_IN, *ADDED_READOUTS.names(), *also)
        close = get_close_matches(name, known, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise SelectionError(
            f"no readout is called {name!r}{hint}; expected one of: {', '.join(known)}, or the path"
            " of a Python file that defines READOUT"
        )
    return guarded(replace(added.value, package=added.package))


def choose_readout(readout: str | Path | Readout, also: Sequence[str] = ()) -> Readout:
    """Return the readout that a caller gives: by name, in a Python file, or as an object.

    The name of a file ends in `.py`. The file is run: give only names that the user gave.
    SelectionError if there is none of this name, the file has no `READOUT`, or the user's readout
    has the name of a built-in one; OwnCodeError if the file is not there or fails, or the entry
    point of the package does.
    """
    rule = own_object(readout, BUILT_IN, Readout)
    return find_readout(str(readout), also) if rule is None else guarded(rule)
