"""Entry point of the `savs` command; Ctrl-C during the imports gives no traceback."""

import gc
import sys
from typing import NoReturn

from savs.pipeline.cli import exit_codes as exits


def main() -> NoReturn:
    """Run the command; see `savs.pipeline.cli.app`."""
    gc.set_threshold(100_000, 30, 30)  # the imports of a model make very many objects that stay
    try:
        from savs.pipeline.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(exits.INTERRUPTED)
    finally:
        gc.freeze()  # the process ends: with the threshold, a third of what a start takes
