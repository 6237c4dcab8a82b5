"""What an undo holds: whether a run leaves it so, why, and what differs meanwhile (R9). Pure."""

from __future__ import annotations

from mappings.link import Link
from mappings.link_values import UNDONE
from mappings.milestone import ARCHIVED
from mappings.problem import WHOLE, Problem, ProblemKind
from worker.sync.decide.snapshot import Snapshot, is_archived
from worker.sync.decide.verdict import Verdict


def stays_held(snapshot: Snapshot, link: Link) -> bool:
    """Whether a run leaves it: a person's migration releases what nobody has accepted."""
    if not link.is_held:
        return False
    return not snapshot.options.by_person or as_read(snapshot, link).is_accepted


def is_taken_back(snapshot: Snapshot, link: Link) -> bool:
    """Whether its target is archived and stays so: nothing alive is to come below it."""
    live = snapshot.live(link)
    as_seen = link.observed.get("status") == ARCHIVED if live is None else is_archived(live)
    return stays_held(snapshot, link) and as_seen


def why_held(link: Link) -> Problem:
    """Why an undo holds this milestone: it took it back, could not, or left it to its editor."""
    if link.problem is not None and link.problem.kind.is_hold:
        return link.problem
    return Problem(ProblemKind.HELD, UNDONE)


def as_read(snapshot: Snapshot, link: Link) -> Link:
    """The link of a held milestone with what both sides show of it now."""
    source, live = snapshot.source.milestones.get(link.testrail_id), snapshot.live(link)
    if source is not None:
        link = link.read_from(source, has_children=snapshot.has_children(source.id))
    if link.testably_id in snapshot.target.gone:
        return link.seen_without_target()
    return link if live is None else link.seen_as(live)


def verdict_of(seen: Link) -> Verdict:
    """What each difference of a held milestone means, as it was read now."""
    return Verdict.ACCEPTED if seen.is_accepted else Verdict.HELD


def as_kept(snapshot: Snapshot, seen: Link) -> Link:
    """The link as it is kept: with why it is held, and with what a person accepted of it."""
    accepted = {WHOLE: seen.field_problems[WHOLE]} if seen.is_accepted else {}
    return seen.with_field_problems(accepted).with_problem(why_held(seen), snapshot.now)
