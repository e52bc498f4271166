"""`savs app`: a page in the browser to classify, label, and look at results."""

from savs.pipeline.cli.command import Command, Options
from savs.pipeline.cli.output import Shown, print_json, spelled


def prepare(options: Options) -> Options:
    """Print the address as JSON once the page answers."""
    started = (lambda address: print_json({"address": address})) if options["json"] else None
    return options | {"started": started, "spelled": spelled}


COMMAND = Command(
    function="savs.pipeline.app.server:open_app",
    about="Serves this machine alone, and sends nothing elsewhere. Ctrl-C ends it.\n\nWithout"
    " torch, it labels and shows results. The model is loaded once, with the first image.",
    examples=(
        "savs app pets --media-root photos",
        "savs app pets --port 8000",
        "savs app pets-classifier",
    ),
    prepare=prepare,
    show=lambda _, options: Shown(),
)
