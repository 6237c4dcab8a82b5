"""What differs between a milestone's two sides, and what that means: the one truth. Pure.

For each field there are three values (R3): what TestRail wants now (*desired*), what was last
applied with what the target showed after it (*observed*), and what the target shows now (*live*).
The plan is the pushes of these differences; a proof, the exit code, `failures` and the pages read
the same ones (R10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mappings.link import Link
from mappings.link_record import Sent
from mappings.link_values import Reading, altered
from mappings.milestone import (
    ACTIVE,
    ARCHIVED,
    DATE_FIELDS,
    FIELDS,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import FieldProblem, ProblemKind
from mappings.stored_text import can_be_rest
from worker.sync.decide.verdict import Cause, Difference, Verdict
from worker.sync.options import OnTargetEdit

MOST_SENT = 2
"""A value that was sent so often and never seen is not sent again (R3)…"""
MOST_SENT_TO_EDITS = 3
"""…nor after so many times, if the target's value changed in between, by a person or by itself."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One linked milestone with what each side says of the fields in ``desired``.

    ``live`` is None where the target was not read: it then stands as last observed. ``own`` are
    the fields that are the target's to say. ``since`` is the time now, ISO 8601 in UTC. ``agreed``
    says that the last reading before this one showed both sides to agree in everything.
    """

    link: Link
    desired: Values
    live: TargetMilestone | None
    policy: OnTargetEdit
    since: str
    own: frozenset[str] = frozenset()
    agreed: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences of one milestone, and the link with what was learned on the way."""

    link: Link
    differences: tuple[Difference, ...] = ()

    @property
    def push(self) -> Values:
        """The values to write."""
        return {d.field: d.desired for d in self.differences if d.verdict is Verdict.PUSH}

    @property
    def brought_back(self) -> frozenset[str]:
        """The status, where a person archived the milestone and it is pushed all the same."""
        return frozenset(d.field for d in self.differences if d.cause is Cause.BACK)

    @property
    def kept(self) -> tuple[str, ...]:
        """The fields whose edits in the target are left alone."""
        return tuple(d.field for d in self.differences if d.verdict is Verdict.KEPT)


def compare(sides: Sides) -> Comparison:
    """Every field's difference with its verdict, and what the reading taught."""
    link = sides.link
    notes = _Notes(
        dict(link.last_applied), dict(link.observed), dict(link.sent), dict(link.field_problems)
    )
    names = [name for name in FIELDS if name in sides.desired]
    found = [one for name in names for one in _Field(sides, name).judge(notes)]
    if sides.live is None:
        return Comparison(link.with_field_problems(notes.problems), tuple(found))
    reading = Reading(notes.last_applied, notes.observed, notes.sent, notes.problems)
    to_push = any(d.verdict is Verdict.PUSH for d in found)
    kept = any(d.verdict is Verdict.KEPT for d in found)
    return Comparison(
        link.observed_in(sides.live, reading, to_push=to_push, kept=kept), tuple(found)
    )


@dataclass(slots=True)
class _Notes:
    """What is known of the fields; each field's judgement changes its own entries."""

    last_applied: dict[str, str | None]
    observed: dict[str, str | None]
    sent: dict[str, Sent]
    problems: dict[str, FieldProblem]

    def settle(self, name: str) -> None:
        """Nothing is open about the field any more."""
        self.sent.pop(name, None)
        self.problems.pop(name, None)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of one milestone with its three values."""

    sides: Sides
    name: str
    desired: str | None = field(init=False)
    live: str | None = field(init=False)

    def __post_init__(self) -> None:
        now = self.sides.link.observed if self.sides.live is None else self.sides.live.values
        object.__setattr__(self, "live", now.get(self.name))
        desired = self.sides.desired[self.name]
        object.__setattr__(self, "desired", ACTIVE if self._is_archived else desired)

    # --- the verdict

    def judge(self, notes: _Notes) -> Iterator[Difference]:
        """The field's difference, if there is one."""
        if self._is_derived:
            yield from self._leave_to_target(notes)
        elif same_value(self.name, self.desired, self.live):
            notes.settle(self.name)
            notes.last_applied[self.name] = self.desired
            notes.observed[self.name] = self.live
        elif (standing := self._standing_problem(notes)) is not None:
            notes.problems[self.name] = standing
            notes.sent.pop(self.name, None)
            notes.observed[self.name] = self.live
            kind = Verdict.ACCEPTED if standing.accepted else Verdict(standing.kind.value)
            yield self._difference(kind, reason=standing.reason)
        elif self._is_edited and self.sides.policy is OnTargetEdit.TARGET:
            notes.settle(self.name)
            yield self._difference(Verdict.KEPT, reason="Edited in Testably, whose edits win.")
        elif self.sides.live is not None or self._has_new_desired:
            self._count(notes)
            yield self._difference(Verdict.PUSH, cause=self._cause)

    def _difference(
        self, verdict: Verdict, cause: Cause | None = None, reason: str = ""
    ) -> Difference:
        return Difference(self.name, self.desired, self.live, verdict, cause, reason)

    def _leave_to_target(self, notes: _Notes) -> Iterator[Difference]:
        notes.settle(self.name)
        notes.observed[self.name] = self.live
        if self.name == "status":
            # Forgotten, so that it is pushed once the last sub-milestone is gone.
            notes.last_applied.pop("status", None)
        else:
            notes.last_applied[self.name] = self.desired
        if not same_value(self.name, self.desired, self.live):
            yield self._difference(Verdict.DERIVED)

    # --- questions about the field

    @property
    def _link(self) -> Link:
        return self.sides.link

    @property
    def _is_archived(self) -> bool:
        """Whether a person archived what has sub-milestones: that status no target derives."""
        return self.name in self.sides.own and self.name == "status" and self.live == ARCHIVED

    @property
    def _is_own(self) -> bool:
        return self.name in self.sides.own and not self._is_archived

    @property
    def _is_derived(self) -> bool:
        """The target's own to say; a date that was changed is sent once."""
        if not self._is_own:
            return False
        if self.name == "status":
            return True
        return self.name not in self._link.last_applied or not self._source_changed

    @property
    def _is_ours(self) -> bool:
        """Whether the target shows what a write that was cut off had journaled, or a part (R1)."""
        flying = self._link.in_flight or {}
        if self.name not in flying:
            return False
        sent = flying[self.name]
        return same_value(self.name, self.live, sent) or can_be_rest(self.name, self.live, sent)

    @property
    def _source_changed(self) -> bool:
        applied = self._link.last_applied
        if self._is_ours or self.name not in applied:
            return True
        return not same_value(self.name, applied[self.name], self.desired)

    @property
    def _has_new_desired(self) -> bool:
        """Whether the source wants something else than was last applied.

        All that a run tells which does not read the target: what was otherwise there when it was
        last read was kept, or the target's own. A derived status is in nothing that was applied.
        """
        applied = self._link.last_applied
        if self.name in applied:
            return not same_value(self.name, applied[self.name], self.desired)
        return self.name != "status" or not applied

    @property
    def _is_edited(self) -> bool:
        """Whether the target shows otherwise than after the last write.

        A value never seen before (adopted) is a person's if the target's edits win.
        """
        if self._is_ours or self._is_rest or (self._is_own and self.name in DATE_FIELDS):
            return False
        if self.name not in self._link.observed:
            return self.sides.policy is OnTargetEdit.TARGET
        return not same_value(self.name, self.live, self._link.observed[self.name])

    @property
    def _is_rest(self) -> bool:
        """Whether the target kept a part of what it was sent, although its answer showed it all.

        Nobody has edited the milestone since that answer, by the target's own time of change.
        """
        if self._live_at is None or self._link.observed_at is None or self._has_moved:
            return False
        answered = self._link.observed.get(self.name)
        if same_value(self.name, self.live, answered):
            return False
        return can_be_rest(self.name, self.live, answered)

    @property
    def _has_moved(self) -> bool:
        """Whether the target says that it was changed since it was last observed."""
        return _moved(self.sides.live, self._link.observed_at)

    @property
    def _cause(self) -> Cause:
        if self._is_archived:
            return Cause.BACK
        if self._is_edited and self.name in self._link.observed:
            return Cause.BOTH if self._source_changed else Cause.EDITED
        if self.name not in self._link.last_applied:
            return Cause.FIRST
        return Cause.CHANGED if self._source_changed else Cause.AGAIN

    # --- what cannot converge

    def _standing_problem(self, notes: _Notes) -> FieldProblem | None:
        """The problem that keeps the value from being sent again, as it stands now."""
        known = notes.problems.get(self.name)
        if known is not None and same_value(self.name, known.desired, self.desired):
            if same_value(self.name, known.live, self.live):
                return known
            if self._is_open_again(known):
                return None
            return self._moved_on(known)
        sent = notes.sent.get(self.name)
        known_count = sent is not None and same_value(self.name, sent.value, self.desired)
        count = sent.count if sent is not None and known_count else 0
        if count < MOST_SENT and (self._is_own or self._source_changed or not self._is_rest):
            return None
        reason = altered(self.name, self.desired, self.live)
        facts = (self.desired, self.live, reason, self.sides.since, max(count, 1), self._live_at)
        return FieldProblem(ProblemKind.ALTERED, *facts)

    def _moved_on(self, known: FieldProblem) -> FieldProblem:
        """The same problem with the target's value as it is now, so that nobody has accepted it."""
        is_altered = known.kind is ProblemKind.ALTERED
        reason = altered(self.name, self.desired, self.live) if is_altered else known.reason
        moved_on = replace(known, live=self.live, live_at=self._live_at, reason=reason)
        return replace(moved_on, accepted=False)

    @property
    def _live_at(self) -> str | None:
        return self.sides.live.updated_at if self.sides.live is not None else None

    def _is_open_again(self, known: FieldProblem) -> bool:
        """Whether the target's value was changed by somebody, so that one more try is due."""
        if _moved(self.sides.live, known.live_at):
            return known.count < MOST_SENT_TO_EDITS
        unknown = self.sides.live is not None and self.sides.live.updated_at is None
        return unknown and known.count < MOST_SENT

    def _count(self, notes: _Notes) -> None:
        """Note how often the value that is pushed now was sent already without being seen."""
        known = notes.problems.pop(self.name, None)
        sent = notes.sent.pop(self.name, None)
        if self._is_own:
            return
        was_seen = self.sides.agreed  # since it was sent: what stands there now came after it
        was_edited = self._is_edited and self._has_moved
        count = 0 if self._source_changed or was_seen or was_edited else 1
        if known is not None and same_value(self.name, known.desired, self.desired):
            count = max(count, known.count)
        if sent is not None and same_value(self.name, sent.value, self.desired):
            count = max(count, sent.count)
        if count or self._is_edited:
            notes.sent[self.name] = Sent(self.desired, count)


def _moved(live: TargetMilestone | None, since: str | None) -> bool:
    known = live is not None and live.updated_at is not None and since is not None
    return known and live is not None and live.updated_at != since
