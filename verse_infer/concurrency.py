"""Threads, where numpy, TensorFlow or a file lets go of Python's lock: over parts, and one item ahead."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
Item = TypeVar("Item")
_END = object()
#: More would wait for the memory.
MOST_THREADS = 4


def in_threads(work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
    """The results in the order of the parts; the first error is raised."""
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(work, parts))


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; each is made in a thread while the one before is used.

    What goes wrong in the thread is raised where the item would have come.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, iterator, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, iterator, _END)
            yield item  # type: ignore[misc] # it is no _END
