"""The packages of the extra `extract`, which stage 1 needs."""

from importlib.util import find_spec

from savs.foundation.imports import install_command
from savs.pipeline.errors import MissingExtraError

EXTRA_PACKAGES = ("torch", "transformers", "accelerate")


def require_extra() -> None:
    """Raise MissingExtraError with the install command where stage 1 cannot run."""
    missing = [name for name in EXTRA_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"extraction needs {', '.join(missing)}; install with: {install_command('extract')}"
        )
