"""What stays as it is, in words: held by an undo, Testably's own, kept, or lived with."""

from __future__ import annotations

from collections.abc import Mapping

from mappings.commands import for_project
from worker.facts import words


def held(number: int, accepted: int, project: int | None) -> str:
    """How many milestones an undo holds, ``accepted`` ones too, and what releases them (R9).

    ``project`` is what that command names, as in `for_project`.
    """
    text = f"{words.number_of(number, 'milestone is', 'milestones are')} held after an undo"
    if accepted == number:
        text += " and accepted; `milesync accept --revoke ID` takes that back."
    else:
        them = "the others" if accepted else "it" if number == 1 else "them"
        text += f", {accepted} of them accepted" if accepted else ""
        text += f"; `milesync migrate` releases {them}."
    return for_project(text, project)


def still(why: str) -> str:
    """That a pair stands still, by `why_it_stands_still`, and what tells more."""
    told = f"The pair stands still: {words.sentence(why)}"
    return told if "`milesync check" in told else f"{told} `milesync check` tries both sides."


def of_parents(exempt: Mapping[str, int]) -> str:
    """The fields that are Testably's own to say; empty where there are none."""
    parts = [
        words.number_of(exempt[name], one, several)
        for name, one, several in (
            ("parent_status", "status", "statuses"),
            ("parent_dates", "date", "dates"),
        )
        if exempt.get(name)
    ]
    if not parts:
        return ""
    is_one = sum(exempt.get(name, 0) for name in words.OF_PARENTS) == 1
    return f"{' and '.join(parts)} of {'a parent is' if is_one else 'parents are'} Testably's own"


def left_alone(kept: int, accepted: int) -> str:
    """The milestones with differences that nobody counts: a setting or a person leaves them."""
    parts = [f"{kept} edited in Testably and kept"] if kept else []
    parts += [f"{accepted} accepted by a person"] if accepted else []
    return "; ".join(parts)
