"""One milestone with both sides beside each other, as they were read last.

What differs, and what that means, is asked of the plan that the recorded values give (R10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.milestone import ACTIVE, FIELDS, SourceMilestone, TargetMilestone
from mappings.paged import links_below
from worker.clients.records import parse_source
from worker.sync.decide.action import Action
from worker.sync.decide.differences import Difference, Verdict
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot, TargetSnapshot
from worker.sync.ports import SourceListing

if TYPE_CHECKING:
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.settings import ProjectPair

GONE: Final = (LinkState.ARCHIVED, LinkState.ORPHANED)
"""States of a link whose milestone TestRail no longer has."""
SAME: Final = "same"
_HIGHEST: Final = 10
"""Levels above a milestone that are looked at."""
_VERDICTS: Final = {
    Verdict.PUSH: "to be written",
    Verdict.REJECTED: "Testably refused it",
    Verdict.ALTERED: "Testably stored it otherwise",
    Verdict.IMMOVABLE: "cannot be moved",
    Verdict.DERIVED: "Testably's own to say",
    Verdict.KEPT: "edited in Testably, kept",
    Verdict.HELD: "held after an undo",
    Verdict.ACCEPTED: "accepted by a person",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One field: what TestRail says of it in Testably's terms, and what Testably has.

    ``verdict`` is what the difference means, in the words of the JSON, or ``same``; None where
    nothing was compared. ``told`` says it in words, ``counts`` whether the pair is out of step
    by it.
    """

    field: str
    testrail: str | None
    testably: str | None
    verdict: str | None = None
    told: str = ""
    counts: bool = False


@dataclass(frozen=True, slots=True)
class BothSides:
    """A milestone field by field; ``reason`` is what the next run would do about it, and why."""

    rows: tuple[Row, ...]
    reason: str = ""


def both_sides(
    deployment: Deployment, configured: ProjectPair, pair: Pair, link: Link
) -> BothSides:
    """The two sides of a recorded milestone. Raises StoreError."""
    snapshot = _recorded(deployment, configured, pair, link)
    source = _source_of(link)
    if link.testrail_id not in snapshot.source.milestones or source is None:
        return BothSides(tuple(_uncompared(snapshot, source, link)))
    actions = make_plan(snapshot).actions
    action = next(one for one in actions if one.testrail_id == link.testrail_id)
    return BothSides(tuple(_rows(snapshot, source, link, action)), action.reason)


def _rows(snapshot: Snapshot, source: SourceMilestone, link: Link, action: Action) -> Iterator[Row]:
    found = {one.field: one for one in action.differences}
    if not link.has_target:
        yield from _uncompared(snapshot, source, link)
        return
    for name, desired in snapshot.desired(source).items():
        yield _row(found[name]) if name in found else _same(link, name, desired)
    yield from (_row(one) for name, one in found.items() if name not in FIELDS)


def _row(one: Difference) -> Row:
    told = f"{_VERDICTS[one.verdict]}: {one.cause.value}" if one.cause else _VERDICTS[one.verdict]
    facts = (one.field, one.desired, one.live, one.verdict.value)
    return Row(*facts, told, counts=one.verdict.counts)


def _same(link: Link, name: str, desired: str | None) -> Row:
    return Row(name, desired, link.observed.get(name, desired), SAME, "the same")


def _uncompared(snapshot: Snapshot, source: SourceMilestone | None, link: Link) -> Iterator[Row]:
    desired = snapshot.desired(source) if source is not None else {}
    shown = link.observed if link.has_target else {}
    yield from (Row(name, desired.get(name), shown.get(name)) for name in FIELDS)


# --- what is recorded, as a snapshot


def _recorded(deployment: Deployment, configured: ProjectPair, pair: Pair, link: Link) -> Snapshot:
    """The milestone with what is above and below it, as both sides were read last."""
    family = {link.testrail_id: link, **links_below(deployment.store.engine, pair.id, link)}
    sources: dict[int, SourceMilestone] = {}
    for one in family.values():
        _add(sources, one)
    for _ in range(_HIGHEST):
        above = {one.parent_id for one in sources.values() if one.parent_id} - set(family)
        found = deployment.store.links(pair.id, above)
        if not found:
            break
        family.update(found)
        for one in found.values():
            _add(sources, one)
    alive = [one for one in family.values() if one.has_target and one.observed]
    targets = {one.testably_id or "": _as_observed(one) for one in alive}
    return Snapshot(
        deployment.rules(configured),
        SourceListing(sources, complete=False),
        Links(family),
        TargetSnapshot(targets, listed=False),
        deployment.clock.now(),
        policy=deployment.policy,
        whole_project=False,
    )


def _add(sources: dict[int, SourceMilestone], link: Link) -> None:
    source = _source_of(link)
    if source is not None and link.state not in GONE:
        sources[link.testrail_id] = source


def _source_of(link: Link) -> SourceMilestone | None:
    """The milestone as TestRail showed it last; None where that could not be read."""
    found = parse_source(dict(link.raw), link.parent_id) if link.raw else None
    return found if isinstance(found, SourceMilestone) else None


def _as_observed(link: Link) -> TargetMilestone:
    """The target as it was observed last."""
    seen = link.observed
    return TargetMilestone(
        link.testably_id or "",
        seen.get("name") or "",
        seen.get("description"),
        seen.get("start_date"),
        seen.get("due_date"),
        seen.get("status") or ACTIVE,
        link.target_parent,
        updated_at=link.observed_at,
    )
