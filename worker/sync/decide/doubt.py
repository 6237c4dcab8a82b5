"""A create in doubt, and what of a target tells whether that can be what it left (R2). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mappings.footer import marker_url, split_footer
from mappings.link import Link
from mappings.links import Links
from mappings.milestone import DATE_FIELDS, MappingRules, TargetMilestone, same_value
from mappings.stored_text import can_be_description, reduced
from mappings.text import plain_text
from worker.sync.decide.snapshot import is_archived
from worker.sync.decide.there_before import MENTION

NOWHERE: Final = ""
"""The parent of a create whose parent has lost its target: no target hangs below it."""

Key = tuple[int, int]
"""The pair (0 is the run's own) and the TestRail id of a create."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A create in doubt that was posted below ``parent`` with this ``marker``.

    ``parent_now`` is the target that its parent has by now.
    ``is_ready`` says that its wait is over and that this run may conclude about it. One of another
    ``pair`` that writes into the same project only takes part: ``is_over`` says that its wait is
    over.
    """

    link: Link
    marker: str
    parent: str | None = None
    is_ready: bool = True
    pair: int = 0
    is_over: bool = False
    parent_now: str | None = None

    @property
    def parents(self) -> frozenset[str]:
        """The targets below which it can be."""
        return frozenset(id_ for id_ in (self.parent, self.parent_now) if id_)

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.pair, self.link.testrail_id

    @property
    def is_past(self) -> bool:
        """Whether nothing of it can be under way any more."""
        return self.is_ready or self.is_over or self.link.awaits_person

    def is_named_by(self, target: TargetMilestone) -> bool:
        """Whether a target carries its marker."""
        _, footer = split_footer(target.description)
        return footer is not None and footer.url == plain_text(self.marker)

    def is_mentioned_in(self, target: TargetMilestone) -> bool:
        """Whether its marker stands anywhere in a target's description, also where no footer is.

        So it does where the target has stored the text otherwise, whatever its name is by now.
        """
        shown = target.description or ""
        if not MENTION.search(shown):
            return False
        return bool(re.search(re.escape(plain_text(self.marker)) + r"(?!\d)", plain_text(shown)))

    def after_retry(self, living: Collection[str]) -> Doubt:
        """Decided, if it was retried with all others and a person has put some of it away."""
        asked = self.link.attempt_asked or ()
        if not self.link.is_asked_again or all(id_ in living for id_ in asked):
            return self
        return replace(self, link=self.link.decided())

    def is_met_by(self, target: TargetMilestone) -> bool:
        """Whether it left this: for certain, or because a person put away what it did not."""
        if self.link.is_decided:
            return self.was_asked_about(target) and self.is_hinted_by(target)
        return self.is_certain(target)

    def was_asked_about(self, target: TargetMilestone) -> bool:
        """Whether a person was asked about this, and has not archived it."""
        return target.id in (self.link.attempt_asked or ()) and not is_archived(target)

    def is_told_of(self, target: TargetMilestone) -> bool:
        """Whether a person has decided about this; of what has come since nobody has."""
        return self.link.is_decided and (is_archived(target) or self.was_asked_about(target))

    def what_fits(self, targets: Iterable[TargetMilestone]) -> list[TargetMilestone]:
        """What it can have left of these, the most like it first."""
        return sorted(filter(self.is_met_by, targets), key=lambda t: (self._unlike(t), t.id))

    def is_certain(self, target: TargetMilestone) -> bool:
        """Same name, dates and parent, a description that can be it, and no older by its time.

        An archived one never is: it may have been there, and left out of the list.
        """
        posted = self.link.in_flight or {}
        if self._unlike(target) or target.parent_id != self.parent or target.created_at is None:
            return False
        if is_archived(target) or not (self._is_as_young(target) and self.is_hinted_by(target)):
            return False
        return can_be_description(target.description, posted.get("description"))

    def _unlike(self, target: TargetMilestone) -> int:
        """How many of name and dates are other than they were sent."""
        posted = self.link.in_flight or {}
        names = ("name", *DATE_FIELDS)
        return sum(not same_value(one, posted.get(one), target.values[one]) for one in names)

    def is_hinted_by(self, target: TargetMilestone) -> bool:
        """Whether it can have left this, of which the caller knows that it is near it."""
        is_elsewhere = target.parent_id is not None and target.parent_id not in self.parents
        return self._is_since(target) and not (is_elsewhere or self._is_of_another(target))

    def _is_of_another(self, target: TargetMilestone) -> bool:
        """Whether it carries the marker of another TestRail milestone."""
        _, footer = split_footer(target.description)
        if footer is None or not MENTION.search(footer.url) or self.can_have_cut(target):
            return False
        return reduced(footer.url).casefold() != reduced(self.marker).casefold()

    def can_have_cut(self, target: TargetMilestone) -> bool:
        """Whether its own marker, cut inside the id, is the end of a target's description.

        What is left of it then reads as the marker of another milestone.
        """
        _, footer = split_footer(target.description)
        if footer is None or len(footer.lines) > 1 or not MENTION.search(footer.url):
            return False
        return self.marker != footer.url and self.marker.startswith(footer.url)

    def _is_since(self, target: TargetMilestone) -> bool:
        """Whether it can have appeared since. A plain list need not show archived ones."""
        before = self.link.attempt_before
        if before is not None and target.id in before:
            return False
        is_new = before is not None and not is_archived(target)
        return is_new or self._is_as_young(target)

    def _is_as_young(self, target: TargetMilestone) -> bool:
        """Whether it is not older, by the target's own times, than all that was there before.

        True where it has no time. What is older can still be new, if the target's clock was set
        back.
        """
        newest = self.link.attempt_newest
        if target.created_at is None or newest is None:
            return True
        return datetime.fromisoformat(target.created_at) >= datetime.fromisoformat(newest)

    @property
    def reduced_name(self) -> str:
        return reduced((self.link.in_flight or {}).get("name"))

    @property
    def likeness(self) -> tuple[str | None, ...]:
        """Equal for creates that cannot be told apart by what they left."""
        posted = self.link.in_flight or {}
        return (self.parent, self.reduced_name, *(posted.get(name) for name in DATE_FIELDS))


def doubt_of(link: Link, links: Links, rules: MappingRules, ready: Collection[int]) -> Doubt:
    """A create in doubt of the run's own pair; about those that are ``ready`` it may conclude."""
    now = None
    if link.parent_id is not None:
        above = links.get(link.parent_id)
        now = (above.testably_id if above is not None else None) or NOWHERE
    marker = marker_url(rules.testrail_url, link.testrail_id)
    parent = link.attempt_parent or now
    return Doubt(link, marker, parent, is_ready=link.testrail_id in ready, parent_now=now)
