"""The life of a link: what is recorded of one milestone's two sides, and every step of it. Pure.

```
UNLINKED ──begin_create──► CREATING ──created / adopted──► LINKED ──archived──► ARCHIVED
    ▲──── not_created ────────┘ └─ in_doubt                    │ ▲                  │
    └───────────────── unlinked ──► HELD ◄──── held ───────────┘ └──── released ────┘
```

Each step is a method that returns the link as it then stands; `mappings.store` keeps it. No other
file replaces a link's fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mappings.dates import moment
from mappings.milestone import (
    ACTIVE,
    ARCHIVED,
    BadRecord,
    SourceMilestone,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import WHOLE, FieldProblem, Problem, ProblemKind, failure
from mappings.stored_text import can_be_description


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
class Reading:
    """What one reading of the target taught about the fields of a linked milestone."""

    last_applied: Values
    observed: Values
    sent: Mapping[str, Sent]
    field_problems: Mapping[str, FieldProblem]


@dataclass(frozen=True, slots=True)
class Link:
    """The recorded pair of ids, and the last known values on the way between them.

    *Baseline*: ``last_applied`` is what the source wanted and the target accepted, ``observed``
    what the target answered to it or showed later, ``observed_at`` its ``updated_at`` then.
    ``parent_id`` is the TestRail id of the parent under which it was, or is to be, created,
    ``target_parent`` the target id under which it hangs, ``has_children`` whether the last whole
    reading of TestRail showed sub-milestones. The fingerprints are those of both sides;
    ``target_fingerprint`` is there only while both were found to agree, with nothing left to do.

    *Attempt*: ``in_flight`` is journaled before a write; ``sent`` counts values that were sent
    and not yet seen by a reading. Of a create, ``attempt_newest`` is the newest ``created_at``
    that the target had shown before it, ``attempt_deadline`` until when its request was given up;
    None while it is in doubt, once a person has decided.

    *Lease*: ``version`` counts every change of the row; a write leases the row by comparing it.

    *Problem*: of the milestone as a whole, and of single fields.
    """

    testrail_id: int
    testably_id: str | None = None
    state: LinkState = LinkState.UNLINKED
    name: str = ""
    last_applied: Values = field(default_factory=dict)
    observed: Values = field(default_factory=dict)
    observed_at: str | None = None
    parent_id: int | None = None
    target_parent: str | None = None
    has_children: bool = False
    source_fingerprint: str = ""
    target_fingerprint: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    in_flight: Values | None = None
    sent: Mapping[str, Sent] = field(default_factory=dict)
    attempt_at: datetime | None = None
    attempt_deadline: datetime | None = None
    attempt_newest: str | None = None
    attempts: int = 0
    change_id: int | None = None
    lease_until: datetime | None = None
    version: int = 0
    look_again: bool = False
    problem: Problem | None = None
    field_problems: Mapping[str, FieldProblem] = field(default_factory=dict)

    @property
    def has_target(self) -> bool:
        return self.testably_id is not None

    @property
    def is_held(self) -> bool:
        """Whether an undo took it back, and no person has migrated since (R9)."""
        return self.state is LinkState.HELD

    @property
    def is_outline(self) -> bool:
        """Whether only the fingerprints of this link were read from the store."""
        return self.target_fingerprint is not None and not self.last_applied

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

    # --- what a reading taught

    def read_from(self, source: SourceMilestone, *, has_children: bool) -> Link:
        """With what TestRail says of it; whether both sides agree is open again."""
        return replace(
            self,
            name=source.name,
            raw=source.raw,
            has_children=has_children,
            source_fingerprint=fingerprint_of_source(source),
            target_fingerprint=None,
        )

    def with_raw(self, record: BadRecord) -> Link:
        """With a TestRail record that cannot be read as a milestone."""
        return replace(self, name=self.name or record.name, raw=dict(record.raw))

    def observed_in(self, live: TargetMilestone, reading: Reading, *, to_push: bool) -> Link:
        """With what the target shows; what is still to be pushed stays as it was journaled."""
        return replace(
            self,
            last_applied=reading.last_applied,
            observed=reading.observed,
            sent=reading.sent,
            field_problems=reading.field_problems,
            observed_at=self.observed_at if to_push else live.updated_at,
            in_flight=self.in_flight if to_push else None,
            target_parent=live.parent_id,
            look_again=False,
        )

    def seen_as(self, live: TargetMilestone) -> Link:
        """With what the target shows of a link that is not followed."""
        return replace(
            self, observed=live.values, observed_at=live.updated_at, target_parent=live.parent_id
        )

    def whole_accepted(self, since: str) -> FieldProblem:
        """That a person lives with a held milestone, as both sides stand now."""
        live = digest_of(self.observed) if self.has_target else None
        why = "An undo took it back."
        return FieldProblem(
            ProblemKind.HELD, self.source_fingerprint, live, why, since, accepted=True
        )

    def with_field_problems(self, found: Mapping[str, FieldProblem]) -> Link:
        """With these problems of single fields, and no others."""
        return replace(self, field_problems=found)

    def agreed(self, live: TargetMilestone) -> Link:
        """With the fingerprint of a target that was found to agree in everything."""
        return replace(self, target_fingerprint=fingerprint_of_target(live))

    def agreed_before(self, other: Link) -> bool:
        """Whether the two differ in nothing but the note that both sides agree."""
        return replace(other, target_fingerprint=self.target_fingerprint) == self

    def to_look_again(self) -> Link:
        """Marked, so that the next run reads its target."""
        return replace(self, look_again=True)

    # --- creating

    def begin_create(
        self, posted: Values, at: datetime, deadline: datetime, newest: str | None = None
    ) -> Link:
        """A POST is about to be sent at ``at``, and given up at ``deadline``, both aware."""
        return replace(
            self,
            state=LinkState.CREATING,
            in_flight=posted,
            attempt_at=at,
            attempt_deadline=deadline,
            attempt_newest=newest,
        )

    def below(self, parent_id: int | None) -> Link:
        """To be created under the target of this TestRail milestone, or at the root."""
        return replace(self, parent_id=parent_id)

    def in_doubt(self, deadline: datetime) -> Link:
        """The POST may have been carried out, or may still be; not after ``deadline``."""
        return replace(self, attempts=self.attempts + 1, attempt_deadline=deadline)

    def not_created(self) -> Link:
        """The create was certainly not carried out."""
        return replace(
            self,
            state=LinkState.UNLINKED,
            in_flight=None,
            attempt_deadline=None,
            problem=self._failure,
        )

    def left_to_person(self, problem: Problem, now: datetime) -> Link:
        """What its create left behind cannot be told; it stays in doubt until `retry`."""
        asked = replace(self, attempt_deadline=self.attempt_deadline or now)
        return asked.with_problem(problem, now)

    def created(self, made: TargetMilestone, parent: str | None, since: str) -> Link:
        """The target has what was posted, under ``parent``, which an answer may leave out.

        What the answer shows otherwise is `altered`. ``since`` is the time now, in UTC.
        """
        posted = dict(self.in_flight or {})
        if made.values["status"] == ACTIVE:
            posted["status"] = ACTIVE
        linked = replace(
            self,
            state=LinkState.LINKED,
            testably_id=made.id,
            last_applied=posted,
            observed=made.values,
            observed_at=made.updated_at,
            target_parent=made.parent_id or parent,
            in_flight=None,
            attempt_at=None,
            attempt_deadline=None,
            attempt_newest=None,
            attempts=0,
            problem=None,
        )
        return linked.answered(posted, made, since)

    def found(self, left: TargetMilestone, parent: str | None, since: str) -> Link:
        """What a create in doubt left behind; what was changed there since, a person did.

        A description that can be what was sent is the target's way to store it, and no edit.
        """
        linked = self.created(left, parent, since)
        if left.updated_at is not None and left.updated_at == left.created_at:
            return linked
        posted = dict(self.in_flight or {})
        if can_be_description(left.description, posted.get("description")):
            posted.pop("description", None)
        edited = {n: v for n, v in posted.items() if not same_value(n, v, left.values[n])}
        problems = _without(linked.field_problems, edited)
        return replace(linked, observed={**linked.observed, **edited}, field_problems=problems)

    def adopted(self, target: TargetMilestone) -> Link:
        """Linked to a target that is there already; nothing was ever applied to it.

        What a create in doubt had in flight is ours; a POST leaves a milestone active.
        """
        cut_off = self.in_flight if self.state is LinkState.CREATING else None
        return replace(
            self.without_target(),
            testably_id=target.id,
            state=LinkState.LINKED,
            in_flight=cut_off and {**cut_off, "status": ACTIVE},
            problem=None,
            attempt_at=None,
            attempt_deadline=None,
            attempt_newest=None,
            attempts=0,
        )

    def rebuilt(self, target: TargetMilestone) -> Link:
        """Adopted after the database was lost: what was last applied stays unknown."""
        return replace(
            self.adopted(target), observed={}, target_parent=target.parent_id, in_flight=None
        )

    def without_target(self) -> Link:
        """Without a target and without anything that was ever applied to it."""
        creating = self.state is LinkState.CREATING
        return replace(
            self,
            testably_id=None,
            state=LinkState.CREATING if creating else LinkState.UNLINKED,
            last_applied={},
            observed={},
            observed_at=None,
            in_flight=None,
            sent={},
            field_problems={},
            target_parent=None,
            target_fingerprint=None,
        )

    # --- updating

    def begin_update(self, values: Values) -> Link:
        """These values are about to be sent."""
        return replace(self, in_flight={**(self.in_flight or {}), **values})

    def not_updated(self, before: Link) -> Link:
        """The update was certainly not carried out; what was in flight before still is."""
        return replace(self, in_flight=before.in_flight)

    def updated(self, values: Values, answer: TargetMilestone, since: str) -> Link:
        """The target answered; of the fields that were sent, its answer is what was observed."""
        shown = {name: answer.values[name] for name in values}
        applied = replace(
            self,
            last_applied={**self.last_applied, **values},
            observed={**self.observed, **shown},
            observed_at=answer.updated_at,
            in_flight=None,
            problem=self.problem if self.problem and not self.problem.passes else None,
        )
        return applied.answered(values, answer, since)

    def answered(self, values: Values, answer: TargetMilestone, since: str) -> Link:
        """Counts what was sent; a value that the answer shows otherwise is `altered` at once."""
        sent = dict(self.sent)
        problems = _without(self.field_problems, values)
        for name, value in values.items():
            before = sent.pop(name, None)
            counted = before is not None and same_value(name, before.value, value)
            count = before.count + 1 if before is not None and counted else 1
            shown = answer.values[name]
            if not same_value(name, value, shown):
                reason = altered(name, value, shown)
                problems[name] = FieldProblem(
                    ProblemKind.ALTERED, value, shown, reason, since, count, answer.updated_at
                )
            elif counted:
                sent[name] = Sent(value, count)
        return replace(self, sent=sent, field_problems=problems)

    def rejects(self, name: str, problem: FieldProblem) -> Link:
        """The target refused a value for one field."""
        return replace(
            self,
            in_flight=_without(self.in_flight or {}, {name: None}) or None,
            field_problems={**self.field_problems, name: problem},
            sent=_without(self.sent, {name: None}),
        )

    def left_to_target(self, name: str, value: str | None) -> Link:
        """The target refused a value for a field that is its own to say: it was sent once."""
        return replace(
            self,
            last_applied={**self.last_applied, name: value},
            in_flight=_without(self.in_flight or {}, {name: None}) or None,
            field_problems=_without(self.field_problems, {name: None}),
            sent=_without(self.sent, {name: None}),
        )

    def forgiving(self, names: frozenset[str]) -> Link:
        """Without problems of fields that are the target's own to say."""
        left = {n: p for n, p in self.field_problems.items() if n not in names}
        return replace(self, field_problems=left)

    # --- its end, and back

    def linked(self) -> Link:
        """Followed, with no problem but that its writes failed: a success ends that."""
        return replace(self, state=LinkState.LINKED, problem=self._failure)

    def archived(self) -> Link:
        """Its source is gone, and its target archived or gone too."""
        return replace(self, state=LinkState.ARCHIVED, problem=None, field_problems={}, sent={})

    def archived_if_shown(self) -> Link:
        """Archived only if the target's answer says so."""
        return self.archived() if self.observed.get("status") == ARCHIVED else self

    def orphaned(self) -> Link:
        """Its source is gone, and the policy leaves its target."""
        return replace(self, state=LinkState.ORPHANED, problem=None, field_problems={}, sent={})

    def held(self, now: datetime | None = None) -> Link:
        """Taken back by an undo: what was applied is forgotten, so that a migration sends it."""
        why = "An undo took it back."
        return replace(
            self,
            state=LinkState.HELD,
            last_applied={},
            field_problems={},
            sent={},
            in_flight=None,
            target_fingerprint=None,
            problem=Problem(ProblemKind.HELD, why, now),
        )

    def held_without_target(self, now: datetime | None = None) -> Link:
        """The link of an adopted milestone that an undo unlinked."""
        return replace(self.held(now), testably_id=None, observed={}, target_parent=None)

    # --- problems and people

    def with_problem(self, problem: Problem | None, now: datetime) -> Link:
        """With this problem; one of the same kind keeps its age and its count."""
        before = self.problem
        if problem is None:
            return replace(self, problem=None)
        if before is not None and before.kind == problem.kind:
            kept = replace(before, reason=problem.reason)
            return replace(self, problem=kept)
        return replace(self, problem=replace(problem, since=now))

    def to_try(self) -> Link:
        """About to be written: of its problem only that its writes failed is kept."""
        return replace(self, problem=self._failure)

    @property
    def _failure(self) -> Problem | None:
        problem = self.problem
        if problem is None:
            return None
        failed = problem.kind.is_failure or problem.kind is ProblemKind.REFUSED
        return problem if failed else None

    def refused(self, reason: str, now: datetime) -> Link:
        """The target understood a write and said no; refused again, it counts on."""
        before = self.problem
        if before is not None and before.kind is ProblemKind.REFUSED:
            return replace(self, problem=before.refused_again(reason, now))
        return replace(self, problem=Problem(ProblemKind.REFUSED, reason, now))

    def failed(self, kind: ProblemKind, why: str, now: datetime, *, counts: bool) -> Link:
        """A write failed for a reason that may pass, which may count against it (R6)."""
        return replace(self, problem=failure(self.problem, kind, why, now, counts=counts))

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

    def retried(self) -> Link:
        """A person said `retry`: what failed is tried again.

        Of a create that was left to a person, what is still alive is its own.
        """
        return replace(
            self,
            attempt_deadline=None if self.awaits_person else self.attempt_deadline,
            problem=None,
            field_problems={},
            sent={},
            attempts=0,
            target_fingerprint=None,
            look_again=True,
        )

    def without_whole(self) -> Link:
        """Held, and accepted by nobody any more."""
        return replace(self, field_problems=_without(self.field_problems, {WHOLE: None}))

    def deciding(self, problems: Mapping[str, FieldProblem]) -> Link:
        """With what a person accepted or revoked."""
        return replace(self, field_problems={**self.field_problems, **problems})

    # --- the row

    def leased(self, until: datetime | None, change_id: int) -> Link:
        """Leased for the write that was journaled as ``change_id``."""
        return replace(self, lease_until=until, change_id=change_id)

    def released(self) -> Link:
        """Leased by nobody."""
        return replace(self, lease_until=None)

    def saved(self) -> Link:
        """As it stands once it is written."""
        return replace(self, version=self.version + 1)

    def brought_up_to(self, now: Link) -> Link:
        """``now``, with what this one knows of the source."""
        return replace(
            now,
            name=self.name,
            raw=self.raw,
            has_children=self.has_children,
            source_fingerprint=self.source_fingerprint,
        )


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


def failures_of(link: Link) -> tuple[Failure, ...]:
    """Everything about a link that `milesync failures` lists."""
    found = []
    if link.problem is not None and link.problem.kind.needs_person:
        problem = link.problem
        since = None if problem.since is None else moment(problem.since.isoformat())
        taken = WHOLE in link.field_problems and link.field_problems[WHOLE].accepted
        found.append(
            Failure(None, problem.kind, problem.reason, since, problem.count, accepted=taken)
        )
    for name, one in sorted(link.field_problems.items()):
        if name != WHOLE:
            facts = (one.kind, one.reason, one.since, one.count, one.accepted)
            found.append(Failure(name, *facts, one.desired, one.live))
    return tuple(found)


def altered(name: str, sent: str | None, shown: str | None) -> str:
    """Why a value that was sent and is shown otherwise needs a person."""
    field_name = name.replace("_", " ")
    if sent is None:
        return f"Testably took the empty {field_name} and still shows a value."
    if name == "description":
        return "Testably stored the description otherwise than it was sent."
    return f"Testably took the {field_name} {sent!r} and shows {shown!r}."


def _without(values: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


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


def digest_of(values: Values) -> str:
    """Equal for the same values."""
    return _digest(tuple(part for name in sorted(values) for part in (name, values[name])))


def _digest(facts: tuple[str | int | bool | None, ...]) -> str:
    return hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()
