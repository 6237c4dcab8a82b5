"""Doing one action. Each function returns the link as it then stands, and what a person is told.

They raise LostClaimError, or the ApiError that ended the attempt; the journal tells by then.
"""

from __future__ import annotations

from dataclasses import replace

from mappings.link import Link, LinkState, Trouble
from mappings.milestone import ARCHIVED, DATE_FIELDS, Values, same_value
from mappings.rows import Change, ChangeState
from worker.errors import NotFound, Refused
from worker.sync.action import Action
from worker.sync.journal import Journal, LostClaimError, tell_write

Done = tuple[Link, tuple[Trouble, ...]]


def adopt(journal: Journal, action: Action, link: Link) -> Done:
    """Link a target that is there already, then push what differs."""
    now = journal.clock.now()
    change = Change(
        journal.run_id,
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
    claimed = journal.store.claim(journal.pair.id, link, change, None)
    if claimed is None:
        raise LostClaimError
    tell_write("adopt", link.testrail_id, action.testably_id, outcome="done")
    return update(journal, action, claimed[0])


def update(journal: Journal, action: Action, link: Link) -> Done:
    """PATCH the action's fields; if the whole is refused, what can be without the doubtful ones.

    Doubtful are a null (whether that clears a field is not documented), a status, and the dates
    of a milestone with sub-milestones. A refused one is recorded, told, and never sent again
    until the source wants another value; the other fields go without it.
    """
    if not action.push:
        return link, ()
    try:
        linked = journal.patch(link, action.push, action.before, edited=action.edited)
        return linked, _not_shown(linked, action.push, action.before)
    except Refused as error:
        doubtful = [name for name in action.push if _is_doubtful(name, action.push[name])]
        if not doubtful:
            raise
        return _one_by_one(journal, action, doubtful, error)


def _one_by_one(journal: Journal, action: Action, doubtful: list[str], error: Refused) -> Done:
    link = journal.reload(action.testrail_id)
    told: list[Trouble] = []
    safe = {name: value for name, value in action.push.items() if name not in doubtful}
    if safe:
        link = journal.patch(link, safe, action.before, edited=action.edited)
    for name in doubtful:
        value = action.push[name]
        try:
            if len(action.push) == 1:
                raise error
            link = journal.patch(link, {name: value}, action.before, edited=action.edited)
            told.extend(_not_shown(link, {name: value}, action.before))
        except Refused as refusal:
            link = journal.reload(action.testrail_id)
            link = journal.keep(replace(link, refused={**link.refused, name: value}))
            told.append(_not_taken(name, value, refusal))
    return link, tuple(told)


def _is_doubtful(name: str, value: str | None) -> bool:
    return value is None or name == "status" or name in DATE_FIELDS


def _not_shown(link: Link, pushed: Values, before: Values) -> tuple[Trouble, ...]:
    """Values that were accepted and changed nothing cannot be told from those that are refused."""
    return tuple(
        _ignored(name, value)
        for name, value in pushed.items()
        if _is_doubtful(name, value)
        and not same_value(name, value, link.echoed.get(name))
        and not (name == "status" and _came_back(link, before))
    )


def _came_back(link: Link, before: Values) -> bool:
    """Whether it was archived and is not any more; a parent's status is then derived again."""
    return before.get("status") == ARCHIVED != link.echoed.get("status")


def _ignored(name: str, value: str | None) -> Trouble:
    if value is None:
        text = f"Testably took the empty {name} and still shows a value."
        return Trouble("cannot_be_cleared", text)
    text = f"Testably took the {name} {value} and shows another; it may derive it."
    return Trouble("not_taken", text)


def _not_taken(name: str, value: str | None, refusal: Refused) -> Trouble:
    if not value:
        text = f"The {name} cannot be cleared in Testably. Clear it there by hand."
        return Trouble("cannot_be_cleared", f"{text} ({refusal.message})")
    text = f"Testably does not take the {name} {value}; it may derive it from sub-milestones."
    return Trouble("not_taken", f"{text} ({refusal.message})")


def finish_status(journal: Journal, action: Action, link: Link) -> Done:
    """Write the status at the end; POST takes none."""
    before = {"status": link.echoed.get("status")}
    push = {"status": action.wanted["status"]}
    return update(journal, replace(action, push=push, before=before), link)


def archive(journal: Journal, action: Action, link: Link) -> Done:
    """Archive, once: a refusal leaves the milestone where it is and is told."""
    try:
        linked = journal.patch(link, action.push, action.before, "archive", conclude=_archived)
    except NotFound:
        gone = replace(journal.reload(link.testrail_id), state=LinkState.ARCHIVED)
        return journal.keep(gone), ()
    except Refused as error:
        left = replace(journal.reload(link.testrail_id), state=LinkState.ORPHANED)
        return journal.keep(left), (_not_archived(left, error.message),)
    if linked.state is LinkState.ARCHIVED:
        return linked, ()
    why = f"it answered with the status {linked.echoed.get('status')}"
    return linked, (_not_archived(linked, why),)


def _archived(link: Link) -> Link:
    """Archived only if the target says so; else it is left, and not tried again."""
    taken = link.echoed.get("status") == ARCHIVED
    return replace(link, state=LinkState.ARCHIVED if taken else LinkState.ORPHANED)


def _not_archived(link: Link, why: str) -> Trouble:
    text = f"{link.testably_id} cannot be archived in Testably ({why}). Archive it there by hand."
    return Trouble("cannot_be_archived", text)
