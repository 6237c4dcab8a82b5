"""A kind of line is told once in a while, however often it happens, and none is forgotten."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import FakeClock
from worker.sparing import Sparing


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30))))
def test_each_line_is_told_or_counted(events: list[tuple[str, float]]) -> None:
    """Two of a kind are never nearer than the time; the first of each is told at once."""
    clock, told = FakeClock(), list[tuple[str, float, int]]()
    sparing = Sparing(60.0, clock.monotonic)

    def log(event: str, held_back: int = 0, **_: Any) -> None:
        told.append((event, clock.monotonic(), held_back))

    for event, pause in events:
        sparing.tell(log, event)
        clock.sleep(pause)
    clock.sleep(61.0)
    for kind in "abc":
        happened = sum(event == kind for event, _ in events)
        sparing.tell(log, kind)
        mine = [one for one in told if one[0] == kind]
        assert len(mine) + sum(held for _, _, held in mine) == happened + 1
        moments = [at for _, at, _ in mine]
        assert all(b - a >= 60.0 for a, b in itertools.pairwise(moments))
