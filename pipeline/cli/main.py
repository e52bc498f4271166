"""Entry point of the `savs` command; Ctrl-C during the imports gives no traceback."""

import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

from savs.pipeline.cli import exit_codes as exits


def main() -> NoReturn:
    """Run the command; see `savs.pipeline.cli.app`."""
    _replace_closed_streams()
    sys.stdout.reconfigure(errors="backslashreplace")  # pyrefly: ignore[missing-attribute] - of a terminal without UTF-8
    gc.set_threshold(100_000, 30, 30)  # the imports of a model make very many objects that stay
    try:
        from savs.pipeline.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(exits.INTERRUPTED)
    finally:
        # The process ends: else Python collects all that the imports made, a fifth of the time of
        # `savs classify` with one image, a twelfth of `savs show`. torch for CUDA imports triton,
        # which reports every object that is never collected as a leak.
        if "triton" not in sys.modules:
            gc.freeze()


def _replace_closed_streams() -> None:
    """Discard output of streams that started closed, as by `>&-`.

    Else a file that is opened later would get the number of the stream, and what is printed.
    """
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - until the end
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)
