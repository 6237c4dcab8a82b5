"""Pairs for the proofs, which make thousands of runs: their log would only cost time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.proofs.slicing import Make, pairs_in


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes pairs, with the switches of both sides."""
    with pairs_in(tmp_path) as made:
        yield made
