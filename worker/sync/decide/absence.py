"""What to do about records that cannot be read and milestones that are gone. Pure.

Absence is proved, never inferred (R4); what people work in is not taken away (R12).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from mappings.dates import moment
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import ARCHIVED, BadRecord, TargetMilestone, Values
from mappings.problem import Problem, ProblemKind
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.differences import Comparison, Sides, compare
from worker.sync.decide.holds import as_kept, as_read, stays_held, verdict_of, why_held
from worker.sync.decide.second import second_target
from worker.sync.decide.snapshot import Snapshot, is_archived
from worker.sync.decide.verdict import Difference, Verdict
from worker.sync.options import OnSourceDelete, Options

GONE = "TestRail answers that it does not exist any more."
ENDED_RUNS = frozenset({"completed", "closed", "passed", "failed", "archived", "cancelled"})
"""The statuses of a test run that is over; any other may be worked in."""


def unreadable(snapshot: Snapshot) -> Iterator[Action]:
    """A quarantine for each record that is not a milestone."""
    for record in snapshot.source.problems:
        if record.id not in snapshot.source.milestones:
            yield _unreadable(snapshot, record)


def _unreadable(snapshot: Snapshot, record: BadRecord) -> Action:
    problem = Problem(ProblemKind.BAD_RECORD, _what_is_wrong(record))
    if not isinstance(record.id, int):
        return Action(Kind.QUARANTINE, 0, record.name, problem.reason, problem=problem)
    before = snapshot.links.get(record.id)
    link = (before or Link(record.id)).with_raw(record).with_problem(problem, snapshot.now)
    return Action(
        Kind.QUARANTINE,
        record.id,
        record.name,
        problem.reason,
        testably_id=link.testably_id,
        link=link,
        learned=link != before,
        problem=problem,
    )


def _what_is_wrong(record: BadRecord) -> str:
    """The reason; without the place in the list, which shifts, where an id tells the record."""
    value = f" ({record.value})" if record.value else ""
    if isinstance(record.id, int):
        return f"In TestRail its {record.reason}{value}."
    return f"A record of TestRail's list cannot be read, {record.path}: {record.reason}{value}."


def orphans(snapshot: Snapshot) -> Iterator[Action]:
    """A conflict for each TestRail id that only a marker in Testably still names.

    The ids that were asked for and are gone are in the snapshot; nobody else is concluded from.
    What an undo holds is told by `held` alone.
    """
    for testrail_id in sorted(snapshot.gone - set(snapshot.source.milestones)):
        link = snapshot.link(testrail_id)
        alive = snapshot.duplicates(testrail_id)
        is_elsewhere = link.has_target or link.state is LinkState.CREATING
        if is_elsewhere or stays_held(snapshot, link):
            continue
        if not alive:
            if link.problem is not None and link.problem.kind is ProblemKind.SOURCE_GONE:
                yield _about(Kind.SKIP, GONE, link, link.with_problem(None, snapshot.now))
            continue
        problem = _names_it(sorted(target.id for target in alive))
        told = link.with_problem(problem, snapshot.now)
        yield _about(Kind.CONFLICT, problem.reason, link, told, problem=problem)


def absent(snapshot: Snapshot) -> Iterator[Action]:
    """An action for each link whose milestone is missing; only a whole list tells that."""
    if not snapshot.whole_project or snapshot.options.only is not None:
        return
    known = {problem.id for problem in snapshot.source.problems} | set(snapshot.source.milestones)
    missing = [link for id_, link in snapshot.links.complete.items() if id_ not in known]
    missing.sort(key=lambda link: (link.target_parent is None, link.testrail_id))
    for link in missing:
        action = _missing(snapshot, link)
        if action is not None:
            yield action


def _missing(snapshot: Snapshot, link: Link) -> Action | None:
    if stays_held(snapshot, link) and not _is_over(snapshot, link):
        return held(snapshot, link)
    followed = is_followed(link, snapshot.options)
    if link.testrail_id in snapshot.gone and (followed or link.has_target):
        return _with_second(snapshot, _gone(snapshot, link))
    if not snapshot.source.complete:
        return None
    if not followed:
        names_it = link.testrail_id in snapshot.gone and snapshot.duplicates(link.testrail_id)
        return None if names_it else _forgotten(snapshot, link)
    reason = snapshot.unproved.get(link.testrail_id, "TestRail was not asked for it in this run.")
    text = f"It is missing from TestRail's list, but not proved to be gone. {reason}"
    problem = Problem(ProblemKind.ABSENCE_UNPROVED, text)
    told = link.with_problem(problem, snapshot.now)
    return _about(Kind.SKIP, text, link, told, problem=problem)


def _is_over(snapshot: Snapshot, link: Link) -> bool:
    """Whether neither side has it any more."""
    id_ = link.testrail_id
    is_gone = id_ in snapshot.gone and not snapshot.duplicates(id_)
    return is_gone and not as_read(snapshot, link).has_target


def held(snapshot: Snapshot, link: Link) -> Action:
    """What an undo holds and TestRail's list does not name stays held as well (R9)."""
    seen, problem = as_read(snapshot, link), why_held(link)
    action = _about(Kind.SKIP, problem.reason, link, as_kept(snapshot, seen), problem=problem)
    difference = Difference.of_whole(verdict_of(seen), problem.reason)
    return replace(action, differences=(difference,))


def is_followed(link: Link, options: Options) -> bool:
    """Whether its target follows its source; what an undo took back does when a person migrates."""
    if link.state is LinkState.CREATING:
        return True
    released = link.state is LinkState.HELD and options.by_person
    return link.has_target and (link.state is LinkState.LINKED or released)


def _forgotten(snapshot: Snapshot, link: Link) -> Action | None:
    """A record that has no target and is gone needs nobody any more."""
    if link.problem is None or link.state not in (LinkState.UNLINKED, LinkState.HELD):
        return None
    reason = "It is not in TestRail's list any more, and has no target."
    ended = link.without_target().with_problem(None, snapshot.now)
    return _about(Kind.SKIP, reason, link, ended)


def _gone(snapshot: Snapshot, link: Link) -> Action:
    if link.state is LinkState.CREATING:
        return _gone_in_doubt(snapshot, link)
    live = snapshot.live(link)
    unseen = live is None and link.state is LinkState.ARCHIVED
    shown_archived = live is not None and is_archived(live)
    if unseen or shown_archived or link.testably_id in snapshot.target.gone:
        ended = _answered(snapshot, link, live).archived()
        return _about(Kind.SKIP, f"{GONE} Archived already.", link, ended)
    if snapshot.policy.on_source_delete is OnSourceDelete.KEEP:
        return _kept(link, live)
    why = snapshot.target.unproved.get(link.testably_id or "")
    if why is not None:
        problem = not_read(GONE, why)
        told = link.with_problem(problem, snapshot.now)
        return _about(Kind.SKIP, problem.reason, link, told, problem=problem)
    if link.problem is not None and link.problem.rests(snapshot.now):
        problem = link.problem
        action = _about(Kind.QUARANTINE, problem.reason, link, link, problem=problem)
        return replace(action, differences=_to_archive(link, live).differences)
    return _archive(snapshot, link.linked(), live)


def _answered(snapshot: Snapshot, link: Link, live: TargetMilestone | None) -> Link:
    """With the answer that its archive did not get, where its target shows what that did (R1).

    So it is opened again if its source comes back, although the lists may leave it out by then.
    """
    is_ours = (link.in_flight or {}).get("status") == ARCHIVED
    if live is None or not (is_ours and is_archived(live)):
        return link
    return link.updated({"status": ARCHIVED}, live, moment(snapshot.now.isoformat()))


def _with_second(snapshot: Snapshot, action: Action) -> Action:
    """With what else carries its marker, unless something else is wrong with it already."""
    link = action.link
    if link is None or not link.has_target or action.problem is not None:
        return action
    problem = second_target(snapshot, link)
    was_told = link.problem is not None and link.problem.kind is ProblemKind.SECOND_TARGET
    if problem is None and not was_told:
        return action
    told = link.with_problem(problem, snapshot.now)
    learned = told != snapshot.link(link.testrail_id)
    return replace(action, link=told, problem=problem, learned=learned)


def _gone_in_doubt(snapshot: Snapshot, link: Link) -> Action:
    if link.awaits_person and link.problem is not None:
        reason = f"{GONE} {link.problem.reason}"
        return _about(Kind.CONFLICT, reason, link, link, problem=link.problem)
    if snapshot.policy.on_source_delete is OnSourceDelete.KEEP:
        return _kept_in_doubt(snapshot, link)
    reason = f"{GONE} Its create was cut off; what that left behind goes as well."
    problem = Problem(ProblemKind.IN_DOUBT, reason)
    return _about(Kind.ARCHIVE, reason, link, link, push={"status": ARCHIVED}, problem=problem)


def _kept_in_doubt(snapshot: Snapshot, link: Link) -> Action:
    """What the create left stays, if one alone can be it; of several a person tells which."""
    alive = snapshot.duplicates(link.testrail_id)
    unreadable = snapshot.target.unreadable.living.get(link.testrail_id, ())
    ids = sorted({*(target.id for target in alive), *unreadable})
    if len(ids) > 1:
        problem = _names_it(ids)
        told = link.with_problem(problem, snapshot.now)
        return _about(Kind.CONFLICT, problem.reason, link, told, problem=problem)
    told = link.with_problem(None, snapshot.now)
    action = _about(Kind.SKIP, f"{GONE} Its create was cut off.", link, told)
    if not alive:
        return action
    kept = Difference("status", ARCHIVED, alive[0].values["status"], Verdict.KEPT)
    return replace(action, testably_id=alive[0].id, differences=(kept,))


def _names_it(ids: Sequence[str]) -> Problem:
    """That a milestone that is gone is still named by the markers of these targets."""
    reason = f"{GONE} {', '.join(ids)} in Testably carries its TestRail address."
    return Problem(ProblemKind.SOURCE_GONE, reason)


def _kept(link: Link, live: TargetMilestone | None) -> Action:
    status = link.observed.get("status") if live is None else live.values["status"]
    kept = Difference("status", ARCHIVED, status, Verdict.KEPT)
    action = _about(Kind.SKIP, f"{GONE} Kept in Testably.", link, link.orphaned())
    return replace(action, differences=(kept,))


def _archive(snapshot: Snapshot, link: Link, live: TargetMilestone | None) -> Action:
    """Archive it, unless people work in it or Testably has refused it."""
    since = moment(snapshot.now.isoformat())
    sides = Sides(link, {"status": ARCHIVED}, live, snapshot.policy.on_target_edit, since)
    before = snapshot.link(link.testrail_id)
    again = _was_archived(before)
    compared = compare(sides) if again or link.archive_failed else _to_archive(link, live)
    used = None
    if compared.push and live is not None and not snapshot.options.archive_in_use:
        used = used_by(live, snapshot.links.by_target.keys())
    if used is not None:
        problem = Problem(ProblemKind.IN_USE, f"{GONE} {used}")
        told = compared.link.with_problem(problem, snapshot.now)
        return _about(Kind.CONFLICT, problem.reason, link, told, problem=problem)
    if compared.push:
        now = {one.field: one.live for one in compared.differences}
        action = _about(Kind.ARCHIVE, GONE, link, compared.link, push=compared.push, before=now)
    else:
        why = " ".join(one.reason for one in compared.differences)
        # What a person brought back stays known as archived, so that it is kept the next time too.
        ended = (before if again else compared.link).with_problem(None, snapshot.now)
        action = _about(Kind.SKIP, f"{GONE} {why}", before, ended)
    return replace(action, differences=compared.differences)


def _was_archived(link: Link) -> bool:
    """Whether it was archived when its source had gone, so that a person has brought it back."""
    by_us = link.last_applied.get("status") == ARCHIVED
    return link.state is LinkState.ARCHIVED or (link.state is LinkState.ORPHANED and by_us)


def _to_archive(link: Link, live: TargetMilestone | None) -> Comparison:
    """The first time: whoever edited the milestone meanwhile, its source is gone."""
    status = link.observed.get("status") if live is None else live.values["status"]
    push = Difference("status", ARCHIVED, status, Verdict.PUSH)
    return Comparison(link, (push,))


def not_read(about: str, why: str) -> Problem:
    """That nothing is done ``about`` a milestone, as its target's detail cannot be read (R12)."""
    return Problem(ProblemKind.UNREAD, f"{about} Its target could not be read: {why}")


def used_by(live: TargetMilestone, ours: Collection[str | None]) -> str | None:
    """Why a target must not be archived without a person's word (R12), or None.

    ``ours`` are the ids of all linked targets.
    """
    open_runs = [r for r in live.linked_runs if r.status.strip().lower() not in ENDED_RUNS]
    if open_runs:
        names = ", ".join(f"{run.name or run.id} ({run.status})" for run in open_runs[:3])
        return f"Test runs that are not over hang on {live.id} in Testably: {names}."
    foreign = [s for s in live.sub_milestones if s.id not in ours and not is_archived(s)]
    if foreign:
        names = ", ".join(f"{sub.name or sub.id}" for sub in foreign[:3])
        return f"{live.id} in Testably has sub-milestones that people made: {names}."
    return None


def _about(
    kind: Kind,
    reason: str,
    known: Link,
    link: Link,
    *,
    push: Values | None = None,
    before: Values | None = None,
    problem: Problem | None = None,
) -> Action:
    return Action(
        kind,
        link.testrail_id,
        link.name,
        reason,
        testably_id=link.testably_id,
        push=push or {},
        before=before or {},
        link=link,
        learned=link != known,
        problem=problem,
    )
