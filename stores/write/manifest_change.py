"""Changes of store.json: one process at a time reads it and writes what follows from that."""

from collections.abc import Callable
from pathlib import Path

from savs.stores.format.layout import MANIFEST
from savs.stores.format.manifest import Manifest, read_manifest, write_manifest
from savs.stores.write.claims import ClaimLostError, Claims
from savs.stores.write.write_errors import write_errors


def change_manifest(
    folder: Path, claims: Claims, change: Callable[[Manifest], Manifest]
) -> Manifest:
    """Replace the manifest of a store by what `change` makes of it, and return that.

    A process that was taken for dead meanwhile begins again with what store.json says then.
    """
    with write_errors(folder / MANIFEST):
        while True:
            with claims.hold(MANIFEST):
                before = read_manifest(folder)
                after = change(before)
                try:
                    if after != before:
                        replace_manifest(folder, claims, after)
                    return after
                except ClaimLostError:
                    continue


def replace_manifest(folder: Path, claims: Claims, manifest: Manifest) -> None:
    """Write store.json, whose claim is held; ClaimLostError where that was taken over."""
    with claims.publishing(MANIFEST) as require_claim:
        write_manifest(folder, manifest, replace_old=True, before_naming=require_claim)
