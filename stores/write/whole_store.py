"""A new store that is written whole by one process, or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from savs.stores.errors import StoreWriteError
from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import Manifest
from savs.stores.write.opening import new_writer
from savs.stores.write.write_errors import write_errors
from savs.stores.write.writer import FeatureWriter

NOTHING_LEFT = "nothing of the new store is left; make room, or pass another --out"


@contextmanager
def whole_store(out: Path, manifest: Manifest) -> Iterator[tuple[FeatureWriter, list[str]]]:
    """Write a new store whole, or leave the folder as it was.

    Yields a writer, and a list for the names of the shards that are written. Another process may
    join the store meanwhile: what that has written stays.
    """
    was_there, begun = out.exists(), False
    made: list[str] = []
    try:
        with new_writer(out, manifest) as writer:
            begun = True
            yield writer, made
    except BaseException as error:
        if begun:
            _remove(out, made, keep_folder=was_there)
        if isinstance(error, StoreWriteError) and isinstance(error.__cause__, OSError):
            with write_errors(out, NOTHING_LEFT):
                raise error.__cause__ from None
        raise


def _remove(out: Path, made: Sequence[str], *, keep_folder: bool) -> None:
    """Remove what was written, and the store if no other process has a part in it."""
    for name in made:
        (out / name).unlink(missing_ok=True)
    if {path.name for path in out.iterdir()} == {MANIFEST}:
        (out / MANIFEST).unlink()
        if not keep_folder:
            out.rmdir()
