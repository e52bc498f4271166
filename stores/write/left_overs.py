"""Files of writers that are gone, and the refusal to mend a store while one lives."""

import re
import time
from pathlib import Path
from typing import Any

from savs.foundation.files import PARTIAL
from savs.stores.errors import StoreLockedError
from savs.stores.format.layout import CLAIMS, MANIFEST
from savs.stores.write import signs
from savs.stores.write.claim_files import NEW, ClaimFiles
from savs.stores.write.claims import newest, parse_claim
from savs.stores.write.process import Process, has_ended, is_here, parse_process

LOOK_EVERY_S = 1.0
_UNFINISHED = re.compile(rf"(.+-\d+\.h5|{re.escape(MANIFEST)})\..*{re.escape(PARTIAL)}")
"""Name of an unfinished file, with the name that it was to get."""


def left_overs(folder: Path, *, nobody_writes: bool = False) -> list[Path]:
    """Return the claims, signs and unfinished files in a store whose writers are gone.

    Without `nobody_writes` those of processes on other hosts are left alone. An unfinished file has
    a claim as long as its writer lives, so the claims are looked at after it was seen.
    """
    unfinished = [path for path in sorted(folder.glob(f"*{PARTIAL}")) if path.is_file()]
    storage = ClaimFiles(folder)
    names = sorted(storage.names())

    def is_gone(process: Process | None) -> bool:
        return nobody_writes or (process is not None and has_ended(process))

    holders = {
        name: parse_process(storage.read(f"{name}.{generation}"))
        for name, generation in newest(names).items()
    }
    gone = {name for name, holder in holders.items() if is_gone(holder)}
    signs_gone = {p.id + signs.SIGN for p, _ in signs.read_signs(storage) if is_gone(p)}
    found = [
        folder / CLAIMS / name
        for name in names
        if name.removesuffix(NEW) in signs_gone or parse_claim(name)[0] in gone
    ]
    for path in unfinished:
        target = _UNFINISHED.fullmatch(path.name)
        if target and target[1] not in holders.keys() - gone and path.exists():
            found.append(path)
    return found


def require_no_writer(folder: Path) -> None:
    """Raise StoreLockedError while a live process writes to a store.

    A process on another host lives if it shows a sign within `STALE_S`; this waits for that.
    """
    storage = ClaimFiles(folder)
    first = _alive(storage)
    deadline_s = time.monotonic() + signs.STALE_S
    while True:
        now = _alive(storage)
        for process, sign in now.items():
            if is_here(process) or first.get(process) != sign:
                raise StoreLockedError(
                    f"{folder} is being written by {process}; wait for it, or stop it"
                )
        if not now or time.monotonic() > deadline_s:
            return
        time.sleep(LOOK_EVERY_S)


def _alive(storage: ClaimFiles) -> dict[Process, Any]:
    """Return the processes of which it is not known that they have ended, and their signs."""
    found = signs.read_signs(storage)
    return {process: sign for process, sign in found if not has_ended(process)}
