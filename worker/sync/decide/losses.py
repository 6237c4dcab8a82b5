"""What a run cannot carry exactly, counted by kind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mappings.lifecycle import lifecycle_differs
from mappings.milestone import (
    ACTIVE,
    COMPLETED,
    SourceMilestone,
    has_lossy_date,
    loses_planned_start,
)
from worker.sync.decide.action import Action
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.verdict import Verdict

Children = Mapping[int, Sequence[SourceMilestone]]
"""The sub-milestones of each parent, by its TestRail id."""
_COUNTED = {
    Verdict.IMMOVABLE: "moved",
    Verdict.ALTERED: "altered",
    Verdict.REJECTED: "rejected",
}


def not_exact(snapshot: Snapshot, actions: Sequence[Action], children: Children) -> dict[str, int]:
    """Counts of what cannot be carried exactly, by kind."""
    counts: Counter[str] = Counter()
    for action in actions:
        source = snapshot.source.milestones.get(action.testrail_id)
        if source is None or not (action.testably_id or action.push):
            continue
        counts["nesting"] += snapshot.places[source.id].flattened
        counts["dates"] += has_lossy_date(source, snapshot.rules)
        counts["planned_start"] += loses_planned_start(source, snapshot.rules)
        counts["lifecycle"] += _lifecycle_differs(action, source, snapshot, children)
        counts["parent_status"] += _status_differs(source, snapshot, children)
        counts["parent_dates"] += any(
            one.verdict is Verdict.DERIVED and one.field != "status" for one in action.differences
        )
        counts.update(lost_by(action))
    return {name: count for name, count in sorted(counts.items()) if count}


def lost_by(action: Action) -> list[str]:
    """The kinds of what Testably does not take as it is, each once a milestone."""
    kinds = {_COUNTED.get(one.verdict) for one in action.differences}
    return [kind for kind in kinds if kind is not None]


def _lifecycle_differs(
    action: Action, source: SourceMilestone, snapshot: Snapshot, children: Children
) -> bool:
    """Whether its dates tell of another lifecycle; that of a parent counts as its status."""
    if source.id in children or action.testably_id in snapshot.parents:
        return False
    return lifecycle_differs(source, snapshot.rules, snapshot.now)


def _status_differs(source: SourceMilestone, snapshot: Snapshot, children: Children) -> bool:
    """Whether Testably derives another status for a parent than it has in TestRail."""
    below = children.get(source.id)
    if below is None:
        return False
    derived = COMPLETED if all(child.is_completed for child in below) else ACTIVE
    return derived != snapshot.desired(source)["status"]
