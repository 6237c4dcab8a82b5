"""What to do about records that cannot be read and milestones that are gone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mappings.link import Link, LinkState, Problem
from mappings.milestone import ARCHIVED, BadRecord, Values
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.rules import is_archived
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import OnSourceDelete, Options

GONE = "TestRail answers that it does not exist any more."


def unreadable(snapshot: Snapshot) -> Iterator[Action]:
    """A quarantine for each record that is not a milestone."""
    for record in snapshot.source.problems:
        if record.id not in snapshot.source.milestones:
            yield _unreadable(snapshot, record)


def _unreadable(snapshot: Snapshot, record: BadRecord) -> Action:
    problem = Problem("bad_record", f"{record.path}: {record.reason} ({record.value})")
    if not isinstance(record.id, int):
        return Action(Kind.QUARANTINE, 0, record.name, problem.reason, problem=problem)
    before = snapshot.links.get(record.id)
    link = before or Link(record.id, name=record.name)
    link = with_trouble(replace(link, raw=dict(record.raw)), problem, snapshot)
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


def absent(snapshot: Snapshot) -> Iterator[Action]:
    """An action for each link whose milestone is missing; only a whole list tells that."""
    if not snapshot.whole_project or snapshot.options.only is not None:
        return
    known = {problem.id for problem in snapshot.source.problems} | set(snapshot.source.milestones)
    missing = [link for id_, link in snapshot.links.items() if id_ not in known]
    missing.sort(key=lambda link: (link.target_parent is None, link.testrail_id))
    for link in missing:
        action = _missing(snapshot, link)
        if action is not None:
            yield action


def _missing(snapshot: Snapshot, link: Link) -> Action | None:
    if is_followed(link, snapshot.options) and link.testrail_id in snapshot.gone:
        return _gone(snapshot, link)
    if not snapshot.source.complete:
        return None
    if not is_followed(link, snapshot.options):
        return _forgotten(link)
    reason = snapshot.unproved.get(link.testrail_id, "It was not looked for.")
    text = f"It is missing from TestRail's list, but not proved to be gone. {reason}"
    return _about(Kind.SKIP, text, link, problem=Problem("absence_unproved", text))


def is_followed(link: Link, options: Options) -> bool:
    """Whether its target follows its source; what an undo took back does when a person migrates."""
    if link.state is LinkState.CREATING:
        return True
    released = link.state is LinkState.HELD and options.by_person
    return link.has_target and (link.state is LinkState.LINKED or released)


def _forgotten(link: Link) -> Action | None:
    """A record that never had a target and is gone needs nobody any more."""
    if link.problem is None or link.state is not LinkState.UNLINKED:
        return None
    reason = "It is not in TestRail's list any more, and never had a target."
    return _about(Kind.SKIP, reason, replace(link, problem=None), learned=True)


def _gone(snapshot: Snapshot, link: Link) -> Action:
    actual = snapshot.target.milestones.get(link.testably_id or "")
    if snapshot.policy.on_source_delete is OnSourceDelete.KEEP:
        if link.state is LinkState.CREATING:
            return _about(Kind.SKIP, f"{GONE} Its create was cut off.", link)
        kept = replace(link, state=LinkState.ORPHANED)
        return _about(Kind.SKIP, f"{GONE} Kept in Testably.", kept, learned=True)
    if link.state is LinkState.CREATING:
        reason = f"{GONE} Its create was cut off; what that left behind goes as well."
        return _about(Kind.ARCHIVE, reason, link, push={"status": ARCHIVED})
    gone_too = link.testably_id in snapshot.target.gone
    if gone_too or (actual is not None and is_archived(actual)):
        archived = replace(link, state=LinkState.ARCHIVED)
        return _about(Kind.SKIP, f"{GONE} Archived already.", archived, learned=True)
    before = link.observed if actual is None else actual.values
    status = {"status": before.get("status")}
    return _about(Kind.ARCHIVE, GONE, link, push={"status": ARCHIVED}, before=status)


def _about(
    kind: Kind,
    reason: str,
    link: Link,
    *,
    learned: bool = False,
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
        learned=learned,
        problem=problem,
    )


def with_trouble(link: Link, problem: Problem, snapshot: Snapshot) -> Link:
    """The link with its trouble; it keeps its age while it is of the same kind."""
    before = snapshot.links.get(link.testrail_id)
    if before is not None and before.problem is not None and before.problem.kind == problem.kind:
        return replace(link, problem=replace(before.problem, reason=problem.reason))
    return replace(link, problem=replace(problem, since=snapshot.now))
