"""Everything a plan is made from, as values: what `gather` found and what a person allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mappings.link import Link
from mappings.milestone import MappingRules, SourceMilestone, TargetMilestone
from worker.sync.ports import SourceListing


class Trigger(StrEnum):
    """What started a run."""

    MIGRATION = "migration"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"
    MANUAL = "manual"


class Only(StrEnum):
    """A migration narrowed by the source's flags; a child's parent always comes along."""

    OPEN = "open"
    COMPLETED = "completed"
    STARTED = "started"
    UPCOMING = "upcoming"

    def takes(self, source: SourceMilestone) -> bool:
        """Whether the milestone itself is in scope."""
        if self is Only.COMPLETED:
            return source.is_completed
        if source.is_completed:
            return False
        return self is Only.OPEN or source.is_started == (self is Only.STARTED)


@dataclass(frozen=True, slots=True)
class Options:
    """What a person allowed or asked for in this run."""

    trigger: Trigger = Trigger.MANUAL
    only: Only | None = None
    adopt_by_name: bool = False
    create_anyway: bool = False
    allow_mass_archive: bool = False
    allow_mass_recreate: bool = False

    @property
    def by_person(self) -> bool:
        """Whether a person has seen the plan: then held links and changed rules are released."""
        return self.trigger is Trigger.MIGRATION

    def as_json(self) -> dict[str, Any]:
        """The options that decide the plan."""
        return {
            "only": self.only.value if self.only else None,
            "adopt_by_name": self.adopt_by_name,
            "create_anyway": self.create_anyway,
        }


class OnTargetEdit(StrEnum):
    """Who wins when a field was edited in Testably."""

    SOURCE = "source"
    TARGET = "target"


class OnSourceDelete(StrEnum):
    """What becomes of the target of a milestone that is gone at the source."""

    ARCHIVE = "archive"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Policy:
    """The two decisions that the settings make."""

    on_target_edit: OnTargetEdit = OnTargetEdit.SOURCE
    on_source_delete: OnSourceDelete = OnSourceDelete.ARCHIVE


@dataclass(frozen=True, slots=True)
class TargetView:
    """What is known of the target.

    ``listed`` is False in a scheduled run that trusts the last listing: a target that is not in
    ``milestones`` then stands as it was last echoed. ``gone`` are ids proved to be gone,
    ``unproved`` ids that could not be read, with the reason.
    """

    milestones: Mapping[str, TargetMilestone] = field(default_factory=dict)
    listed: bool = True
    complete: bool = True
    gone: frozenset[str] = frozenset()
    unproved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """The situation of one pair at one time."""

    rules: MappingRules
    source: SourceListing
    links: Mapping[int, Link]
    target: TargetView
    now: datetime
    options: Options = Options()
    policy: Policy = Policy()
    gone: frozenset[int] = frozenset()
    """Source ids proved to be gone: missing from a complete list, and answered with 400."""
    unproved: Mapping[int, str] = field(default_factory=dict)
    """Source ids missing from a complete list whose absence could not be proved, and why."""
    agreed: frozenset[int] = frozenset()
    """Source ids whose both sides are as they were when they last agreed: nothing to decide."""
    whole_project: bool = True
    """False for a refresh of single milestones: then absence means nothing."""
