"""Standard output and error: whoever starts a command may have closed them, or fill their disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mappings.errors import MilesyncError


class OutputLost(MilesyncError):
    """The result could not be written to where it was to go."""

    kind = "output"
    default_hint = (
        "Make room where the output goes, or send it elsewhere. What was done is recorded:"
        " `milesync status` shows it."
    )


def open_closed() -> None:
    """Open on nothing what is closed; else the next file would be where the output goes."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def write(stream: TextIO, text: str) -> None:
    """Write at once; a reader that has gone away is not our problem. Raises OutputLost."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except OSError as error:
        silence(stream)
        raise OutputLost(f"The result could not be written: {error.strerror}.") from None


@contextmanager
def not_kept() -> Iterator[None]:
    """Raise OutputLost where a result cannot be kept in a file until it is whole."""
    try:
        yield
    except OSError as error:
        raise OutputLost(f"The result could not be kept: {error.strerror}.") from None


def silence(stream: TextIO) -> None:
    """Send the rest of a stream that takes nothing any more nowhere, its last flush too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
