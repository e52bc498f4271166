"""Exit codes of the `savs` command; 0 is done, 130 interrupted."""

FAILURE = 1
"""An error that one line explains."""
USAGE = 2
"""A wrong argument."""
STORE = 3
"""The store is incomplete or damaged."""
TOO_MANY_SKIPPED = 4
"""More examples could not be read than `--allow skips:N` permits."""
INTERRUPTED = 130
"""Ctrl-C or SIGTERM; the exit code that a shell gives."""
