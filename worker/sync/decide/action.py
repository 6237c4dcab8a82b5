"""What a plan consists of: one action a milestone, each with a reason that a person can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mappings.link import Link
from mappings.links import Links
from mappings.milestone import COMPLETED, DesiredLater, Values
from mappings.problem import Problem
from mappings.sharing import EMPTY
from worker.sync.decide.verdict import Difference, Verdict
from worker.sync.ports import Unchanged


class Kind(StrEnum):
    """What is to be done about a milestone."""

    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    ARCHIVE = "archive"
    SKIP = "skip"
    CONFLICT = "conflict"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Action:
    """One milestone's part of a plan.

    ``push`` are the values to write, ``before`` those that stand in the target now. ``differences``
    are all fields that the two sides have otherwise, those that are not pushed among them; ``own``
    the fields that are the target's to say. ``link`` is the link with everything that is already
    known recorded in it: to be saved if something was ``learned``, or only a note that both sides
    ``agrees``. What was never linked has a `planned_link` alone. ``desired`` are all five values,
    ``parent_id`` the TestRail id of the parent in the target. ``status_later`` says that the status
    is to be written at the end, since it then has no sub-milestones; ``status_if_alone`` that it is
    written only if none of those that are to come below it can be made. ``dates_later`` are dates
    that are looked at then, since its last sub-milestone goes and they are its own again.
    ``problem`` is what is wrong with the milestone as a whole.
    """

    kind: Kind
    testrail_id: int
    name: str
    reason: str
    testably_id: str | None = None
    push: Values = field(default_factory=lambda: EMPTY)
    before: Values = field(default_factory=lambda: EMPTY)
    differences: tuple[Difference, ...] = ()
    own: frozenset[str] = frozenset()
    desired: Values = field(default_factory=lambda: EMPTY)
    parent_id: int | None = None
    link: Link | None = None
    learned: bool = False
    agrees: bool = False
    status_later: bool = False
    status_if_alone: bool = False
    dates_later: tuple[str, ...] = ()
    problem: Problem | None = None

    @property
    def planned_link(self) -> Link:
        """``link``; that of what was never linked is made when it is asked for.

        So of many new milestones nothing is held twice.
        """
        if self.link is not None:
            return self.link
        link, new = Link(self.testrail_id, name=self.name), self.desired
        if not isinstance(new, DesiredLater):
            return link
        return link.read_from(new.source, has_children=new.has_children)

    @property
    def writes(self) -> int:
        """How many requests it takes at the target if all goes well."""
        return self.sends + self.status_later

    @property
    def sends(self) -> bool:
        """Whether it begins with a request at the target."""
        return self.kind is Kind.CREATE or bool(self.push)

    @property
    def looks_late(self) -> bool:
        """Whether it is looked at before what waited for its sub-milestones to go is written."""
        return bool(self.dates_later) or (self.status_later and self.kind is not Kind.CREATE)

    @property
    def overwritten(self) -> Values:
        """The values that somebody wrote in the target and that the push replaces."""
        return {one.field: one.live for one in self.differences if one.overwrites}

    @property
    def lasting(self) -> tuple[Difference, ...]:
        """The differences that stay whatever this run writes."""
        return tuple(one for one in self.differences if one.verdict is not Verdict.PUSH)

    @property
    def is_change(self) -> bool:
        """Whether it changes something, be it only a link."""
        return self.kind in _CHANGING

    @property
    def archives_unread(self) -> bool:
        """Whether it archives what a create in doubt has left, which nobody has seen yet."""
        return self.kind is Kind.ARCHIVE and self.testably_id is None

    @property
    def is_held(self) -> bool:
        """Whether an undo holds it."""
        return self.problem is not None and self.problem.kind.is_hold

    @property
    def is_left(self) -> bool:
        """Whether an undo holds it, and a person has accepted that it stays so."""
        return self.is_held and all(d.verdict is Verdict.ACCEPTED for d in self.differences)


@dataclass(frozen=True, slots=True)
class Guard:
    """Why a run must stop before its first write, and what allows it."""

    kind: str
    message: str
    hint: str


IN_STEP = "In step."


@dataclass(frozen=True, slots=True)
class InStep:
    """The milestones that agree as they did before: many, and nothing is to be decided of any.

    Each is made into an action only while somebody looks at it; ``unnamed`` more are only counted.
    ``exempt`` counts the fields of them all that are the target's own to say.
    """

    named: Mapping[int, Unchanged] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    exempt: Mapping[str, int] = field(default_factory=dict)
    unnamed: int = 0

    def __len__(self) -> int:
        return len(self.named) + self.unnamed

    def __iter__(self) -> Iterator[Action]:
        for testrail_id, same in self.named.items():
            testably_id = self.links.outlines[testrail_id].testably_id
            yield Action(Kind.SKIP, testrail_id, same.name, IN_STEP, testably_id)


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in the order in which they run: parents before children, archives last.

    What is ``in_step`` as before has no action among them.
    """

    actions: tuple[Action, ...]
    not_exact: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    in_step: InStep = field(default_factory=InStep)

    @property
    def writes(self) -> int:
        """Requests that the plan takes at the target, its reads not included."""
        return sum(action.writes for action in self.actions)

    @property
    def late_reads(self) -> int:
        """Requests that reading takes while the plan is applied.

        One for each look at what is its own again, and at what people do in what is archived unread
        (R12).
        """
        return sum(one.looks_late + one.archives_unread for one in self.actions)

    @property
    def changes(self) -> tuple[Action, ...]:
        """The actions that change something."""
        return tuple(action for action in self.actions if action.is_change)


_CHANGING = frozenset({Kind.CREATE, Kind.ADOPT, Kind.UPDATE, Kind.ARCHIVE})


def is_completed(values: Values) -> bool:
    """Whether these values ask for a completed milestone."""
    return values.get("status") == COMPLETED
