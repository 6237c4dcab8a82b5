"""The words in which people are told what is done about milestones; the JSON has its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

_COUNTED: Final = (
    (("created", "create"), "new", "new"),
    (("adopted", "adopt"), "linked", "linked"),
    (("updated", "update"), "changed", "changed"),
    (("archived", "archive"), "gone", "gone"),
    (("unchanged", "skip"), "the same", "the same"),
    (("held",), "held", "held"),
    (("waiting",), "waiting", "waiting"),
    (("quarantined", "quarantine", "conflicts", "conflict"), "needs you", "need you"),
)
"""Results of a run and kinds of action, in the order in which people want to know of them, and
what one and what several of them are called."""
_STATES: Final = {
    "unlinked": "not in Testably yet",
    "creating": "being created",
    "linked": "in Testably",
    "archived": "gone from TestRail, archived in Testably",
    "orphaned": "gone from TestRail, kept in Testably",
    "held": "held after an undo",
}
_FIELDS: Final = {"start_date": "start", "due_date": "due", "parent_id": "parent"}
_NOT_EXACT: Final = {
    "parent_status": "parents with the status that Testably derives from their sub-milestones",
    "parent_dates": "parents with the dates that Testably takes from their sub-milestones",
    "lifecycle": "whose dates make Testably show another status",
    "nesting": "that hang one level higher, because Testably has only two",
    "dates": "with a moment that no date in Testably, and no footer, keeps to the second",
    "moved": "that were moved in TestRail, which Testably cannot do",
    "altered": "whose text Testably has altered",
    "rejected": "with a value that Testably does not take",
    "not_taken": "with a value that Testably does not take",
    "planned_start": "whose planned start no footer keeps",
}
"""What cannot be carried exactly, by its kind in the JSON: each stands behind a number."""
_MIDNIGHT: Final = "T00:00:00Z"


def counted(counts: Mapping[str, int], nothing: str = "nothing to do") -> str:
    """How many milestones there are of each: ``30 new, 3 changed, 1 needs you``."""
    parts = []
    for names, one, several in _COUNTED:
        if number := sum(counts.get(name, 0) for name in names):
            parts.append(f"{number} {one if number == 1 else several}")
    return ", ".join(parts) or nothing


def not_exact(counts: Mapping[str, int]) -> str:
    """What could not be carried exactly, in words."""
    return ", ".join(
        f"{number} {_NOT_EXACT.get(kind, kind)}" for kind, number in counts.items() if number
    )


def named(name: str | None, otherwise: str = "(no name)") -> str:
    """The name of a milestone on one line, or what stands for a blank one."""
    return " ".join((name or "").split()) or otherwise


def pair_title(
    testrail_project: int,
    testably_project: str,
    testrail_name: str | None = None,
    testably_name: str | None = None,
) -> str:
    """A project pair as a heading, with the names of the projects where they are known."""
    names = " → ".join(dict.fromkeys(name for name in (testrail_name, testably_name) if name))
    ids = f"Project {testrail_project} → {testably_project}"
    return f"{ids} ({names})" if names else ids


def proof(verified: Mapping[str, Any]) -> str:
    """What the proof that a run ended with has found, in a sentence."""
    if verified["in_step"] is None:
        return f"Whether both sides agree could not be read: {verified['reason']}"
    compared = f"{verified['compared']} compared"
    if verified["in_step"]:
        return f"Both sides were read and agree: {compared}."
    since = verified["changed_since"]
    if since:
        return f"Both sides were read: {compared}; {since} changed while the run was going on."
    return f"Both sides were read and differ: {compared}; `milesync failures` says where."


def proof_at(verified: Mapping[str, Any], when: str) -> str:
    """The same in the words of a report, with the time of the proof."""
    if verified["in_step"]:
        compared = f"{verified['compared']} milestones compared"
        return f"Both sides were read again on {when}: no difference ({compared})."
    if verified["in_step"] is None or verified["changed_since"]:
        return f"{when}: {proof(verified)}"
    compared = f"{verified['compared']} milestones compared"
    return f"Both sides were read again on {when} and differ in what is listed below ({compared})."


def held(number: int) -> str:
    """How many milestones an undo holds, and what releases them (R9)."""
    noun, them = ("milestone is", "it") if number == 1 else ("milestones are", "them")
    return f"{number} {noun} held after an undo; `milesync migrate` releases {them}."


def left_alone(kept: int, accepted: int) -> str:
    """The differences that nobody counts, because a setting or a person leaves them."""
    told = [f"{kept} edited in Testably and kept"] if kept else []
    told += [f"{accepted} accepted by a person"] if accepted else []
    return "; ".join(told)


def called(name: str) -> str:
    """One result or kind of action: ``new`` for ``created``."""
    return next(one for names, one, _ in _COUNTED if name in names)


def state(name: str) -> str:
    """How far a link has come, for people: ``not in Testably yet`` for ``unlinked``."""
    return _STATES.get(name, name)


def field_called(name: str) -> str:
    """A field of Testably as people say it."""
    return _FIELDS.get(name, name)


def value_shown(value: object) -> str:
    """A field's value on one line: a day for a midnight, ``empty`` for nothing."""
    text = " ".join(str(value).split()) if value is not None else ""
    return text.removesuffix(_MIDNIGHT) if text else "empty"


def lifecycles(both: Mapping[str, str | None]) -> str:
    """Where a milestone stands: in one word where both sides say the same."""
    said, shown = (text and text.replace("_", " ") for text in both.values())
    if said is None or shown is None or said == shown:
        return said or shown or ""
    return f"{said} in TestRail, {shown} in Testably"


def requests(counts: Mapping[str, int]) -> str:
    """How many requests went to each side."""
    number = counts.get("testrail", 0)
    noun = "request" if number == 1 else "requests"
    return f"{number} {noun} to TestRail, {counts.get('testably', 0)} to Testably"


def rate(number: int, seconds: float) -> str:
    """A rate limit as people say it: ``60 requests a minute``."""
    window = "a minute" if seconds == 60 else f"in {seconds:g} s"
    return f"{number} requests {window}"


def about(seconds: float) -> str:
    """How long something will take, roughly: ``about a minute``."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return f"about {max(round(seconds), 1)} s"
    if minutes <= 1:
        return "about a minute"
    return f"about {minutes} minutes" if minutes < 100 else f"about {seconds / 3600:.1f} hours"


def lasted(time: timedelta) -> str:
    """How long something took: ``3 s``, ``14 min``, ``2 h 5 min``."""
    seconds = round(time.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
