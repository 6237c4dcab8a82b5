"""The shared clock: the database's time, which this machine's clock cannot change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker import clock
from worker.clock import SharedClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_reads_now_and_then_and_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that fails later does no harm; the first one has to answer."""
    passed = [0.0]
    monkeypatch.setattr(clock, "_uptime", lambda: passed[0])
    answers: list[datetime | Exception] = [
        OSError("away"),
        NOON,
        OSError("away"),
        NOON + timedelta(hours=1),
    ]

    def read() -> datetime:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    shared = SharedClock(read)
    with pytest.raises(OSError, match="away"):
        shared.now()
    assert shared.now() == NOON
    passed[0] = 20.0
    assert shared.now() == NOON + timedelta(seconds=20)
    passed[0] = 40.0
    assert shared.now() == NOON + timedelta(seconds=40)
    assert shared.now() == NOON + timedelta(hours=1)
