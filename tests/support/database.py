"""Empty databases, quickly."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from mappings.database import open_engine, upgrade

_TEMPLATES = tempfile.TemporaryDirectory(prefix="milesync-tests-")


@cache
def _template() -> Path:
    path = Path(_TEMPLATES.name) / "template.db"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


def fresh_engine(folder: Path, name: str = "milesync") -> Engine:
    """An empty database; it need not survive a power cut, only a process."""
    path = shutil.copy(_template(), folder / f"{name}.db")
    engine = open_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", _hurry)
    return engine


def _hurry(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")
