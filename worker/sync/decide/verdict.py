"""What a difference between the two sides means: a closed set of verdicts (R10). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mappings.field_names import FIELD_NAMES


class Verdict(StrEnum):
    """What a difference means (R10)."""

    PUSH = "push"
    """The source changed, or the target drifted and the source wins: written."""
    REJECTED = "rejected"
    """The target refused the value: not written again."""
    ALTERED = "altered"
    """Sent, and never seen live: not written again."""
    IMMOVABLE = "immovable"
    """Another parent, which the API cannot set: never written."""
    DERIVED = "derived"
    """The target's own to say: not written, and compared by nobody."""
    KEPT = "kept"
    """Edited in Testably, whose edits win: not written."""
    HELD = "held"
    """Taken back by an undo: not written until a person migrates."""
    ACCEPTED = "accepted"
    """A person lives with it: not written until either side changes."""

    @property
    def counts(self) -> bool:
        """Whether a pair with such a difference is not in step."""
        return self in (self.PUSH, self.REJECTED, self.ALTERED, self.IMMOVABLE, self.HELD)

    @property
    def needs_person(self) -> bool:
        """Whether it stands in `failures`, with exit code 3."""
        return self in (self.REJECTED, self.ALTERED, self.IMMOVABLE, self.HELD)


class Cause(StrEnum):
    """Why a field is pushed."""

    CHANGED = "changed in TestRail"
    EDITED = "edited in Testably and overwritten"
    BOTH = "changed in TestRail, and edited in Testably and overwritten"
    BACK = "archived in Testably and brought back"
    AGAIN = "sent again"
    FIRST = "not yet as in TestRail"


MILESTONE: Final = "milestone"
"""Stands for a field where the milestone as a whole is held, though no field need differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that the two sides have otherwise. ``cause`` is there where it is pushed."""

    field: str
    desired: str | None
    live: str | None
    verdict: Verdict
    cause: Cause | None = None
    reason: str = ""

    @classmethod
    def of_whole(cls, verdict: Verdict, reason: str) -> Difference:
        """What is the matter with the milestone as a whole: neither side has a value of it."""
        return cls(MILESTONE, None, None, verdict, reason=reason)

    @property
    def overwrites(self) -> bool:
        """Whether the push replaces what a person wrote in the target."""
        return self.cause in (Cause.EDITED, Cause.BOTH, Cause.BACK)


def why_pushed(differences: tuple[Difference, ...]) -> str:
    """The reason of an update, each cause apart: "due date changed in TestRail; …"."""
    names: dict[Cause, list[str]] = {}
    for one in differences:
        if one.cause is not None:
            names.setdefault(one.cause, []).append(FIELD_NAMES[one.field][-1])
    text = "; ".join(f"{_and(fields)} {cause.value}" for cause, fields in names.items())
    return f"{text[:1].upper()}{text[1:]}."


def why_left(differences: tuple[Difference, ...]) -> str:
    """What a person should know of differences that stay; empty where there are none."""
    return " ".join(dict.fromkeys(one.reason for one in differences if one.reason))


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
