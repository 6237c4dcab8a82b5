"""What is recorded of one milestone's two sides, and what that says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from mappings.dates import moment
from mappings.milestone import ARCHIVED, Values
from mappings.problem import WHOLE, FieldProblem, Problem, ProblemKind
from mappings.sharing import EMPTY


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
    """Proved gone at the source, and left in the target by the policy."""
    HELD = "held"
    """Taken back by an undo, until a person migrates again."""


ASKED = frozenset({ProblemKind.SEVERAL_MARKED, ProblemKind.IN_DOUBT_FOR_A_PERSON})
"""Of a create in doubt: what it left behind is for a person to tell (R2)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A value that was sent ``count`` times since it was last seen in the target."""

    value: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing about a milestone that needs a person, or that a person has accepted.

    ``field`` is None where it concerns the milestone as a whole; ``since`` is ISO 8601, UTC.
    """

    field: str | None
    kind: ProblemKind
    reason: str
    since: str | None
    count: int
    accepted: bool = False
    desired: str | None = None
    live: str | None = None


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """The recorded pair of ids, and the last known values on the way between them.

    *Baseline*: ``last_applied`` is what the source wanted and the target accepted, ``observed``
    what the target answered to it or showed later, ``observed_at`` its ``updated_at`` then.
    ``parent_id`` is the TestRail id of the parent under which it was, or is to be, created,
    ``target_parent`` the target id under which it hangs, ``has_children`` whether the last whole
    reading of TestRail showed sub-milestones. The fingerprints are those of both sides;
    ``target_fingerprint`` is there only while both were found to agree, with nothing left to do;
    ``agreed_counts`` are then the words under which a run counts the milestone, ``agreed_until``
    the Unix seconds at which they have to be counted anew, None for never.

    *Attempt*: ``in_flight`` is journaled before a write; ``sent`` counts values that were sent
    and not yet seen by a reading. Of a create, ``attempt_newest`` is the newest ``created_at``
    that the target had shown before it, ``attempt_before`` are the ids of what it had shown
    that could be taken for it (None where that was not recorded), ``attempt_asked`` those that a
    person was asked about, ``attempt_parent`` is the target below which it was sent,
    ``attempt_deadline`` until when its request was given up; None while it is in doubt, once a
    person has decided.

    *Lease*: ``version`` counts every change of the row; a write leases the row by comparing it.

    *Problem*: of the milestone as a whole, and of single fields.
    """

    testrail_id: int
    testably_id: str | None = None
    state: LinkState = LinkState.UNLINKED
    name: str = ""
    last_applied: Values = field(default_factory=lambda: EMPTY)
    observed: Values = field(default_factory=lambda: EMPTY)
    observed_at: str | None = None
    parent_id: int | None = None
    target_parent: str | None = None
    has_children: bool = False
    source_fingerprint: str = ""
    target_fingerprint: str | None = None
    agreed_counts: str | None = None
    agreed_until: int | None = None
    raw: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    in_flight: Values | None = None
    sent: Mapping[str, Sent] = field(default_factory=lambda: EMPTY)
    attempt_at: datetime | None = None
    attempt_deadline: datetime | None = None
    attempt_newest: str | None = None
    attempt_before: tuple[str, ...] | None = None
    attempt_asked: tuple[str, ...] | None = None
    attempt_parent: str | None = None
    attempts: int = 0
    change_id: int | None = None
    lease_until: datetime | None = None
    version: int = 0
    look_again: bool = False
    problem: Problem | None = None
    field_problems: Mapping[str, FieldProblem] = field(default_factory=lambda: EMPTY)

    @property
    def has_target(self) -> bool:
        return self.testably_id is not None

    @property
    def is_held(self) -> bool:
        """Whether an undo took it back, and no person has migrated since (R9)."""
        return self.state is LinkState.HELD

    @property
    def was_gone(self) -> bool:
        """Whether its source was proved gone, and its target archived or kept for that."""
        return self.state in (LinkState.ARCHIVED, LinkState.ORPHANED)

    @property
    def baseline(self) -> Values:
        """What the target showed after the last write: what it shows otherwise was edited since.

        A held one is read, and what was applied stays known of what an undo left alone.
        """
        return {**self.observed, **self.last_applied} if self.is_held else self.observed

    @property
    def has_open_matter(self) -> bool:
        """Whether something about its fields is still to be seen, sent or decided."""
        return bool(self.in_flight or self.sent or self.field_problems or self.look_again)

    @property
    def archive_failed(self) -> bool:
        """Whether its source was proved gone, and the target did not take that it be archived."""
        problem = self.field_problems.get("status")
        return problem is not None and problem.desired == ARCHIVED

    @property
    def awaits_person(self) -> bool:
        """Whether a person has to tell what its create left behind; until then none is made."""
        asked = self.problem is not None and self.problem.kind in ASKED
        return self.state is LinkState.CREATING and asked

    @property
    def is_decided(self) -> bool:
        """Whether a person has archived what its create did not leave, and said `retry`."""
        return self.state is LinkState.CREATING and self.attempt_deadline is None

    @property
    def is_asked_again(self) -> bool:
        """Whether a person was asked what its create left, and retried all without naming it."""
        was_asked = self.attempt_asked is not None and not self.awaits_person
        return self.state is LinkState.CREATING and was_asked and not self.is_decided

    @property
    def was_unread(self) -> bool:
        """Whether its target could not be read last time."""
        return self.problem is not None and self.problem.kind is ProblemKind.UNREAD

    @property
    def was_lost(self) -> bool:
        """Whether its target was proved gone, and a person is to say what becomes of it."""
        return self.problem is not None and self.problem.kind is ProblemKind.TARGET_GONE

    @property
    def has_failed(self) -> bool:
        """Whether its writes failed since one succeeded."""
        return self.problem is not None and self.problem.kind.is_failure

    @property
    def has_count(self) -> bool:
        """Whether such failures were counted against it."""
        return self.problem is not None and self.problem.has_count

    @property
    def can_be_retried(self) -> bool:
        """Whether something failed, or could not be mended, that a new try might."""
        held = self.state is LinkState.HELD
        return not held and bool(self.problem or self.field_problems or self.sent)

    @property
    def _failure(self) -> Problem | None:
        problem = self.problem
        if problem is None:
            return None
        failed = problem.kind.is_failure or problem.kind is ProblemKind.REFUSED
        return problem if failed else None

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything about it that `milesync failures` lists."""
        found = []
        if self.problem is not None and self.problem.kind.needs_person:
            problem = self.problem
            since = None if problem.since is None else moment(problem.since.isoformat())
            whole = self.field_problems.get(WHOLE)
            taken = problem.kind.is_hold and whole is not None and whole.accepted
            found.append(
                Failure(None, problem.kind, problem.reason, since, problem.count, accepted=taken)
            )
        for name, one in sorted(self.field_problems.items()):
            if name != WHOLE:
                facts = (one.kind, one.reason, one.since, one.count, one.accepted)
                found.append(Failure(name, *facts, one.desired, one.live))
        return tuple(found)

    # --- the row

    def leased(self, until: datetime | None, change_id: int) -> Self:
        """Leased for the write that was journaled as ``change_id``."""
        return replace(self, lease_until=until, change_id=change_id)

    def released(self) -> Self:
        """Leased by nobody."""
        return replace(self, lease_until=None)

    def outdated(self) -> Self:
        """As a link of no version, which nobody can write: there is one already."""
        return replace(self, version=0)

    def saved(self) -> Self:
        """As it stands once it is written."""
        return replace(self, version=self.version + 1)

    def brought_up_to(self, now: Self) -> Self:
        """``now``, with what this one knows of the source."""
        return replace(
            now,
            name=self.name,
            raw=self.raw,
            has_children=self.has_children,
            source_fingerprint=self.source_fingerprint,
        )
