"""What a run is asked to do: by a person, by what started it, and by the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mappings.milestone import SourceMilestone


class Trigger(StrEnum):
    """What started a run."""

    MIGRATION = "migration"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"
    MANUAL = "manual"
    REBUILD = "rebuild"


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


class Phase(StrEnum):
    """What a run is doing; each of its log lines says so."""

    READING = "reading"
    APPLYING = "applying"
    PROVING = "proving"


LOOKS: Final = "looks"
"""The reading that tells what creates in doubt have left (R2); others are named for their phase."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person allowed or asked for in this run.

    ``reviewed``: it is to write what was reviewed, and nothing else, were it edited meanwhile.
    """

    trigger: Trigger = Trigger.MANUAL
    only: Only | None = None
    adopt_by_name: bool = False
    create_anyway: bool = False
    allow_mass_archive: bool = False
    allow_mass_recreate: bool = False
    archive_in_use: bool = False
    verify: bool = True
    reviewed: bool = False

    @property
    def by_person(self) -> bool:
        """Whether a person has seen the plan: then held links and changed rules are released."""
        return self.trigger is Trigger.MIGRATION

    @property
    def is_routine(self) -> bool:
        """Whether the run only keeps a whole project in step, and nobody looks at its plan."""
        return self.trigger in (Trigger.SCHEDULE, Trigger.MANUAL) and self.only is None

    @property
    def proves(self) -> bool:
        """Whether a run that writes ends with the proof: both sides are read once more."""
        return self.by_person and self.verify

    def as_json(self) -> dict[str, Any]:
        """The options that decide the plan."""
        return {
            "only": self.only.value if self.only else None,
            "adopt_by_name": self.adopt_by_name,
            "create_anyway": self.create_anyway,
            "allow_mass_archive": self.allow_mass_archive,
            "allow_mass_recreate": self.allow_mass_recreate,
            "archive_in_use": self.archive_in_use,
        }

    @property
    def flags(self) -> str:
        """The same as `plan` and `migrate` take them: `` --only open --adopt-by-name``."""
        given = [(name, value) for name, value in self.as_json().items() if value]
        return "".join(
            f" --{name.replace('_', '-')}{'' if value is True else f' {value}'}"
            for name, value in given
        )


@dataclass(frozen=True, slots=True)
class RunMode:
    """How a run is done; by hand it is done whole, and holds its pair.

    ``of`` is the recorded run that a background task goes on with (None begins one). ``is_over``
    is asked about once a second whether to end here; the run is then unfinished. So it is where it
    ``gives_way`` to refreshes, about which it is asked while it writes. What is not
    ``exclusive`` (a refresh) does not hold the pair: each of its writes leases its link.
    ``undoes`` is the run that this one takes back. ``before_writes`` is called before it writes.
    """

    of: str | None = None
    is_over: Callable[[], bool] = lambda: False
    gives_way: Callable[[], bool] = lambda: False
    exclusive: bool = True
    undoes: str | None = None
    before_writes: Callable[[], None] = lambda: None


WHOLE = RunMode()


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
