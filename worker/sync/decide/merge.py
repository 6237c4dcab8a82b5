"""Which fields of a linked milestone to push: three values a field. Pure.

For each field there are the value the source wants now, the value that was last pushed (with
what the target echoed for it), and the value the target has now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mappings.link import Link
from mappings.milestone import (
    ACTIVE,
    ARCHIVED,
    DATE_FIELDS,
    FIELDS,
    TargetMilestone,
    Values,
    same_value,
)
from worker.sync.options import OnTargetEdit


@dataclass(frozen=True, slots=True)
class Decision:
    """What to push, and what was learned on the way.

    ``edited`` are target values that a push will overwrite, ``kept`` target edits that the
    policy leaves alone, ``link`` the link with everything that needs no write already recorded.
    """

    link: Link
    push: Values = field(default_factory=dict)
    edited: Values = field(default_factory=dict)
    kept: Values = field(default_factory=dict)


def decide(
    link: Link,
    wanted: Values,
    actual: TargetMilestone | None,
    *,
    derived: bool,
    policy: OnTargetEdit,
    expects_children: bool = False,
) -> Decision:
    """Compare the three values of every field.

    ``actual`` is None when the target was not read: it then stands as last echoed. ``derived``
    says that the target has sub-milestones, so that its status and dates are Testably's own;
    ``expects_children`` that it is to get them in this run, so that its status can wait.
    """
    now = link.observed if actual is None else actual.values
    touched = actual is not None and actual.updated_at != link.observed_at
    notes = _Notes(
        dict(link.last_applied), dict(link.observed), dict(link.overwrote), dict(link.told)
    )
    for name in FIELDS:
        own = derived or (expects_children and name == "status")
        value = _wanted(name, wanted, now, own=own)
        notes.take(_Field(name, value, now.get(name), link, touched, own, policy))
    learned = replace(
        link,
        last_applied=notes.last_applied,
        observed=notes.observed,
        overwrote=notes.overwrote,
        told=notes.told,
        observed_at=link.observed_at if actual is None or notes.push else actual.updated_at,
        in_flight=link.in_flight if notes.push or actual is None else None,
        target_parent=link.target_parent if actual is None else actual.parent_id,
        look_again=link.look_again and actual is None,
    )
    return Decision(learned, notes.push, notes.edited, notes.kept)


def _wanted(name: str, wanted: Values, now: Values, *, own: bool) -> str | None:
    """What to ask for; of an archived parent only that it comes back, to be derived again."""
    back = own and name == "status" and now.get("status") == ARCHIVED
    return ACTIVE if back else wanted[name]


@dataclass(frozen=True, slots=True)
class _Field:
    """One field with its three values."""

    name: str
    wanted: str | None
    now: str | None
    link: Link
    touched: bool
    derived: bool
    policy: OnTargetEdit

    @property
    def ours(self) -> bool:
        """Whether the target shows what a write that was cut off had journaled."""
        return self._same(self.link.in_flight or {})

    @property
    def source_changed(self) -> bool:
        """Whether the source wants another value than was last pushed."""
        last_applied = self.link.last_applied
        return self.ours or self.name not in last_applied or last_applied[self.name] != self.wanted

    @property
    def target_changed(self) -> bool:
        """Whether a person edited the field in the target since the last push.

        A value never seen before (adopted) is a person's if the target's edits win.
        """
        if self.ours:
            return False
        if self.name not in self.link.observed:
            return self.policy is OnTargetEdit.TARGET
        if self.derived and self.name in DATE_FIELDS:
            return False
        return not self._same(self.link.observed)

    @property
    def settled(self) -> bool:
        """Whether the target already has what the source wants."""
        return same_value(self.name, self.wanted, self.now)

    @property
    def refused(self) -> bool:
        return self.name in self.link.refused and self.link.refused[self.name] == self.wanted

    @property
    def cannot_stick(self) -> bool:
        """Whether the target shows again what the last push replaced by the same value.

        Once it may be a person who made the same edit again, if the target says that it was
        changed since; twice is a target that does not take the value.
        """
        if self.policy is OnTargetEdit.TARGET or self.source_changed:
            return False
        if not self._same(self.link.overwrote):
            return False
        return not self.touched or self.again in self.link.told

    @property
    def again(self) -> str:
        """The name under which a repeated push is remembered."""
        return f"again:{self.name}"

    @property
    def testablys_own(self) -> bool:
        """Whether Testably derives this value from the sub-milestones."""
        if not self.derived:
            return False
        if self.name == "status":
            return self.now != ARCHIVED
        unknown = self.name not in self.link.last_applied
        return self.name in DATE_FIELDS and (unknown or not self.source_changed)

    def _same(self, others: Values) -> bool:
        return self.name in others and same_value(self.name, self.now, others[self.name])


@dataclass(slots=True)
class _Notes:
    """Collects the decision field by field."""

    last_applied: dict[str, str | None]
    observed: dict[str, str | None]
    overwrote: dict[str, str | None]
    told: dict[str, str]
    push: dict[str, str | None] = field(default_factory=dict)
    edited: dict[str, str | None] = field(default_factory=dict)
    kept: dict[str, str | None] = field(default_factory=dict)

    def take(self, side: _Field) -> None:
        if side.testablys_own:
            self._leave_to_testably(side)
        elif side.settled:
            self._agreed(side)
        elif side.refused:
            self.observed[side.name] = side.now
        elif side.target_changed and not side.cannot_stick:
            self._edited_in_target(side)
        elif side.source_changed:
            self.push[side.name] = side.wanted
        else:
            self.observed[side.name] = side.now

    def _leave_to_testably(self, side: _Field) -> None:
        self.observed[side.name] = side.now
        if side.name == "status":
            # Forgotten, so that it is pushed once the last sub-milestone is gone.
            self.last_applied.pop("status", None)
        else:
            self.last_applied[side.name] = side.wanted

    def _agreed(self, side: _Field) -> None:
        self.last_applied[side.name] = side.wanted
        self.observed[side.name] = side.now
        self.overwrote.pop(side.name, None)
        self.told.pop(side.again, None)

    def _edited_in_target(self, side: _Field) -> None:
        if side.policy is OnTargetEdit.TARGET:
            self.kept[side.name] = side.now
            return
        if side.name in self.overwrote and not side.source_changed:
            self.told[side.again] = ""
        self.push[side.name] = side.wanted
        self.edited[side.name] = side.now


def changed_fields(before: Mapping[str, str | None], after: Values) -> dict[str, str | None]:
    """The before-values of exactly the fields in ``after``."""
    return {name: before.get(name) for name in after}
