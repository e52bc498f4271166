"""Readouts by name, those in a file of the user's own included."""

from collections.abc import Sequence

from savs.pipeline.errors import SelectionError
from savs.pipeline.plugins.python_file import load_file
from savs.pipeline.readouts.calm import CALM
from savs.pipeline.readouts.knn import KNN
from savs.pipeline.readouts.lda import LDA
from savs.pipeline.readouts.logistic import LOGISTIC
from savs.pipeline.readouts.posterior import POSTERIOR
from savs.pipeline.readouts.readout import Readout
from savs.pipeline.readouts.vote import VOTE

READOUTS: dict[str, Readout] = {
    readout.name: readout for readout in (VOTE, POSTERIOR, CALM, LDA, LOGISTIC, KNN)
}
"""Name on the command line -> readout."""


def find_readout(name: str, also: Sequence[str] = ()) -> Readout:
    """Return a readout by its name, or the `READOUT` of a Python file, by its path.

    Once its file was given, a readout of one's own is known by its name, too. `also` are names that
    the caller knows beside these, for the message.

    Raises
    ------
    SelectionError
        There is none of this name, or the file has none or takes the name of one of ours.
    OwnCodeError
        The file is not there, or fails when it runs.
    """
    if name.endswith(".py"):
        return _own(name)
    if name not in READOUTS:
        raise SelectionError(
            f"no readout is called {name!r}; there are: {', '.join((*READOUTS, *also))}, or give"
            " --readout the path of a Python file with a READOUT of your own"
        )
    return READOUTS[name]


def _own(path: str) -> Readout:
    found = getattr(load_file(path, "--readout"), "READOUT", None)
    if not isinstance(found, Readout):
        raise SelectionError(
            f"{path} has no READOUT, or it is no savs.pipeline.readouts.Readout; docs/readouts.md"
            " has one to start from"
        )
    known = READOUTS.get(found.name)
    if known is not None and known.load.__module__.startswith("savs.pipeline."):
        raise SelectionError(f"{path}: the name {found.name!r} is taken; give it another")
    READOUTS[found.name] = found
    return found
