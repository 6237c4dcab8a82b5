"""A fresh world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import fresh_engine
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = fresh_engine(tmp_path)
    yield World(engine)
    engine.dispose()
