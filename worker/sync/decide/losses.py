"""What a run cannot carry exactly, counted by kind. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mappings.lifecycle import lifecycle_differs
from mappings.milestone import (
    ACTIVE,
    COMPLETED,
    DATE_FIELDS,
    SourceMilestone,
    has_lossy_date,
    loses_planned_start,
    same_value,
)
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.snapshot import Snapshot, extremes
from worker.sync.decide.verdict import Verdict

Children = Mapping[int, Sequence[SourceMilestone]]
"""The sub-milestones of each parent, by its TestRail id."""
_COUNTED = {
    Verdict.IMMOVABLE: "moved",
    Verdict.ALTERED: "altered",
    Verdict.REJECTED: "rejected",
}


def not_exact(
    snapshot: Snapshot, actions: Sequence[Action], children: Children, agreed: Mapping[str, int]
) -> dict[str, int]:
    """Counts of what cannot be carried exactly, by kind; ``agreed`` are those of what agrees."""
    counts = Counter(agreed)
    changing = _changing(actions)
    for action in actions:
        changes = not changing.isdisjoint((action.testrail_id, action.testably_id))
        counts.update(losses_of(action, snapshot, children, changes_below=changes))
    return {name: count for name, count in sorted(counts.items()) if count}


def _changing(actions: Iterable[Action]) -> frozenset[int | str]:
    """The ids, in TestRail or in Testably, below which this run may make another status derived."""
    found: set[int | str | None] = set()
    for action in actions:
        is_written = "status" in action.push or action.status_later or action.status_if_alone
        if is_written or action.kind in (Kind.CREATE, Kind.ARCHIVE):
            found |= {action.parent_id, action.link.target_parent if action.link else None}
    return frozenset(id_ for id_ in found if id_ is not None)


def losses_of(
    action: Action, snapshot: Snapshot, children: Children, *, changes_below: bool = False
) -> list[str]:
    """The kinds of what cannot be carried exactly of one milestone, each once, but once a date.

    ``changes_below`` says that the run changes what its sub-milestones derive.
    """
    source = snapshot.source.milestones.get(action.testrail_id)
    if source is None or not (action.testably_id or action.push):
        return []
    if _shows_status(action, snapshot) and not changes_below:
        is_status_lost = _is_derived(action, "status")
    else:
        is_status_lost = _status_differs(source, snapshot, children)
    lost = {
        "nesting": snapshot.places[source.id].flattened,
        "dates": has_lossy_date(source, snapshot.rules),
        "planned_start": loses_planned_start(source, snapshot.rules),
        "lifecycle": _lifecycle_differs(action, source, snapshot, children),
        "parent_status": is_status_lost,
        "parent_dates": _dates_lost(action, source, snapshot, children),
    }
    return [*Counter(lost).elements(), *lost_by(action)]


def exempt_of(action: Action, snapshot: Snapshot) -> dict[str, int]:
    """How many of its fields are Testably's own to say."""
    if action.testably_id not in snapshot.parents:
        return {}
    dates = sum(name in action.own for name in DATE_FIELDS)
    counts = {"parent_status": int("status" in action.own), "parent_dates": dates}
    return {name: number for name, number in counts.items() if number}


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


def _dates_lost(
    action: Action, source: SourceMilestone, snapshot: Snapshot, children: Children
) -> int:
    """How many dates of a parent Testably shows otherwise, or will by its documents if it is new.

    As many at most as are exempt: both count fields.
    """
    below = children.get(source.id)
    if action.kind is not Kind.CREATE or below is None:
        return sum(_is_derived(action, name) for name in DATE_FIELDS)
    own, shown = snapshot.desired(source), extremes(snapshot.desired(child) for child in below)
    told = [name for name in DATE_FIELDS if shown[name] is not None]
    return sum(not same_value(name, own[name], shown[name]) for name in told)


def _is_derived(action: Action, name: str) -> bool:
    """Whether Testably says otherwise of a field, and it is its own to say."""
    return any(d.verdict is Verdict.DERIVED and d.field == name for d in action.differences)


def _shows_status(action: Action, snapshot: Snapshot) -> bool:
    """Whether the status that Testably derives is known, and no write of this run changes it.

    What was not listed may be as the write of it was answered, before it had sub-milestones.
    """
    if "status" in action.push or action.testably_id not in snapshot.target.milestones:
        return False
    applied = snapshot.link(action.testrail_id).last_applied
    return snapshot.target.listed or "status" not in applied


def _status_differs(source: SourceMilestone, snapshot: Snapshot, children: Children) -> bool:
    """Whether by its sub-milestones a parent will be shown with another status than its own."""
    below = children.get(source.id)
    if below is None:
        return False
    derived = COMPLETED if all(child.is_completed for child in below) else ACTIVE
    return derived != snapshot.desired(source)["status"]
