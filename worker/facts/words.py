"""The words in which people are told what is done about milestones; the JSON has its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from mappings.field_names import FIELD_NAMES

HELD: Final = "held"
EMPTY: Final = "empty"
_NEEDS_YOU: Final = ("quarantined", "quarantine", "conflicts", "conflict", "waiting")
_COUNTED: Final = (
    (("created", "create"), "new", "new"),
    (("adopted", "adopt"), "linked", "linked"),
    (("updated", "update"), "changed", "changed"),
    (("archived", "archive"), "gone", "gone"),
    (("unchanged", "skip"), "the same", "the same"),
    (("kept",), "kept as edited", "kept as edited"),
    (("held",), HELD, HELD),
    (("needs_you", *_NEEDS_YOU), "needs you", "need you"),
)
"""Results of a run and kinds of action, in the order in which people want to know of them, and
what one and what several of them are called."""
KEPT: Final = "Kept as edited in Testably"
"""The heading of the edits that the setting lets win."""
_STATES: Final = {
    "unlinked": "not in Testably yet",
    "creating": "being created",
    "linked": "in Testably",
    "archived": "gone from TestRail, archived in Testably",
    "orphaned": "gone from TestRail, kept in Testably",
    "held": "held after an undo",
}
_VERDICTS: Final = {
    "push": "to be written",
    "rejected": "Testably refused it",
    "altered": "Testably stored it otherwise",
    "immovable": "cannot be moved",
    "derived": "Testably's own to say",
    "kept": "edited in Testably, kept",
    "held": "held after an undo",
    "accepted": "accepted by a person",
}
_NOT_EXACT: Final = {
    "parent_status": "the status that Testably derives from sub-milestones",
    "parent_dates": "the value that Testably takes from sub-milestones",
    "lifecycle": "dates that make Testably show another status",
    "nesting": "a place one level higher, because Testably has only two",
    "dates": "a moment that no date in Testably, and no footer, keeps to the second",
    "moved": "another parent than in TestRail, which Testably cannot change",
    "altered": "a text that Testably stores otherwise",
    "rejected": "a value that Testably does not take",
    "not_taken": "a value that Testably does not take",
    "planned_start": "a planned start that no footer keeps",
}
"""What cannot be carried exactly, by its kind in the JSON: each stands behind ``3 with``."""
_NOUNS: Final = {
    "parent_status": (" parent", " parents"),
    "parent_dates": (" date of a parent", " dates of parents"),
}
"""What is counted where it is no milestone, or not any: one, and several."""
OF_PARENTS: Final = frozenset(_NOUNS)
_RUN_STATES: Final = {
    "succeeded": "done",
    "partial": "needs you",
    "unfinished": "waits for a worker",
    "aborted": "stopped",
}
_WRITE_STATES: Final = {
    "intended": "not answered yet",
    "not_done": "not carried out",
    "ambiguous": "perhaps carried out",
    "refused": "refused by Testably",
}
_PROBLEMS: Final = {
    "rejected": "not taken by Testably",
    "altered": "stored otherwise",
    "immovable": "moved in TestRail",
    "held": "taken back by an undo",
    "undo_failed": "not taken back",
    "bad_record": "cannot be read",
    "own_parent": "its own parent",
    "parent_circle": "parents in a circle",
    "unknown_parent": "no such parent",
    "name_conflict": "same name",
    "several_named": "same name, more than once",
    "several_marked": "there more than once",
    "in_doubt_for_a_person": "perhaps there already",
    "second_target": "there twice",
    "source_gone": "gone from TestRail",
    "target_gone": "deleted in Testably",
    "in_use": "in use",
    "refused": "refused by Testably",
    "keeps_failing": "keeps failing",
    "changed_since": "changed since",
    "waiting": "waits for its parent",
    "in_doubt": "perhaps created",
    "unread": "not read",
    "absence_unproved": "perhaps gone",
    "held_up": "being written",
    "not_found": "not found",
    "access_denied": "access denied",
    "redirected": "sent elsewhere",
    "rate_limited": "too many requests",
    "maintenance": "in maintenance",
    "server_error": "server error",
    "timeout": "no answer in time",
    "connection_lost": "connection lost",
    "unreadable": "answer not understood",
    "too_large": "answer too large",
    "unreachable": "not reachable",
    "proxy": "refused by a proxy",
    "certificate": "certificate refused",
    "wrong_protocol": "http and https mixed up",
    "transient": "failed for now",
    "create_fails": "cannot be created",
    "not_proved": "not compared",
    "source_incomplete": "TestRail's list not whole",
    "target_incomplete": "Testably's list not whole",
    "target_edit_kept": "edit in Testably kept",
}
_MIDNIGHT: Final = "T00:00:00Z"


def counted(counts: Mapping[str, int], nothing: str, among: Mapping[str, int] | None = None) -> str:
    """How many milestones there are of each: ``30 new, 3 changed, 1 needs you``.

    ``among`` tells more of those that need a person: how many of them are held, for example.
    """
    parts = [
        number_of(number, one, several)
        for names, one, several in _COUNTED
        if (number := sum(counts.get(name, 0) for name in names)) > 0
    ]
    more = ", ".join(f"{number} {what}" for what, number in (among or {}).items() if number)
    return (", ".join(parts) or nothing) + (f" ({more})" if more else "")


def number_of(number: int, one: str, several: str) -> str:
    """So many of something: ``1 status``, ``2 statuses``."""
    return f"{number} {one if number == 1 else several}"


def not_exact(counts: Mapping[str, int]) -> str:
    """What could not be carried exactly, in words."""
    return ", ".join(
        f"{number}{_noun(kind, number)} with {_NOT_EXACT.get(kind, kind)}"
        for kind, number in counts.items()
        if number
    )


def _noun(kind: str, number: int) -> str:
    one, several = _NOUNS.get(kind, ("", ""))
    return one if number == 1 else several


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


def called(name: str) -> str:
    """One result or kind of action: ``new`` for ``created``."""
    return next(one for names, one, _ in _COUNTED if name in names)


def state(name: str) -> str:
    """How far a link has come, for people: ``not in Testably yet`` for ``unlinked``."""
    return _STATES.get(name, name)


def run_state(name: str) -> str:
    """How a run ended or where it stands: ``needs you`` for ``partial``."""
    return _RUN_STATES.get(name, name)


def write_state(name: str) -> str:
    """What became of a write that is not done: ``perhaps carried out`` for ``ambiguous``."""
    return _WRITE_STATES.get(name, name)


def problem(kind: str) -> str:
    """What is the matter with a milestone, in a few words: ``same name`` for ``name_conflict``."""
    return _PROBLEMS.get(kind, kind.replace("_", " "))


def field_called(name: str) -> str:
    """A field of Testably as people say it."""
    return FIELD_NAMES.get(name, (name,))[0]


def field_meant(said: str) -> str | None:
    """The field that a person names, as it is called anywhere: ``due``, ``due date``, ``due_date``.

    None if there is no such field.
    """
    plain = " ".join(said.lower().replace("_", " ").split())
    return next(
        (
            name
            for name, called in FIELD_NAMES.items()
            if plain in (*called, name.replace("_", " "))
        ),
        None,
    )


def sentence(text: str) -> str:
    """A text with a full stop, where it has no end: an error's, with more to say behind it."""
    end = text.rstrip()
    return f"{end}." if end and end[-1] not in ".!?:…" else end


def verdict(name: str) -> str:
    """What a difference means: ``held after an undo`` for ``held``."""
    return _VERDICTS[name]


def value_shown(value: object, blank: str = EMPTY) -> str:
    """A field's value on one line: a day for a midnight, ``blank`` for nothing."""
    text = " ".join(str(value).split()) if value is not None else ""
    return text.removesuffix(_MIDNIGHT) if text else blank


def lifecycles(both: Mapping[str, str | None]) -> str:
    """Where a milestone stands: in one word where both sides say the same."""
    said, shown = (text and text.replace("_", " ") for text in both.values())
    if said is None or shown is None or said == shown:
        return said or shown or ""
    return f"{said} in TestRail, {shown} in Testably"


def requests(counts: Mapping[str, int]) -> str:
    """How many requests went to each side."""
    asked = number_of(counts.get("testrail", 0), "request", "requests")
    return f"{asked} to TestRail, {counts.get('testably', 0)} to Testably"


def rate(number: int, seconds: float) -> str:
    """A rate limit as people say it: ``60 requests a minute``."""
    window = "a minute" if seconds == 60 else f"in {seconds:g} s"
    return f"{number_of(number, 'request', 'requests')} {window}"


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
