"""What a plan consists of: one action a milestone, each with a reason that a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from mappings.link import Link, Problem
from mappings.milestone import COMPLETED, Values


class Kind(StrEnum):
    """What is to be done about a milestone."""

    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    ARCHIVE = "archive"
    SKIP = "skip"
    CONFLICT = "conflict"
    QUARANTINE = "quarantine"


NOTHING: Values = MappingProxyType({})
"""One for all: most actions of a large pair change nothing."""


@dataclass(frozen=True, slots=True)
class Action:
    """One milestone's part of a plan.

    ``push`` are the values to write, ``before`` those that stand in the target now, and
    ``edited`` those of them that somebody wrote there since the last push. ``link``
    is the link with everything that is already known recorded in it: to be saved if something
    was ``learned``, or only a note that both sides ``agrees``. ``wanted`` are all five values,
    ``parent_id`` the TestRail id of the parent in the target. ``status_later`` says that
    the status is to be written at the end, if it then has no sub-milestones. ``trouble`` needs a
    person, ``notices`` are told without stopping the action.
    """

    kind: Kind
    testrail_id: int
    name: str
    reason: str
    testably_id: str | None = None
    push: Values = field(default_factory=lambda: NOTHING)
    before: Values = field(default_factory=lambda: NOTHING)
    edited: Values = field(default_factory=lambda: NOTHING)
    wanted: Values = field(default_factory=lambda: NOTHING)
    parent_id: int | None = None
    link: Link | None = None
    learned: bool = False
    agrees: bool = False
    status_later: bool = False
    problem: Problem | None = None
    notices: tuple[Problem, ...] = ()

    @property
    def writes(self) -> int:
        """How many requests it takes at the target if all goes well."""
        first = self.kind is Kind.CREATE or bool(self.push)
        return first + self.status_later

    @property
    def waits(self) -> bool:
        """Whether it can only be done after something else."""
        return self.problem is not None and self.problem.kind in WAITING


WAITING = frozenset({"waiting", "unread", "absence_unproved", "unsettled", "held_up"})
"""Kinds of trouble that pass by themselves, or with another item's."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Why a run must stop before its first write, and what allows it."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in the order in which they run: parents before children, archives last."""

    actions: tuple[Action, ...]
    not_exact: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()

    @property
    def writes(self) -> int:
        """Requests that the plan takes at the target, its reads not included."""
        return sum(action.writes for action in self.actions)

    @property
    def changes(self) -> tuple[Action, ...]:
        """The actions that change something."""
        return tuple(action for action in self.actions if action.kind in _CHANGING)


_CHANGING = frozenset({Kind.CREATE, Kind.ADOPT, Kind.UPDATE, Kind.ARCHIVE})


def is_completed(values: Values) -> bool:
    """Whether these values ask for a completed milestone."""
    return values.get("status") == COMPLETED
