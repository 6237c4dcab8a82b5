"""The root of all errors that a person reads, and those of the store."""

from __future__ import annotations

from typing import ClassVar


class MilesyncError(Exception):
    """Something a person has to know: ``message`` says what and where, ``hint`` what to do next.

    ``kind`` is a short stable word for scripts, logs and metrics.
    Neither text ever contains a credential.
    """

    kind: str = "error"
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


def as_sentences(message: str, hint: str) -> str:
    """A message and its hint as one text; a server's own words may end without a full stop."""
    stop = "" if message.endswith((".", "!", "?", "…")) or not hint else "."
    return f"{message}{stop} {hint}".rstrip()


class StoreError(MilesyncError):
    """The database cannot be used."""

    kind = "database"
    default_hint = "Check MILESYNC_DATABASE_URL, then run `milesync db upgrade`."


class DoesNotFit(StoreError):
    """A row that goes against those that are there: the same key twice, or of what is not there."""


class LostLock(StoreError):
    """The run no longer holds its pair: its connection was cut, or another took the run over."""

    default_hint = "Nothing more was written. Run it again; it goes on from there."


class Busy(MilesyncError):
    """Somebody else is running this pair."""

    kind = "busy"
    default_hint = "Wait until it has ended; this project pair was left as it was."


class StoreAway(StoreError):
    """A database server cannot be reached at the moment; it may come back by itself."""
