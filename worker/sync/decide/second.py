"""Second targets: living ones, readable or not, with the marker of a milestone that has one."""

from __future__ import annotations

from mappings.link import Link
from mappings.problem import Problem, ProblemKind
from worker.sync.decide.snapshot import Snapshot


def second_target(snapshot: Snapshot, link: Link) -> Problem | None:
    """That other living targets carry the marker of a milestone that has one (R2).

    Where the lists were not read whole, as it was told last.
    """
    readable = (target.id for target in snapshot.duplicates(link.testrail_id))
    unreadable = snapshot.target.unreadable.living.get(link.testrail_id, ())
    others = {*readable, *unreadable} - {link.testably_id}
    if not others:
        known, target = snapshot.link(link.testrail_id).problem, snapshot.target
        was_told = known is not None and known.kind is ProblemKind.SECOND_TARGET
        return known if was_told and not target.listed_whole else None
    ids = ", ".join(sorted(others))
    reason = f"{ids} in Testably carries its TestRail address too, beside {link.testably_id}."
    return Problem(ProblemKind.SECOND_TARGET, reason)
