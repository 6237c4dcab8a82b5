"""Which of the milestones that answer 404 have gone from Testably (R4)."""

from __future__ import annotations

from collections.abc import Iterable

from mappings.milestone import ARCHIVED, COMPLETED
from worker.sync.ports import Target


def proved_gone(target: Target, project: str, denied: Iterable[str]) -> frozenset[str]:
    """Those of the ids that no list of the project shows; none if a list came incomplete.

    Asks nothing where there are none. Raises ApiError, NotFound if the project is gone as well.
    """
    left = set(denied)
    for status in (None, COMPLETED, ARCHIVED):
        if not left:
            break
        listing = target.list_all(project, status)
        if not listing.complete:
            return frozenset()
        left -= listing.milestones.keys() | {str(one.id) for one in listing.problems}
    return frozenset(left)
