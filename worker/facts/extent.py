"""How far a run came, and so of how many milestones its report may speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.overview import ENDED_WELL
from mappings.problem import ProblemKind
from worker.sync.apply.outcome import NEEDS_PERSON, Result

if TYPE_CHECKING:
    from mappings.run_record import RunRecord


class Reach(StrEnum):
    """Of what a run can speak."""

    WHOLE = "whole"
    """It came to its end, and had read every milestone of TestRail."""
    PART = "part"
    """It came to its end and was about a part, or could not read the whole list."""
    EARLY = "early"
    """It did not come to its end, or has not yet: what it had still to do is not recorded."""


@dataclass(frozen=True, slots=True)
class Extent:
    """``there`` milestones are in Testably, of a ``total`` that the run was about.

    ``total`` is None where nobody knows it: then ``there`` are those of the whole pair.
    """

    reach: Reach
    there: int
    total: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all that TestRail has is known to be in Testably."""
        return self.reach is Reach.WHOLE and self.there == self.total


def extent_of(run: RunRecord, links: Mapping[int, Link]) -> Extent:
    """How far the run came; ``links`` are all of its pair."""
    reach = _reach(run)
    there = sum(map(_is_there, links.values()))
    if reach is Reach.EARLY or _is_unread(run):
        return Extent(reach, there)
    if reach is Reach.WHOLE:
        return Extent(reach, there, _known(run, links))
    if run.options.get("only"):
        total = sum(run.counts.values())
        return Extent(reach, total - _missing(run, links), total)
    return Extent(reach, there)


def _reach(run: RunRecord) -> Reach:
    """A rebuild plans no writes and an undo reads no list: neither is about the whole project."""
    if run.state not in ENDED_WELL:
        return Reach.EARLY
    has_plan = run.exclusive and run.planned is not None and not run.options.get("only")
    return Reach.WHOLE if has_plan and not _is_unread(run) else Reach.PART


def _is_unread(run: RunRecord) -> bool:
    return any(one["kind"] == ProblemKind.SOURCE_INCOMPLETE for one in run.problems)


def _known(run: RunRecord, links: Mapping[int, Link]) -> int:
    """How many milestones TestRail has: those that are linked, and those that are kept out."""
    linked = sum(not (one.was_gone or one.state is LinkState.UNLINKED) for one in links.values())
    kept_out = _blocked(run) & links.keys()
    return linked + sum(links[id_].state is LinkState.UNLINKED for id_ in kept_out)


def _missing(run: RunRecord, links: Mapping[int, Link]) -> int:
    """How many of the milestones that the run was about are not in Testably."""
    without = sum(not _is_there(links.get(id_)) for id_ in _blocked(run))
    return without + run.counts.get(Result.HELD, 0)


def _blocked(run: RunRecord) -> set[int]:
    """The milestones of TestRail that something kept back; a list with others is not whole."""
    return {
        one["testrail_id"]
        for one in run.problems
        if one.get("result") in NEEDS_PERSON
        and one["testrail_id"] is not None
        and one["kind"] != ProblemKind.SOURCE_GONE
    }


def _is_there(link: Link | None) -> bool:
    return link is not None and link.has_target and link.state is LinkState.LINKED
