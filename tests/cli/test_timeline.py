"""Where the bars, the months and today stand."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.facts.timeline import NAMES, WIDTH, Span, timeline

DAYS = st.one_of(st.none(), st.dates())
SPANS = st.lists(
    st.builds(Span, st.integers(1), st.text(), st.just("started"), st.integers(0, 1), DAYS, DAYS)
)


@given(SPANS, st.dates())
def test_everything_stands_on_the_picture(spans: list[Span], today: date) -> None:
    """Whatever the dates, also where the due date is before the start."""
    drawn = timeline(spans, today)
    dated = [span for span in spans if span.start or span.due]
    if drawn is None:
        assert dated == []
        return
    assert [bar.span for bar in drawn.bars] == dated
    assert NAMES <= drawn.today <= WIDTH
    assert len(drawn.ticks) <= 15
    for bar in drawn.bars:
        assert NAMES <= bar.x <= bar.x + bar.width <= WIDTH + 0.2
        assert bar.y < drawn.height


def test_a_year_has_its_months() -> None:
    start = date(2026, 1, 10)
    drawn = timeline([Span(1, "One", "started", 0, start, start + timedelta(days=330))], start)
    assert drawn is not None
    assert [tick.label for tick in drawn.ticks][:3] == ["Jan 2026", "Feb 2026", "Mar 2026"]
    assert drawn.bars[0].dates == "2026-01-10 to 2026-12-06"


def test_a_long_name_is_cut_and_a_single_day_has_no_width() -> None:
    day = date(2026, 3, 1)
    drawn = timeline([Span(1, "n" * 80, "upcoming", 0, None, day)], day)
    assert drawn is not None
    [bar] = drawn.bars
    assert (bar.width, len(bar.label), bar.label[-1]) == (0, 36, "…")
    assert bar.dates == "no start to 2026-03-01"
