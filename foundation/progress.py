"""How far long work is: silent, unless the program listens."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
Listener = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are; once more at the end."""
_listener: Listener | None = None
_is_counting = False


def listen(listener: Listener | None) -> None:
    """Report all work that follows to a function; None stops that."""
    global _listener, _is_counting
    _listener, _is_counting = listener, False


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield items, and tell the listener how many were worked on.

    Loops inside are part of this one, not reported. `what` is a plural, as `shards`; `total` is
    the number of items where they have no length.

    Examples
    --------
    >>> listen(lambda what, done, total: print(f"{done} of {total} {what}"))
    >>> for shard in track(["a", "b"], "shards"):
    ...     pass
    0 of 2 shards
    1 of 2 shards
    2 of 2 shards
    >>> listen(None)
    """
    global _is_counting
    if _listener is None or _is_counting:
        yield from items
        return
    count = len(items) if total is None and isinstance(items, Sized) else total or 0
    _is_counting = True
    try:
        done = 0
        _listener(what, done, count)
        for item in items:
            yield item
            done += 1
            if _listener is not None:
                _listener(what, done, count)
    finally:
        _is_counting = False
