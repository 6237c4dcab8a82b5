"""What a run cannot carry exactly, counted by kind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mappings.link import Link
from mappings.milestone import (
    ACTIVE,
    COMPLETED,
    DATE_FIELDS,
    SourceMilestone,
    Values,
    desired_values,
    has_lossy_date,
    same_value,
)
from worker.sync.decide.action import Action
from worker.sync.decide.rules import Standings
from worker.sync.decide.snapshot import Snapshot

Children = Mapping[int, Sequence[SourceMilestone]]
"""The sub-milestones of each parent, by its TestRail id."""


def not_exact(
    snapshot: Snapshot, actions: Sequence[Action], standings: Standings, children: Children
) -> dict[str, int]:
    """Counts of what cannot be carried exactly, by kind."""
    counts: Counter[str] = Counter()
    for action in actions:
        source = snapshot.source.milestones.get(action.testrail_id)
        if source is None or not standings.of(source.id).arrives:
            continue
        counts["nesting"] += standings.places[source.id].flattened
        counts["dates"] += has_lossy_date(source, snapshot.rules)
        counts["parent_status"] += _status_differs(source, snapshot, children)
        if action.link is not None:
            counts["moved"] += "moved" in action.link.told
            counts["not_taken"] += _not_taken(action.link, action.push)
    return {name: count for name, count in sorted(counts.items()) if count}


def _status_differs(source: SourceMilestone, snapshot: Snapshot, children: Children) -> bool:
    """Whether Testably derives another status for a parent than it has in TestRail."""
    below = children.get(source.id)
    if below is None:
        return False
    derived = COMPLETED if all(child.is_completed for child in below) else ACTIVE
    return derived != desired_values(source, snapshot.rules)["status"]


def _not_taken(link: Link, push: Values) -> bool:
    """Whether the target does not show a pushed value as it was pushed."""
    refused = any(name not in push for name in link.refused)
    last_applied = {
        n: v for n, v in link.last_applied.items() if n not in (*DATE_FIELDS, "status", *push)
    }
    return refused or any(
        n in link.observed and not same_value(n, value, link.observed[n])
        for n, value in last_applied.items()
    )
