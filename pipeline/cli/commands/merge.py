"""`savs merge`: merge several stores into one."""

from typing import TYPE_CHECKING

from savs.foundation.errors import ParameterError
from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown
from savs.pipeline.running.formatting import counted, format_bytes

if TYPE_CHECKING:
    from savs.stores import FeatureStore


def prepare(options: Options) -> Options:
    """Refuse a single store."""
    if len(options["stores"]) < 2:
        raise ParameterError("got one store, expected two or more")
    return options


def show(merged: "FeatureStore", _: Options) -> Shown:
    """Word the new store."""
    size, heads = merged.facts["bytes"], len(merged.heads)
    return Shown(
        facts={"path": str(merged.path), "bytes": size, "heads": heads},
        data=[str(merged.path)],
        messages=[f"{counted(heads, 'head')}, {format_bytes(size)}"],
    )


COMMAND = Command(
    function="savs.stores.maintain.copy:merge",
    about="Completes an extraction that ran on several machines, or joins stores of different"
    " examples.\n\nKeeps training examples that all stores share once.",
    examples=("savs merge first second --out all",),
    prepare=prepare,
    show=show,
)
