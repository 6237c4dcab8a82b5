"""Whose the dates of a milestone with sub-milestones are: Testably's own, or ordinary fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.milestone import SubMilestone
from tests.support.build import link, snapshot, source, target

JAN, FEB, MAR = (f"2026-0{month}-01T00:00:00Z" for month in (1, 2, 3))


def test_a_date_that_sub_milestones_can_give_is_testablys_own() -> None:
    """Those that the list shows, and archived ones that it hides, as last observed."""
    parent, child, hidden = source(1), source(2, parent_id=1), source(3, parent_id=1)
    above = target(parent, start_date=JAN, due_date=MAR)
    below = target(child, start_date=FEB, due_date=MAR, parent_id="ms_1")
    put_away = target(hidden, start_date=JAN, due_date=FEB, parent_id="ms_1", status="archived")
    links = [link(parent, above), link(child, below)]
    shown = snapshot([parent, child], [above, below], links)
    assert shown.derived_dates(above) == {"due_date"}
    with_hidden = snapshot([parent, child], [above, below], [*links, link(hidden, put_away)])
    assert with_hidden.derived_dates(above) == {"start_date", "due_date"}
    elsewhere = link(hidden, replace(put_away, parent_id="ms_9"))
    assert snapshot([parent, child], [above, below], [*links, elsewhere]).derived_dates(above) == {
        "due_date"
    }


def test_where_not_all_that_is_below_was_read_all_dates_are_left_alone() -> None:
    parent, child = source(1), source(2, parent_id=1)
    above, below = target(parent, start_date=JAN), target(child, start_date=FEB, parent_id="ms_1")
    unread = snapshot([parent, child], [above], [link(parent, above), link(child, below)])
    assert unread.derived_dates(above) == {"start_date", "due_date"}
    named = replace(above, sub_milestones=(SubMilestone("ms_8", "Theirs", "active"),))
    assert snapshot([parent], [named]).derived_dates(named) == {"start_date", "due_date"}


@pytest.mark.parametrize(("mode", "own"), [(" Auto ", 2), ("manual", 0), ("", 0)])
def test_where_testably_says_whose_the_dates_are_it_is_believed(mode: str, own: int) -> None:
    above = target(source(1), date_mode=mode)
    assert len(snapshot([source(1)], [above]).derived_dates(above)) == own
