"""Which milestones need no decision, because both sides are as they were when they last agreed.

A pair in step costs a run little more than reading it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mappings.fingerprints import fingerprint_of_source, fingerprint_of_target
from mappings.footer import marked_id
from mappings.link import Link
from mappings.milestone import MappingRules, TargetMilestone
from worker.sync.ports import SourceListing


def still_agreed(
    links: Mapping[int, Link],
    listing: SourceListing,
    targets: Mapping[str, TargetMilestone],
    rules: MappingRules,
    *,
    read: bool,
    source_parents: frozenset[int],
) -> frozenset[int]:
    """The TestRail ids whose fingerprints are those of the last agreement.

    ``read`` says that the target was read now; otherwise it stands as it was. Left out are
    parents on either side (Testably derives their values, and a first sub-milestone changes their
    footer), and what a second target claims to be.
    """
    parents = _parents(links.values(), targets.values())
    claimed = _claimed(links.values(), targets.values(), rules)
    return frozenset(
        id_
        for id_, link in links.items()
        if link.is_outline
        and link.testably_id not in parents
        and id_ not in source_parents
        and id_ not in claimed
        and id_ in listing.milestones
        and fingerprint_of_source(listing.milestones[id_]) == link.source_fingerprint
        and _target_agrees(link, targets, read=read)
    )


def _target_agrees(link: Link, targets: Mapping[str, TargetMilestone], *, read: bool) -> bool:
    actual = targets.get(link.testably_id or "")
    if actual is None:
        return not read
    return fingerprint_of_target(actual) == link.target_fingerprint


def _parents(links: Iterable[Link], targets: Iterable[TargetMilestone]) -> set[str | None]:
    return {link.target_parent for link in links} | {target.parent_id for target in targets}


def _claimed(
    links: Iterable[Link], targets: Iterable[TargetMilestone], rules: MappingRules
) -> set[int | None]:
    """The TestRail ids that the markers of unlinked targets name."""
    linked = {link.testably_id for link in links}
    free = (target for target in targets if target.id not in linked)
    return {marked_id(target.description, rules.testrail_url) for target in free}
