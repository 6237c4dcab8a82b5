"""The sliding window is strict: no stretch of its length ever holds more than the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import FakeClock
from worker.sandbox.limit import ServerRate, SlidingWindow

steps = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.5, 10.0]), max_size=60)


@given(steps, st.integers(1, 5), st.booleans())
def test_no_window_holds_more_than_the_limit(
    steps: list[float], limit: int, counts_refused: bool
) -> None:
    clock = FakeClock()
    window = SlidingWindow(ServerRate(limit, 10.0, counts_refused=counts_refused), clock)
    granted = []
    for step in steps:
        clock.sleep(step)
        if window.wait("token") is None:
            granted.append(clock.monotonic())
    for start in granted:
        assert sum(start <= at < start + 10.0 for at in granted) <= limit


@given(steps, st.integers(1, 5))
def test_who_waits_as_long_as_told_is_granted(steps: list[float], limit: int) -> None:
    """And not a moment earlier."""
    clock = FakeClock()
    window = SlidingWindow(ServerRate(limit, 10.0), clock)
    for step in steps:
        clock.sleep(step)
        wait = window.wait("token")
        if wait is not None:
            assert 0 < wait <= 10.0
            clock.sleep(wait / 2)
            assert window.wait("token") is not None
            clock.sleep(wait / 2)
            assert window.wait("token") is None


def test_refused_requests_may_count_too() -> None:
    """Who keeps knocking then never gets in."""
    answers = []
    for counts_refused in (False, True):
        clock = FakeClock()
        window = SlidingWindow(ServerRate(1, 10.0, counts_refused=counts_refused), clock)
        for _ in range(3):
            clock.sleep(6.0)
            answers.append(window.wait("token") is None)
    assert answers == [True, False, True, True, False, False]


def test_callers_have_windows_of_their_own() -> None:
    window = SlidingWindow(ServerRate(1), FakeClock())
    assert [window.wait(caller) is None for caller in "aab"] == [True, False, True]
