"""The order of a plan's changes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mappings.link import Link
from mappings.problem import Problem, ProblemKind
from tests.support.clock import NOW
from worker.sync.apply.order import Order
from worker.sync.decide.action import Action, Kind

FAILED = Problem(ProblemKind.SERVER_ERROR, "It answered 500.", NOW)
COUNTED = Problem(ProblemKind.SERVER_ERROR, "It answered 500.", NOW, 1, NOW)
PROBLEMS = st.sampled_from([None, FAILED, COUNTED])


@st.composite
def plans(draw: st.DrawFn) -> list[Action]:
    """Roots, and what is below them; the order is any."""
    kinds = st.sampled_from([Kind.CREATE, Kind.UPDATE, Kind.ARCHIVE])
    roots, children = draw(st.integers(1, 4)), draw(st.integers(0, 6))
    parents = [None] * roots + [draw(st.integers(1, roots)) for _ in range(children)]
    actions = [
        Action(draw(kinds), id_, "", "", parent_id=parent, link=Link(id_, problem=draw(PROBLEMS)))
        for id_, parent in enumerate(parents, 1)
    ]
    return draw(st.permutations(actions))


@given(plans())
def test_what_failed_before_comes_last_and_a_child_after_a_parent_that_is_made(
    actions: list[Action],
) -> None:
    """So of two with the same parent the one that has failed is later, if only one has."""
    order = Order.of(actions)
    ordered = sorted(actions, key=order.rank)
    at = {action.testrail_id: place for place, action in enumerate(ordered)}
    for action in actions:
        parent = next((a for a in actions if a.testrail_id == action.parent_id), None)
        if parent is not None and parent.kind is Kind.CREATE:
            assert at[parent.testrail_id] < at[action.testrail_id]
            assert order.has_failed(action) >= order.has_failed(parent)
        elif action.link is not None:
            assert order.has_failed(action) is action.link.has_failed
    assert all(order.has_failed(one) <= order.has_failed(other) for one, other in pairwise(ordered))
    counted = [action.link is not None and action.link.has_count for action in ordered]
    alone = [one for one, action in zip(counted, ordered, strict=True) if action.parent_id is None]
    assert alone == sorted(alone)
