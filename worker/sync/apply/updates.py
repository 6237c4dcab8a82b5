"""Doing one action. Each function returns the link as it then stands, and what a person is told.

They raise LostClaimError, or the ApiError that ended the attempt; the journal tells by then.
"""

from __future__ import annotations

from dataclasses import replace

from mappings.link import Link, LinkState, Problem
from mappings.milestone import ARCHIVED, DATE_FIELDS, Values, same_value
from mappings.rows import Change, ChangeState
from worker.errors import NotFound, Refused
from worker.sync.apply.writer import LostLeaseError, TargetWriter, tell_write
from worker.sync.decide.action import Action

Done = tuple[Link, tuple[Problem, ...]]


def adopt(writer: TargetWriter, action: Action, link: Link) -> Done:
    """Link a target that is there already, then push what differs."""
    now = writer.clock.now()
    change = Change(
        writer.run_id,
        link.testrail_id,
        action.testably_id,
        "adopt",
        {},
        {},
        now,
        state=ChangeState.DONE,
        note=action.reason,
        settled_at=now,
    )
    leased = writer.store.lease(writer.pair.id, link, change, None)
    if leased is None:
        raise LostLeaseError
    tell_write("adopt", link.testrail_id, action.testably_id, outcome="done")
    return update(writer, action, leased[0])


def update(writer: TargetWriter, action: Action, link: Link) -> Done:
    """PATCH the action's fields; if the whole is refused, what can be without the doubtful ones.

    Doubtful are a null (whether that clears a field is not documented), a status, and the dates
    of a milestone with sub-milestones. A refused one is recorded, told, and never sent again
    until the source wants another value; the other fields go without it.
    """
    if not action.push:
        return link, ()
    try:
        linked = writer.patch(link, action.push, action.before, edited=action.edited)
        return linked, _not_shown(linked, action.push, action.before)
    except Refused as error:
        doubtful = [name for name in action.push if _is_doubtful(name, action.push[name])]
        if not doubtful:
            raise
        return _one_by_one(writer, action, doubtful, error)


def _one_by_one(writer: TargetWriter, action: Action, doubtful: list[str], error: Refused) -> Done:
    link = writer.reload(action.testrail_id)
    told: list[Problem] = []
    safe = {name: value for name, value in action.push.items() if name not in doubtful}
    if safe:
        link = writer.patch(link, safe, action.before, edited=action.edited)
    for name in doubtful:
        value = action.push[name]
        try:
            if len(action.push) == 1:
                raise error
            link = writer.patch(link, {name: value}, action.before, edited=action.edited)
            told.extend(_not_shown(link, {name: value}, action.before))
        except Refused as refusal:
            link = writer.reload(action.testrail_id)
            link = writer.keep(replace(link, refused={**link.refused, name: value}))
            told.append(_not_taken(name, value, refusal))
    return link, tuple(told)


def _is_doubtful(name: str, value: str | None) -> bool:
    return value is None or name == "status" or name in DATE_FIELDS


def _not_shown(link: Link, last_applied: Values, before: Values) -> tuple[Problem, ...]:
    """Values that were accepted and changed nothing cannot be told from those that are refused."""
    return tuple(
        _ignored(name, value)
        for name, value in last_applied.items()
        if _is_doubtful(name, value)
        and not same_value(name, value, link.observed.get(name))
        and not (name == "status" and _came_back(link, before))
    )


def _came_back(link: Link, before: Values) -> bool:
    """Whether it was archived and is not any more; a parent's status is then derived again."""
    return before.get("status") == ARCHIVED != link.observed.get("status")


def _ignored(name: str, value: str | None) -> Problem:
    if value is None:
        text = f"Testably took the empty {name} and still shows a value."
        return Problem("cannot_be_cleared", text)
    text = f"Testably took the {name} {value} and shows another; it may derive it."
    return Problem("not_taken", text)


def _not_taken(name: str, value: str | None, refusal: Refused) -> Problem:
    if not value:
        text = f"The {name} cannot be cleared in Testably. Clear it there by hand."
        return Problem("cannot_be_cleared", f"{text} ({refusal.message})")
    text = f"Testably does not take the {name} {value}; it may derive it from sub-milestones."
    return Problem("not_taken", f"{text} ({refusal.message})")


def finish_status(writer: TargetWriter, action: Action, link: Link) -> Done:
    """Write the status at the end; POST takes none."""
    before = {"status": link.observed.get("status")}
    push = {"status": action.wanted["status"]}
    return update(writer, replace(action, push=push, before=before), link)


def archive(writer: TargetWriter, action: Action, link: Link) -> Done:
    """Archive, once: a refusal leaves the milestone where it is and is told."""
    try:
        linked = writer.patch(link, action.push, action.before, "archive", conclude=_archived)
    except NotFound:
        gone = replace(writer.reload(link.testrail_id), state=LinkState.ARCHIVED)
        return writer.keep(gone), ()
    except Refused as error:
        left = replace(writer.reload(link.testrail_id), state=LinkState.ORPHANED)
        return writer.keep(left), (_not_archived(left, error.message),)
    if linked.state is LinkState.ARCHIVED:
        return linked, ()
    why = f"it answered with the status {linked.observed.get('status')}"
    return linked, (_not_archived(linked, why),)


def _archived(link: Link) -> Link:
    """Archived only if the target says so; else it is left, and not tried again."""
    taken = link.observed.get("status") == ARCHIVED
    return replace(link, state=LinkState.ARCHIVED if taken else LinkState.ORPHANED)


def _not_archived(link: Link, why: str) -> Problem:
    text = f"{link.testably_id} cannot be archived in Testably ({why}). Archive it there by hand."
    return Problem("cannot_be_archived", text)
