"""A new store whose writer was killed: the same command may begin it again.

Whoever makes a new store whole, see `whole_store`, holds the claim `BEGUN` until it is sealed. Its
shards can be made again from what the command reads, so they are no loss.
"""

import os
import shutil
import time
from pathlib import Path

from savs.foundation.files import PARTIAL, note
from savs.stores.errors import StoreLockedError, StoreMismatchError, StoreNotFoundError
from savs.stores.format.layout import CLAIMS, MANIFEST, RESULTS
from savs.stores.format.manifest import Manifest, read_manifest
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims, newest
from savs.stores.write.left_overs import LOOK_EVERY_S, left_overs, require_no_writer

BEGUN = "new-store"
"""What the process claims that makes a new store whole."""
EMPTY = "pass a new or empty folder"


def is_begun(path: Path, manifest: Manifest) -> bool:
    """Return whether a folder has the unfinished store of a killed writer; False in an empty one.

    Raises
    ------
    StoreMismatchError
        The folder has something else.
    StoreLockedError
        That writer, or another one, lives.
    """
    if not os.path.lexists(path):
        return False
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
    has_claims = path.is_dir() and CLAIMS in names
    begun = has_claims and BEGUN in newest(ClaimFiles(path).names())
    if has_claims and all(name == CLAIMS or name.endswith(PARTIAL) for name in names):
        begun = False  # it was killed before it wrote store.json
    elif names and not (begun and _is_same(path, manifest)):
        raise StoreMismatchError(f"{path} exists and is not empty; {EMPTY}")
    if has_claims:
        require_no_writer(path)
    return begun


def _is_same(path: Path, manifest: Manifest) -> bool:
    """Return whether a folder has an unfinished store of the same features and examples."""
    try:
        found = read_manifest(path)
    except StoreNotFoundError:
        return False
    same = (found.identity, found.plan) == (manifest.identity, manifest.plan)
    return same and not found.sealed


def claim_begun(path: Path, claims: Claims) -> None:
    """Claim `BEGUN`, maybe of a killed writer.

    Raises
    ------
    StoreLockedError
        Another process was first.
    """
    while not claims.take(BEGUN):
        holder = claims.holder(BEGUN)
        if holder is not None and claims.signs.lives(holder.id):
            raise StoreLockedError(
                f"{path} is being written by {holder}; wait for it, or pass another folder"
            )
        time.sleep(LOOK_EVERY_S)


def remove_begun(path: Path, manifest: Manifest, claims: Claims) -> None:
    """Remove all but store.json of a killed writer, whose files are noted as those of this one.

    Raises
    ------
    StoreMismatchError
        Another process has finished the store.
    """
    if not _is_same(path, manifest):
        raise StoreMismatchError(f"another process has just made a store in {path}; {EMPTY}")
    shards = [path / spec.name for spec in manifest.plan.shards()]
    results = [file for file in (path / RESULTS).rglob("*") if file.is_file()]
    for file in filter(Path.exists, [path / MANIFEST, *shards, *results]):
        note(file, file)
    for shard in shards:
        shard.unlink(missing_ok=True)
    if (path / RESULTS).is_dir():
        shutil.rmtree(path / RESULTS)
    claims.sweep()
    for left in left_overs(path):
        left.unlink(missing_ok=True)
