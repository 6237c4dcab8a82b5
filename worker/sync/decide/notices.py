"""What a person is told beside an action that goes on all the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.link import Link, Problem
from mappings.milestone import SourceMilestone, TargetMilestone
from worker.sync.decide.merge import Decision
from worker.sync.decide.rules import Standings


def tell(
    source: SourceMilestone,
    decision: Decision,
    actual: TargetMilestone | None,
    standings: Standings,
) -> tuple[Link, tuple[Problem, ...]]:
    """What is told beside the action; a move only once for each new parent."""
    notices = []
    link = decision.link
    moved = _moved(source, link, actual, standings)
    if moved is not None:
        place = str(standings.places[source.id].parent_id or "root")
        if link.told.get("moved") != place:
            notices.append(moved)
            link = replace(link, told={**link.told, "moved": place})
    elif "moved" in link.told:
        link = replace(link, told={k: v for k, v in link.told.items() if k != "moved"})
    notices.extend(_second_targets(source, link, standings))
    if decision.kept:
        names = ", ".join(decision.kept)
        notices.append(Problem("target_edit_kept", f"Edited in Testably and kept: {names}."))
    return link, tuple(notices)


def _moved(
    source: SourceMilestone, link: Link, actual: TargetMilestone | None, standings: Standings
) -> Problem | None:
    parent_id = standings.places[source.id].parent_id
    if standings.places[source.id].problem is not None:
        return None
    expected = None if parent_id is None else standings.of(parent_id).testably_id
    is_now = link.target_parent if actual is None else actual.parent_id
    if expected == is_now and (parent_id is None or expected is not None):
        return None
    where = f"under {parent_id}" if parent_id is not None else "at the root"
    reason = (
        f"In TestRail it is {where} now; Testably's API cannot move a milestone. "
        f"Move {link.testably_id} by hand in Testably; it is kept up to date where it is."
    )
    return Problem("moved", reason)


def _second_targets(source: SourceMilestone, link: Link, standings: Standings) -> Iterator[Problem]:
    for twin in standings.twins(source.id):
        if twin.id != link.testably_id:
            reason = (
                f"{twin.id} in Testably carries its marker too, beside {link.testably_id}. "
                "Archive the one that is not wanted."
            )
            yield Problem("second_target", reason)
