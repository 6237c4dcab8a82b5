"""What is recorded of one milestone's two sides. Pure values; `mappings.store` keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mappings.milestone import SourceMilestone, TargetMilestone, Values


class LinkState(StrEnum):
    """How far the link has come."""

    UNLINKED = "unlinked"
    """No target: never created, or set aside."""
    CREATING = "creating"
    """A POST was journaled and its outcome is not known."""
    LINKED = "linked"
    ARCHIVED = "archived"
    """Proved gone at the source, archived in the target."""
    ORPHANED = "orphaned"
    """Proved gone at the source, and left in the target."""
    HELD = "held"
    """Taken back by an undo, until a person migrates again."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item needs a person: a stable ``kind``, a ``reason``, since when and how often."""

    kind: str
    reason: str
    since: datetime | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Link:
    """The recorded pair of ids, and the last known values on the way between them.

    ``pushed`` is what the source wanted and the target accepted, ``echoed`` what the target
    answered to it (or showed, where it normalises). ``intended`` is journaled before a PATCH.
    ``refused`` holds wanted values that the target does not take, ``overwrote`` the target's
    values that the last push replaced, ``told`` what was reported once and is not reported again.
    ``parent_id`` is the TestRail id of the parent under which it was, or is to be, created.
    ``source_print`` and ``target_print`` are fingerprints of both sides; the latter is there only
    while both were found to agree, with nothing left to do or to tell.
    ``version`` counts every change of the row; a write claims the row by comparing it.
    """

    testrail_id: int
    testably_id: str | None = None
    state: LinkState = LinkState.UNLINKED
    name: str = ""
    last_applied: Values = field(default_factory=dict)
    observed: Values = field(default_factory=dict)
    observed_at: str | None = None
    in_flight: Values | None = None
    refused: Values = field(default_factory=dict)
    overwrote: Values = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)
    parent_id: int | None = None
    target_parent: str | None = None
    source_fingerprint: str = ""
    target_fingerprint: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    problem: Problem | None = None
    attempt_at: datetime | None = None
    attempt_deadline: datetime | None = None
    attempts: int = 0
    change_id: int | None = None
    look_again: bool = False
    lease_until: datetime | None = None
    version: int = 0

    @property
    def has_target(self) -> bool:
        return self.testably_id is not None


def fingerprint_of_source(source: SourceMilestone) -> str:
    """Equal for two readings of a TestRail milestone that say the same."""
    facts = (
        source.name,
        source.description,
        source.start_on,
        source.started_on,
        source.due_on,
        source.completed_on,
        source.is_started,
        source.is_completed,
        source.parent_id,
        source.refs,
    )
    return _digest(facts)


def fingerprint_of_target(target: TargetMilestone) -> str:
    """Equal for two readings of a Testably milestone that say the same."""
    facts = (
        target.name,
        target.description,
        target.start_date,
        target.due_date,
        target.status,
        target.parent_id,
    )
    return _digest(facts)


def _digest(facts: tuple[str | int | bool | None, ...]) -> str:
    return hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()
