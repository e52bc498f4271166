"""A new store that is written whole by one process, or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from savs.stores.errors import StoreLockedError, StoreMismatchError, StoreWriteError
from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import Manifest
from savs.stores.format.plan import ShardSpec
from savs.stores.shard.content import ShardContent
from savs.stores.write.opening import new_writer
from savs.stores.write.write_errors import write_errors
from savs.stores.write.writer import FeatureWriter

NOTHING_LEFT = "nothing of the new store is left; make room, or pass another --out"


@contextmanager
def whole_store(out: Path, manifest: Manifest) -> Iterator[tuple[FeatureWriter, list[str]]]:
    """Write a new store whole, or leave the folder as it was.

    Yields a writer, and a list for the names of the shards that it writes: each is put in before,
    so that an interruption at any moment finds it. Another process may join the store meanwhile:
    what that has written is not in the list, and stays.
    """
    was_there, begun = out.exists(), False
    made: list[str] = []
    try:
        with new_writer(out, manifest) as writer:
            begun = True
            yield writer, made
    except BaseException as error:
        if begun or (isinstance(error, KeyboardInterrupt) and out.is_dir()):
            _remove(out, made, keep_folder=was_there)
        if isinstance(error, StoreWriteError) and isinstance(error.__cause__, OSError):
            with write_errors(out, NOTHING_LEFT):
                raise error.__cause__ from None
        raise


def write_listed(
    writer: FeatureWriter, made: list[str], spec: ShardSpec, content: ShardContent
) -> None:
    """Write a shard of a new store, and list it unless another process has written it."""
    made.append(spec.name)
    is_ours = True
    try:
        is_ours = writer.write(spec, content)
    except (StoreMismatchError, StoreLockedError):
        is_ours = False
        raise
    finally:
        if not is_ours:
            made.remove(spec.name)


def _remove(out: Path, made: Sequence[str], *, keep_folder: bool) -> None:
    """Remove what was written, and the store if no other process has a part in it."""
    for name in made:
        (out / name).unlink(missing_ok=True)
    if {path.name for path in out.iterdir()} == {MANIFEST}:
        (out / MANIFEST).unlink()
        if not keep_folder:
            out.rmdir()
