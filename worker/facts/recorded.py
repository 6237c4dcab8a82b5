"""Both sides as they were read last, as the snapshot from which a plan can be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from mappings.link import Link
from mappings.links import Links
from mappings.milestone import ACTIVE, SourceMilestone, TargetMilestone
from mappings.paged import links_below
from mappings.problem import ProblemKind
from worker.clients.records import parse_source
from worker.facts.lifecycles import zone_of
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.ports import SourceListing

if TYPE_CHECKING:
    from mappings.rows import Pair
    from worker.bootstrap import Deployment

_HIGHEST: Final = 10
"""Levels above a milestone that are looked at."""


def source_of(link: Link) -> SourceMilestone | None:
    """The milestone as TestRail showed it last; None where that could not be read."""
    found = parse_source(dict(link.raw), link.parent_id) if link.raw else None
    return found if isinstance(found, SourceMilestone) else None


def snapshot_of(deployment: Deployment, pair: Pair, links: Mapping[int, Link]) -> Snapshot:
    """The milestones of these links, as both sides were read last."""
    alive = [one for one in links.values() if one.has_target and one.observed]
    return Snapshot(
        deployment.rules(zone_of(deployment, pair)),
        SourceListing(_sources(links.values()), complete=False),
        Links(links),
        TargetSnapshot({one.testably_id or "": _as_observed(one) for one in alive}, listed=False),
        deployment.clock.now(),
        policy=deployment.policy,
        whole_project=False,
    )


def family_of(deployment: Deployment, pair: Pair, link: Link) -> dict[int, Link]:
    """The link with those above and below it: what its plan depends on."""
    family = {link.testrail_id: link, **links_below(deployment.store.engine, pair.id, link)}
    for _ in range(_HIGHEST):
        sources = _sources(family.values())
        above = {one.parent_id for one in sources.values() if one.parent_id} - set(family)
        found = deployment.store.links(pair.id, above)
        if not found:
            break
        family.update(found)
    return family


def _sources(links: Iterable[Link]) -> dict[int, SourceMilestone]:
    there = {one.testrail_id: source_of(one) for one in links if not _is_gone(one)}
    return {id_: source for id_, source in there.items() if source is not None}


def _is_gone(link: Link) -> bool:
    """Whether TestRail has said that it does not exist any more, whatever became of its target."""
    is_in_use = link.problem is not None and link.problem.kind is ProblemKind.IN_USE
    return link.was_gone or link.archive_failed or is_in_use


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
