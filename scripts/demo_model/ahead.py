"""Draw the next batch while the model learns from this one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items in order, made one ahead of the consumer in a thread of their own.

    Examples
    --------
    >>> list(one_ahead(range(3)))
    [0, 1, 2]
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="next-batch") as pool:
        ahead = pool.submit(next, source, end)
        while (item := ahead.result()) is not end:
            ahead = pool.submit(next, source, end)
            yield item  # type: ignore[misc]
