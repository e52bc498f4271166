"""A new store that is written whole by one process, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from savs.foundation.files import Noted, noted_files, remove_noted
from savs.stores.errors import StoreWriteError
from savs.stores.format.layout import MANIFEST, RESULTS
from savs.stores.format.manifest import Manifest
from savs.stores.results import remove_empty
from savs.stores.write.opening import new_writer
from savs.stores.write.write_errors import write_errors
from savs.stores.write.writer import FeatureWriter

NOTHING_LEFT = "nothing of the new store is left; make room, or pass another --out"


@contextmanager
def whole_store(out: Path, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Write a new store whole, or leave the folder as it was.

    Another process may join the store meanwhile: what that has written stays.
    """
    was_there = out.exists()
    with noted_files() as written:
        try:
            with new_writer(out, manifest) as writer:
                yield writer
        except BaseException as error:
            with suppress(OSError):
                _remove(out, written, keep_folder=was_there)
            if isinstance(error, StoreWriteError) and isinstance(error.__cause__, OSError):
                with write_errors(out, NOTHING_LEFT):
                    raise error.__cause__ from None
            raise


def _remove(out: Path, written: Noted, *, keep_folder: bool) -> None:
    """Remove what was written in a store, and itself if no other process has a part in it."""
    ours = [file for file in written if file[0].is_relative_to(out)]
    remove_noted([file for file in ours if file[0] != out / MANIFEST])
    remove_empty(out / RESULTS)
    if {path.name for path in out.iterdir()} == {MANIFEST}:
        remove_noted(ours)
        if not keep_folder:
            out.rmdir()
