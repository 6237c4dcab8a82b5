"""What is known of a link's fields: read, sent, answered, refused, and lived with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from mappings.field_names import FIELD_NAMES
from mappings.fingerprints import digest_of, fingerprint_of_source, fingerprint_of_target
from mappings.link_record import LinkRecord, Sent
from mappings.milestone import (
    FIELDS,
    BadRecord,
    SourceMilestone,
    TargetMilestone,
    Values,
    same_value,
)
from mappings.problem import WHOLE, FieldProblem, ProblemKind
from mappings.sharing import EMPTY, kept_once, unless_equal

UNDONE = "An undo took it back."


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of the target taught about the fields of a linked milestone."""

    last_applied: Values
    observed: Values
    sent: Mapping[str, Sent]
    field_problems: Mapping[str, FieldProblem]


@dataclass(frozen=True, slots=True)
class LinkValues(LinkRecord):
    """A link with every step that concerns what its fields are; its state stays what it is."""

    # --- what a reading taught

    def read_from(
        self, source: SourceMilestone, *, has_children: bool, listed: bool = False
    ) -> Self:
        """With what TestRail says of it; whether both sides agree is open again.

        Of what has a target, its parent as well where the whole project was ``listed``.
        """
        return replace(
            self,
            name=source.name,
            raw=source.raw,
            parent_id=source.parent_id if listed and self.has_target else self.parent_id,
            has_children=has_children,
            source_fingerprint=kept_once(fingerprint_of_source(source)),
            target_fingerprint=None,
        )

    def with_raw(self, record: BadRecord) -> Self:
        """With a TestRail record that cannot be read as a milestone."""
        return replace(self, name=self.name or record.name, raw=dict(record.raw))

    def observed_in(
        self, live: TargetMilestone, reading: Reading, *, to_push: bool, kept: bool
    ) -> Self:
        """With what the target shows; what is still to be pushed stays as it was journaled.

        With an edit that is ``kept`` it stays known when the target was last as it was written.
        """
        return replace(
            self,
            last_applied=unless_equal(reading.last_applied, self.last_applied),
            observed=unless_equal(reading.observed, self.observed),
            sent=reading.sent or EMPTY,
            field_problems=reading.field_problems or EMPTY,
            observed_at=self.observed_at if to_push or kept else live.updated_at,
            in_flight=self.in_flight if to_push else None,
            target_parent=live.parent_id,
            look_again=False,
        )

    def seen_as(self, live: TargetMilestone) -> Self:
        """With what the target shows of a link that is not followed."""
        return replace(
            self, observed=live.values, observed_at=live.updated_at, target_parent=live.parent_id
        )

    def seen_without_target(self) -> Self:
        """Of a held milestone that has no target any more: nothing is shown of it."""
        return replace(self, testably_id=None, observed={}, target_parent=None)

    def agreed(self, live: TargetMilestone, counts: str, until: int | None) -> Self:
        """With the note of a target that was found to agree in everything."""
        print_ = fingerprint_of_target(live)
        return replace(self, target_fingerprint=print_, agreed_counts=counts, agreed_until=until)

    def says_the_same(self, other: Self) -> bool:
        """Whether the two differ in nothing but the note that both sides agree."""
        noted = (self.target_fingerprint, self.agreed_counts, self.agreed_until)
        fingerprint, counts, until = noted
        return self == replace(
            other, target_fingerprint=fingerprint, agreed_counts=counts, agreed_until=until
        )

    @property
    def agreement(self) -> tuple[str, str | None, int | None] | None:
        """The note that both sides agree, if they do."""
        if self.target_fingerprint is None:
            return None
        return self.target_fingerprint, self.agreed_counts, self.agreed_until

    def to_look_again(self) -> Self:
        """Marked, so that the next run reads its target."""
        return replace(self, look_again=True)

    # --- updating

    def begin_update(self, values: Values) -> Self:
        """These values are about to be sent."""
        return replace(self, in_flight={**(self.in_flight or {}), **values})

    def not_updated(self, before: Self) -> Self:
        """The update was certainly not carried out; what was in flight before still is."""
        return replace(self, in_flight=before.in_flight)

    def updated(self, values: Values, answer: TargetMilestone, since: str) -> Self:
        """The target answered; of the fields that were sent, its answer is what was observed.

        Of a held one it is so of every field: nobody is to be overwritten.
        """
        shown = {name: answer.values[name] for name in (FIELDS if self.is_held else values)}
        edited = self._is_edited_in(answer, shown)
        applied = replace(
            self,
            last_applied={**self.last_applied, **values},
            observed={**self.observed, **shown},
            observed_at=self.observed_at if edited else answer.updated_at,
            in_flight=None,
            problem=self.problem if self.problem and not self.problem.passes else None,
        )
        return applied.answered(values, answer, since)

    def edited_over(self, values: Values) -> Self:
        """With the knowledge that these were applied before a person's edits that now stand."""
        return replace(
            self,
            last_applied={**self.last_applied, **values},
            observed={**self.observed, **values},
        )

    def _is_edited_in(self, answer: TargetMilestone, known: Values) -> bool:
        """Whether an answer shows another field than the ``known`` ones otherwise than before."""
        others = self.observed.keys() - known.keys()
        return any(not same_value(n, self.observed[n], answer.values[n]) for n in others)

    def answered(self, values: Values, answer: TargetMilestone, since: str) -> Self:
        """Counts what was sent; a value that the answer shows otherwise is `altered` at once."""
        sent = dict(self.sent)
        problems = without(self.field_problems, values)
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

    def rejects(self, name: str, problem: FieldProblem) -> Self:
        """The target refused a value for one field."""
        return replace(
            self,
            observed={**self.observed, name: problem.live},
            in_flight=without(self.in_flight or {}, {name: None}) or None,
            field_problems={**self.field_problems, name: problem},
            sent=without(self.sent, {name: None}),
        )

    def left_to_target(self, name: str, value: str | None) -> Self:
        """The target refused a value for a field that is its own to say: it was sent once."""
        return replace(
            self,
            last_applied={**self.last_applied, name: value},
            in_flight=without(self.in_flight or {}, {name: None}) or None,
            field_problems=without(self.field_problems, {name: None}),
            sent=without(self.sent, {name: None}),
        )

    def forgiving(self, names: frozenset[str]) -> Self:
        """Without problems of fields that are the target's own to say."""
        left = {n: p for n, p in self.field_problems.items() if n not in names}
        return replace(self, field_problems=left)

    # --- what a person lives with

    def with_field_problems(self, found: Mapping[str, FieldProblem]) -> Self:
        """With these problems of single fields, and no others."""
        return replace(self, field_problems=found or EMPTY)

    def whole_accepted(self, since: str) -> FieldProblem:
        """That a person lives with a held milestone, as both sides stand now."""
        live = digest_of(self.observed) if self.has_target else None
        return FieldProblem(
            ProblemKind.HELD, self.source_fingerprint, live, UNDONE, since, accepted=True
        )

    @property
    def is_accepted(self) -> bool:
        """Whether a person lives with a held milestone, and neither side has changed since."""
        taken = self.field_problems.get(WHOLE)
        return taken is not None and taken == self.whole_accepted(taken.since)

    def deciding(self, problems: Mapping[str, FieldProblem]) -> Self:
        """With what a person accepted or revoked."""
        return replace(self, field_problems={**self.field_problems, **problems})

    def without_whole(self) -> Self:
        """Held, and accepted by nobody any more."""
        return replace(self, field_problems=without(self.field_problems, {WHOLE: None}))


def altered(name: str, sent: str | None, shown: str | None) -> str:
    """Why a value that was sent and is shown otherwise needs a person."""
    field_name = FIELD_NAMES[name][-1]
    if sent is None:
        return f"Testably took the empty {field_name} and still shows a value."
    if name == "description":
        return "Testably stored the description otherwise than it was sent."
    return f"Testably took the {field_name} {sent!r} and shows {shown!r}."


def without(values: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
