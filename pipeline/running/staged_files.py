"""Files that appear whole, under names that were free, or not at all."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from savs.datasets import SourceError


def check_free(path: Path, option: str, *, force: bool) -> None:
    """Raise SourceError where a file is there already, unless it may be replaced."""
    if path.is_dir():
        raise SourceError(f"{path} is a folder; give {option} the name of a file")
    if path.exists() and not force:
        raise SourceError(
            f"{path} is there already; give {option} another name, or --force to replace it"
        )


@contextmanager
def staged(targets: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Yield a path for each target, of the same name in a folder beside it, which goes at the end.

    Raises
    ------
    SourceError
        The target's folder cannot be written.
    """
    with ExitStack() as stack:
        paths = {}
        for key, target in targets.items():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                folder = tempfile.TemporaryDirectory(prefix=".savs-", dir=target.parent)
            except OSError as error:
                raise SourceError(f"{target} cannot be written: {error.strerror}") from error
            paths[key] = Path(stack.enter_context(folder)) / target.name
        yield paths


def publish(path: Path, target: Path, option: str, *, force: bool) -> None:
    """Give a finished file its name, at once; SourceError where that is taken, unless forced."""
    check_free(target, option, force=force)
    os.replace(path, target)
