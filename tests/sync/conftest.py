"""A fresh world for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mappings.database import open_engine
from tests.support.world import World


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    path = shutil.copy(sqlite_template, tmp_path / "milesync.db")
    engine = open_engine(f"sqlite:///{path}")
    yield World(engine)
    engine.dispose()
