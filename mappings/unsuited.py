"""Databases that no run may work on, as far as that can be recognised.

The locks of one do not hold (R8), or its file is damaged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from mappings.causes import DAMAGED, store_error
from mappings.errors import StoreError

MOUNTS: Final = Path("/proc/self/mounts")
"""Linux's list of what is mounted: device, place, type; other systems have none."""
_OVER_A_NETWORK: Final = re.compile(
    r"(nfs\d?|cifs|smb\w*|afs|ncpfs|ceph|glusterfs|lustre|fuse\.(sshfs|s3fs|glusterfs|rclone))"
)

LARGEST: Final = 1 << 30
"""Bytes of a SQLite file that is read as a whole; a third of it takes two or three seconds."""


def require_whole(engine: Engine) -> bool:
    """Whether the database was found whole; False for a SQLite file too large to be looked through.

    It reads all of the file, so it is nothing to do at each opening. PostgreSQL minds its own.
    Raises StoreError where the file is damaged.
    """
    if engine.dialect.name != "sqlite":
        return True
    file = Path(engine.url.database or "")
    try:
        if file.stat().st_size > LARGEST:
            return False
        with engine.connect() as connection:
            found: str = connection.execute(text("PRAGMA integrity_check(1)")).scalar_one()
    except (SQLAlchemyError, OSError) as error:
        raise store_error(f"The database {file} cannot be read", error) from error
    if found != "ok":
        raise StoreError(f"The database {file} is damaged: {found.splitlines()[-1]}", DAMAGED)
    return True


def require_locks(engine: Engine) -> None:
    """Raises StoreError where two processes could hold the lock of one pair at the same time.

    That is PostgreSQL behind a pooler that gives one session to several connections, and SQLite on
    a network file system.
    """
    if engine.dialect.name == "sqlite":
        _require_local(Path(engine.url.database or "").parent)
    else:
        _require_own_session(engine)


def _require_own_session(engine: Engine) -> None:
    """Two connections that are open at the same time must not have one session between them."""
    try:
        with engine.connect() as one, engine.connect() as other:
            shared = _session(one) == _session(other)
    except SQLAlchemyError as error:
        raise store_error("The database did not answer", error) from error
    if shared:
        raise StoreError(
            "A pooler stands before PostgreSQL and gives one session to several connections.",
            "Connect to PostgreSQL itself, or have the pooler keep sessions (pool_mode = session):"
            " the locks of runs live in a session.",
        )


def _session(connection: Connection) -> int:
    number: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    connection.commit()  # a pooler may then give the session to another
    return number


def _require_local(folder: Path) -> None:
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = file_system(folder, mounts)
    if _OVER_A_NETWORK.fullmatch(kind):
        raise StoreError(
            f"The database lies in {folder}, on a network file system ({kind}).",
            "Keep the file on a disk of this machine, or use PostgreSQL: SQLite's locks do not hold"
            " over a network.",
        )


def file_system(folder: Path, mounts: str) -> str:
    """The type of the file system that a folder lies on, by Linux's list; empty if unknown."""
    found = {Path("/"): ""}
    for line in mounts.splitlines():
        _, place, kind, *_ = [*line.split(" "), "", "", ""]
        found[Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place))] = kind
    return next(found[one] for one in (folder, *folder.parents) if one in found)
