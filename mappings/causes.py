"""Causes that a database's error tells, and what a person does about each.

SQLite names its errors (https://sqlite.org/rescode.html), PostgreSQL numbers them (appendix A of
its documentation); a connection that PostgreSQL's library could not make has words alone, in the
language of the server.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Final

from mappings.errors import StoreError


@dataclass(frozen=True, slots=True)
class Cause:
    """What is the matter where an error's code begins so, or its text has these words."""

    codes: tuple[str, ...]
    words: str
    hint: str

    def has_code(self, code: str) -> bool:
        """Whether an error with this code has this cause."""
        return bool(code and self.codes) and code.startswith(self.codes)

    def has_words(self, text: str) -> bool:
        """Whether an error with this text has this cause."""
        return bool(self.words) and re.search(self.words, text, re.IGNORECASE) is not None


DAMAGED: Final = (
    "The file is damaged. End all processes, move it away together with its -wal and -shm files,"
    " and bring back a copy; or name a new one and run `milesync rebuild`."
)
CAUSES: Final = (
    Cause(
        ("SQLITE_FULL", "53100"),
        "No space left on device",
        "Make room on the disk that holds the database, then run the same command again.",
    ),
    Cause(
        ("SQLITE_READONLY", "SQLITE_PERM"),
        "Permission denied",
        "Give this account the right to write the database's file and its folder.",
    ),
    Cause(
        ("SQLITE_CANTOPEN",),
        "",
        "Check that the folder of this file exists, where a link leads to it too, and that this"
        " account may write there.",
    ),
    Cause(
        ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"),
        "No locks available",
        "Another program holds the file: end it, and keep the file off network drives.",
    ),
    Cause(
        (),
        "levels of symbolic links|Is a directory",
        "Remove what is there under this name: milesync makes a plain file of its own.",
    ),
    Cause(
        ("SQLITE_NOTADB",),
        "",
        "Check MILESYNC_DATABASE_URL: the file that it names is something else.",
    ),
    Cause(
        ("SQLITE_CORRUPT",),
        "",
        DAMAGED,
    ),
    Cause(
        ("SQLITE_IOERR",),
        "Input/output error",
        "The disk or the file system reports an error: look whether it is full or a limit of file"
        " sizes is reached, and into the system's log.",
    ),
    Cause(
        ("28",),
        "authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist",
        "Correct the user and the password in MILESYNC_DATABASE_URL, or allow them at the server.",
    ),
    Cause(
        ("3D000",),
        "database .* does not exist",
        "Create the database, or correct its name in MILESYNC_DATABASE_URL.",
    ),
    Cause(
        ("42501",),
        "",
        "Give the account in MILESYNC_DATABASE_URL the right to use and to make tables there.",
    ),
    Cause(
        ("53300",),
        "too many (clients|connections)|remaining connection slots",
        "The server takes no more connections: run fewer processes, or raise max_connections.",
    ),
    Cause(
        ("25006",),
        "read-only transaction",
        "The server is a read-only copy: name the one that takes writes in MILESYNC_DATABASE_URL.",
    ),
    Cause(
        ("57P",),
        "starting up|shutting down",
        "The server starts or ends at this moment: run the same command again in a while.",
    ),
    Cause(
        ("42P01",),
        "no such (table|column)",
        "Run `milesync db upgrade`.",
    ),
    Cause(
        ("42P07",),
        "already exists",
        "Tables of something else are there: name another database in MILESYNC_DATABASE_URL.",
    ),
    Cause(
        (),
        "pk_(pairs|links|changes|deliveries)",
        "PostgreSQL numbers new rows as others are numbered already, as after a restore of the data"
        " alone: set the sequence of this table's `id` behind its rows (`setval`).",
    ),
    Cause(
        (),
        r"invalid (connection option|URI query parameter|\w+ value)|bad value for",
        "Correct what stands behind the ? in MILESYNC_DATABASE_URL.",
    ),
    Cause(
        ("08",),
        "connection|could not translate host name|Name or service not known|failed to resolve",
        "Check that the server runs, and its host and port in MILESYNC_DATABASE_URL.",
    ),
)


def store_error(what: str, error: Exception, kind: type[StoreError] = StoreError) -> StoreError:
    """The error that a person reads: what did not work, the driver's words, and what to do."""
    text = plain(error)
    return kind(f"{what}: {text}", _hint(_code(error), text))


def is_numbered_twice(error: Exception) -> bool:
    """Whether a new row was refused for its number, which PostgreSQL itself had given it."""
    told = getattr(getattr(error, "orig", None), "diag", None)
    return str(getattr(told, "constraint_name", None)).startswith("pk_")


def _hint(code: str, text: str) -> str:
    told = [cause for cause in CAUSES if cause.has_code(code)]
    told += [cause for cause in CAUSES if cause.has_words(text)]
    return told[0].hint if told else ""


def _code(error: Exception) -> str:
    """SQLite's name of the error, or PostgreSQL's SQLSTATE; empty where there is neither."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorname", "")
    return getattr(cause, "sqlstate", None) or ""


def plain(error: Exception) -> str:
    """The driver's own first line; the others may quote the statement and its values."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause).strip().partition("\n")[0][:300]
