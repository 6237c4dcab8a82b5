"""Python's garbage collector while a pair is read and decided about."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 50_000


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Look for circles of objects a hundred times less often than Python does.

    A reading makes hundreds of thousands of objects, none of them in a circle: looking at them
    again and again takes a fifth of a run's time, and finds nothing.
    """
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
