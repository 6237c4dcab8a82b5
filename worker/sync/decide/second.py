"""Second targets: living ones, readable or not, with the marker of a milestone that has one. Pure.

What cannot be read is found by a key of its own among those of `unread`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappings.link import Link
from mappings.problem import Problem, ProblemKind
from worker.sync.decide.snapshot import Snapshot

_SECOND: Final = "##"


def of_second(testrail_id: int) -> str:
    """The key under which the ids of living unreadable records with this milestone's marker are."""
    return f"{_SECOND}{testrail_id}"


def unread_seconds(unread_for: Mapping[str, str], testrail_id: int) -> list[str]:
    """The ids of the living unreadable records that carry the marker of this milestone."""
    return unread_for.get(of_second(testrail_id), "").split()


def marked_by_unread(unread_for: Mapping[str, str]) -> list[int]:
    """The milestones whose markers living unreadable records carry."""
    return [int(key.removeprefix(_SECOND)) for key in unread_for if key.startswith(_SECOND)]


def second_target(snapshot: Snapshot, link: Link) -> Problem | None:
    """That other living targets carry the marker of a milestone that has one (R2).

    Where the lists were not read whole, as it was told last.
    """
    readable = (target.id for target in snapshot.duplicates(link.testrail_id))
    unread = unread_seconds(snapshot.target.unread_for, link.testrail_id)
    others = {*readable, *unread} - {link.testably_id}
    if not others:
        known, target = snapshot.link(link.testrail_id).problem, snapshot.target
        was_told = known is not None and known.kind is ProblemKind.SECOND_TARGET
        return known if was_told and not (target.listed and target.complete) else None
    ids = ", ".join(sorted(others))
    reason = f"{ids} in Testably carries its TestRail address too, beside {link.testably_id}."
    return Problem(ProblemKind.SECOND_TARGET, reason)
