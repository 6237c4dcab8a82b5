"""The life of a link between one milestone's two sides: every step of it. Pure.

```
UNLINKED ──begin_create──► CREATING ──created / adopted──► LINKED ──archived──► ARCHIVED
    ▲──── not_created ────────┘ └─ in_doubt                    │ ▲                  │
    └───────────────── unlinked ──► HELD ◄──── held ───────────┘ └──── released ────┘
```

Each step is a method that returns the link as it then stands; `mappings.store` keeps it. What is
recorded is in `link_record.py`, what concerns single fields in `link_values.py`; no other file
replaces a link's fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mappings.failing import failure
from mappings.link_record import LinkState
from mappings.link_values import UNDONE, LinkValues, without
from mappings.milestone import ACTIVE, ARCHIVED, TargetMilestone, Values, same_value
from mappings.problem import WHOLE, Problem, ProblemKind
from mappings.sharing import EMPTY
from mappings.stored_text import can_be_description


@dataclass(frozen=True, slots=True)
class Link(LinkValues):
    """The recorded pair of ids, and the last known values on the way between them."""

    @classmethod
    def in_step(cls, facts: Mapping[str, Any]) -> Link:
        """A linked one whose both sides agreed, of which only these facts are read."""
        return cls(**facts, state=LinkState.LINKED)

    # --- creating

    def below(self, parent_id: int | None) -> Link:
        """To be created under the target of this TestRail milestone, or at the root."""
        return replace(self, parent_id=parent_id)

    def begin_create(
        self,
        posted: Values,
        at: datetime,
        deadline: datetime,
        newest: str | None = None,
        before: tuple[str, ...] | None = None,
        parent: str | None = None,
    ) -> Link:
        """A POST below ``parent`` is about to be sent at ``at``, given up at ``deadline``.

        Both times are aware; ``newest`` and ``before`` say what was there before it.
        """
        return replace(
            self,
            state=LinkState.CREATING,
            in_flight=posted,
            attempt_at=at,
            attempt_deadline=deadline,
            attempt_newest=newest,
            attempt_before=before,
            attempt_asked=None,
            attempt_parent=parent,
        )

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

    def left_to_person(self, problem: Problem, now: datetime, among: Iterable[str]) -> Link:
        """What its create left behind cannot be told; it stays in doubt until `retry`.

        What a person says then is about the targets ``among`` which it may be, and no others.
        """
        deadline = self.attempt_deadline or now
        asked = replace(self, attempt_deadline=deadline, attempt_asked=tuple(sorted(among)))
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
            attempt_before=None,
            attempt_asked=None,
            attempt_parent=None,
            attempts=0,
            problem=None,
        )
        return linked.answered(posted, made, since)

    def found(self, left: TargetMilestone, parent: str | None, since: str) -> Link:
        """What a create in doubt left behind; what was changed there since, a person did.

        A description that can be what was sent is the target's way to store it, and no edit; and a
        POST leaves a milestone active.
        """
        linked = self.created(left, parent, since)
        status: dict[str, str | None] = {"status": ACTIVE}
        posted = {**(self.in_flight or {}), **status}
        if left.updated_at is not None and left.updated_at == left.created_at:
            posted = status
        elif can_be_description(left.description, posted.get("description")):
            posted.pop("description", None)
        edited = {n: v for n, v in posted.items() if not same_value(n, v, left.values[n])}
        return replace(
            linked,
            last_applied={**linked.last_applied, **status},
            observed={**linked.observed, **edited},
            field_problems=without(linked.field_problems, edited),
        )

    def adopted(self, target: TargetMilestone) -> Link:
        """Linked to a target that is there already; nothing was ever applied to it.

        What a create in doubt had in flight is ours, unless a person has decided, who knows what it
        is, and not whose it was; a POST leaves a milestone active.
        """
        is_ours = self.state is LinkState.CREATING and not self.is_decided
        cut_off = self.in_flight if is_ours else None
        return replace(
            self.without_target(),
            testably_id=target.id,
            state=LinkState.LINKED,
            in_flight=cut_off and {**cut_off, "status": ACTIVE},
            problem=None,
            attempt_at=None,
            attempt_deadline=None,
            attempt_newest=None,
            attempt_before=None,
            attempt_asked=None,
            attempt_parent=None,
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

    # --- its end, and back

    def linked(self) -> Link:
        """Followed, with no problem but that its writes failed: a success ends that.

        Whether both sides agree is open again.
        """
        free = self.without_whole() if WHOLE in self.field_problems else self
        return replace(
            free,
            state=LinkState.LINKED,
            observed=self.baseline,
            problem=self._failure,
            target_fingerprint=None,
        )

    def archived(self) -> Link:
        """Its source is gone, and its target archived or gone too; a second target stays told."""
        problem = self.problem
        if problem is not None and problem.kind is not ProblemKind.SECOND_TARGET:
            problem = None
        return replace(self, state=LinkState.ARCHIVED, problem=problem, field_problems={}, sent={})

    def archived_if_shown(self) -> Link:
        """Archived only if the target's answer says so."""
        return self.archived() if self.observed.get("status") == ARCHIVED else self

    def orphaned(self) -> Link:
        """Its source is gone, and the policy leaves its target."""
        return replace(self, state=LinkState.ORPHANED, problem=None, field_problems={}, sent={})

    def held(
        self,
        now: datetime,
        why: Problem | None = None,
        stays: Collection[str] = (),
        edited: Values = EMPTY,
    ) -> Link:
        """Taken back by an undo: what was applied is forgotten, so that a migration sends it.

        ``why`` says what kept the undo from it, if something did; it is held all the same. What
        was applied of the fields that the undo does not put back, which are ``stays``, stays known,
        and so does what was applied of those in which an edit was put back, which are ``edited``.
        """
        return replace(
            self,
            state=LinkState.HELD,
            last_applied={n: v for n, v in self.last_applied.items() if n in stays} | dict(edited),
            field_problems={},
            sent={},
            in_flight=None,
            target_fingerprint=None,
            problem=replace(why or Problem(ProblemKind.HELD, UNDONE), since=now),
        )

    def held_without_target(self, now: datetime) -> Link:
        """The link of an adopted milestone that an undo unlinked."""
        return self.held(now).seen_without_target()

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

    def refused(self, reason: str, now: datetime) -> Link:
        """The target understood a write and said no; refused again, it counts on."""
        before = self.problem
        if before is not None and before.kind is ProblemKind.REFUSED:
            return replace(self, problem=before.refused_again(reason, now))
        return replace(self, problem=Problem(ProblemKind.REFUSED, reason, now))

    def failed(self, kind: ProblemKind, why: str, now: datetime, *, counts: bool) -> Link:
        """A write failed for a reason that may pass, which may count against it (R6)."""
        return replace(self, problem=failure(self.problem, kind, why, now, counts=counts))

    def decided(self) -> Link:
        """Of a create that was left to a person: what still lives of what was asked is its own."""
        return replace(self, attempt_deadline=None)

    def retried(self, *, named: bool = True) -> Link:
        """A person said `retry`: what failed is tried again.

        A create that was left to a person is decided by it where it was ``named``; where all were
        retried, only once some of what was asked is put away. What was accepted of a milestone is
        taken back only where it was named.
        """
        accepted = {name: one for name, one in self.field_problems.items() if one.accepted}
        return replace(
            self.decided() if self.awaits_person and named else self,
            problem=None,
            field_problems={} if named else accepted,
            sent={},
            attempts=0,
            target_fingerprint=None,
            look_again=True,
        )
