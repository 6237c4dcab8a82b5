"""Adopting, updating and archiving one milestone. Each function returns its link as it then is.

They raise LostLeaseError, or the ApiError that ended the attempt; the journal tells by then. What
the target refuses or stores otherwise is a problem of that field in the link (R3).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta

from mappings.field_names import FIELD_NAMES
from mappings.link import Link
from mappings.milestone import (
    ACTIVE,
    ARCHIVED,
    DATE_FIELDS,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import FieldProblem, Problem, ProblemKind
from worker.errors import NotFound, Refused
from worker.sync.apply.creates import POSTED
from worker.sync.apply.writer import TargetWriter
from worker.sync.decide.absence import GONE, not_read, used_by
from worker.sync.decide.action import Action, Kind, is_completed
from worker.sync.ports import OfOne
from worker.sync.read.below import why_unread

FRESH = timedelta(minutes=5)
"""How long a reading of what hangs on a milestone may be old when it is archived (R12)."""

_SHORT = 60
"""Up to so many characters a refused value is told; of a longer one the field's name will do."""

OWN_AGAIN = "Its sub-milestones are gone, so its dates and its status are its own again."


class LeftError(Exception):
    """The milestone is left as it is for this problem; nothing was sent."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


def adopt(writer: TargetWriter, action: Action, link: Link) -> Link:
    """Link a target that is there already, then push what differs."""
    return update(writer, action, writer.adopt(link, action.reason))


def update(writer: TargetWriter, action: Action, link: Link) -> Link:
    """PATCH the action's fields; if the whole is refused, what is taken of it without the rest.

    A field that is refused alone as well is recorded. Raises Refused where nothing at all is taken
    and a name or a description was to be.
    """
    if not action.push:
        return link
    spoken = writer.open_word.uses_table
    try:
        return _patch(writer, action, link, action.push)
    except Refused as error:
        return _in_parts(writer, action, error, spoken)


def _in_parts(writer: TargetWriter, action: Action, error: Refused, spoken: bool) -> Link:
    refusals: dict[str, Refused] = {}
    left = deque(parts(action.push))
    while left:
        part = left.popleft()
        refusal = error if part == action.push else _refusal(writer, action, part)
        if refusal is None or _is_opened(writer, action, part, spoken):
            continue
        if len(part) > 1:
            left.extendleft([{name: value} for name, value in part.items()][::-1])
        else:
            refusals.update(dict.fromkeys(part, refusal))
    texts = [name for name, value in action.push.items() if not _is_doubtful(name, value)]
    if texts and len(refusals) == len(action.push):
        raise refusals[texts[0]]
    link = writer.reload(action.testrail_id)
    for name, refusal in refusals.items():
        link = _rejected(writer, action, name, refusal)
    return link


def _refusal(writer: TargetWriter, action: Action, part: Values) -> Refused | None:
    """Why the target refuses this part; None where it takes it."""
    try:
        _patch(writer, action, writer.reload(action.testrail_id), part)
    except Refused as refusal:
        return refusal
    return None


def _patch(writer: TargetWriter, action: Action, link: Link, values: Values) -> Link:
    own = action.own
    return writer.patch(
        link, values, action.before, conclude=lambda patched: patched.forgiving(own)
    )


def parts(values: Values) -> list[Values]:
    """What to send of a refused PATCH, one after the other; of what is refused again each alone.

    A status that opens the milestone comes first, since some targets take nothing else of one that
    is archived, and any other last. Dates go together: alone, one may stand before or after the
    other. A text that is null goes alone: whether that clears it is not documented.
    """
    status = {name: value for name, value in values.items() if name == "status"}
    opens, ends = (status, {}) if values.get("status") == ACTIVE else ({}, status)
    dates = {name: value for name, value in values.items() if name in DATE_FIELDS}
    others = {n: v for n, v in values.items() if n not in dates and n not in status}
    texts = {name: value for name, value in others.items() if value is not None}
    nulls = [{name: value} for name, value in others.items() if value is None]
    every: list[Values] = [opens, texts, dates, *nulls, ends]
    return [part for part in every if part]


def _is_opened(writer: TargetWriter, action: Action, part: Values, spoken: bool) -> bool:
    """Whether the part opens the milestone, and the other vocabulary's word, sent once, does it.

    ``spoken`` is the vocabulary that was refused; another item may have turned to the other.
    """
    if part != {"status": ACTIVE} or "status" in action.own:
        return False
    words = writer.open_word
    turns = words.uses_table == spoken
    if turns:
        words.turn()
    try:
        link = _patch(writer, action, writer.reload(action.testrail_id), part)
    except Refused:
        if turns:
            words.turn()
        return False
    if "status" not in link.field_problems:
        words.keep()
    return True


def _rejected(writer: TargetWriter, action: Action, name: str, refusal: Refused) -> Link:
    """Record the refusal, with the value that the target showed when it was decided to write."""
    link, value = writer.reload(action.testrail_id), action.push[name]
    if name in action.own:
        return writer.keep(link.left_to_target(name, value))
    known = link.sent.get(name)
    problem = FieldProblem(
        ProblemKind.REJECTED,
        value,
        action.before.get(name, link.observed.get(name)),
        why_rejected(name, value, refusal),
        writer.since(),
        known.count + 1 if known is not None else 1,
        link.observed_at,
    )
    return writer.keep(link.rejects(name, problem))


def why_rejected(name: str, value: str | None, refusal: Refused) -> str:
    """That Testably refuses a value, as a sentence."""
    field_name = FIELD_NAMES[name][-1]
    if not value:
        return f"Testably refuses to clear the {field_name}. ({refusal.message})"
    if value == ARCHIVED:
        return f"Testably refuses to archive it. ({refusal.message})"
    told = field_name if len(value) > _SHORT else f"{field_name} {value}"
    return f"Testably refuses the {told}. ({refusal.message})"


def _is_doubtful(name: str, value: str | None) -> bool:
    return value is None or name == "status" or name in DATE_FIELDS


def catch_up(action: Action, link: Link) -> Action:
    """What the source has changed since the create that was in doubt; a status comes later.

    What was found without its marker gets its description, and the marker in it, sent once.
    """
    desired, sent = action.desired, link.last_applied
    push = {n: desired[n] for n in POSTED if not same_value(n, desired[n], sent.get(n, desired[n]))}
    shown = link.observed.get("description")
    if not same_value("description", desired["description"], shown):
        push["description"] = desired["description"]
    return replace(action, push=push, before={name: link.observed.get(name) for name in push})


def finish_late(writer: TargetWriter, action: Action, link: Link) -> Link:
    """Write at the end what had to wait: a status, and dates that are its own again.

    POST takes no status, and what sub-milestones derive is not written while they are there. What
    they derived is looked at first, so that nothing is written that is there already. Raises
    LeftError where it cannot be read.
    """
    shown: Values = link.observed
    desired = action.desired
    names = [name for name in ("status",) if _status_is_due(action, link)]
    if action.looks_late:
        shown = _read(writer, link, OWN_AGAIN).values
        late = (*names, *action.dates_later)
        names = [name for name in late if not same_value(name, desired[name], shown[name])]
    push = {name: desired[name] for name in names}
    before = {name: shown.get(name) for name in names}
    return update(writer, replace(action, push=push, before=before, own=frozenset()), link)


def _status_is_due(action: Action, link: Link) -> bool:
    created = action.kind is Kind.CREATE
    waits = action.status_later or action.status_if_alone
    if not (is_completed(action.desired) if created else waits):
        return False
    unseen = not created and "status" not in link.last_applied
    return unseen or link.observed.get("status") != action.desired["status"]


def is_due_late(action: Action, link: Link) -> bool:
    """Whether something of the milestone is to be written, or looked at, at the end."""
    return bool(action.dates_later) or _status_is_due(action, link)


def archive(
    writer: TargetWriter, action: Action, link: Link, *, read_again: bool, even_in_use: bool
) -> Link:
    """Archive it, unless people work in it and that is not ``even_in_use``.

    ``read_again`` says that what hangs on it was read too long ago, or never. Raises LeftError
    where people work in it, or that cannot be read (R12). That it has gone only the lists of the
    next run prove, and no 404 to this (R4).
    """
    ended, before = Link.archived_if_shown, action.before
    try:
        if read_again:
            look = _read if even_in_use else read_unused
            live = look(writer, link, GONE)
            before = {name: live.values[name] for name in action.push}
        return writer.patch(link, action.push, before, "archive", conclude=ended)
    except Refused as error:
        return _rejected(writer, action, "status", error)


def _read(writer: TargetWriter, link: Link, about: str) -> TargetMilestone:
    """Its target as it is now. Raises LeftError where it alone cannot be read.

    Raises NotFound where its project has gone. ``about`` says what it is read for, as a sentence.
    """
    came: dict[int, TargetMilestone | OfOne] = {}
    ids = {link.testrail_id: link.testably_id or ""}
    writer.target.get_each(writer.project, ids, came.__setitem__)
    answer = came[link.testrail_id]
    if isinstance(answer, TargetMilestone):
        return answer
    if isinstance(answer, NotFound):
        writer.target.check_project(writer.project)  # raises if that is gone as well (R4)
    raise LeftError(not_read(about, why_unread(answer)))


def read_unused(writer: TargetWriter, link: Link, about: str) -> TargetMilestone:
    """The same of what is to be archived. Raises LeftError also where people work in it (R12)."""
    live = _read(writer, link, about)
    ours = {link.testably_id for link in writer.store.links(writer.pair.id).values()}
    used = used_by(live, ours)
    if used is not None:
        raise LeftError(Problem(ProblemKind.IN_USE, used))
    return live
