"""A recorded pair, and a run of it."""

from __future__ import annotations

import pytest

from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import identity


@pytest.fixture
def pair_id(store: Store) -> int:
    return store.pair(identity()).id


@pytest.fixture
def run_id(run_log: RunLog, pair_id: int) -> str:
    return run_log.begin(pair_id, "manual", "ann on host", NOW).id
