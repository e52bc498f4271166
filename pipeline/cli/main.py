"""Entry point of the `savs` command; Ctrl-C during the imports gives no traceback."""

import sys
from typing import NoReturn

from savs.pipeline.cli import exit_codes as exits


def main() -> NoReturn:
    """Run the command; see `savs.pipeline.cli.app`."""
    try:
        from savs.pipeline.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(exits.INTERRUPTED)
