"""What can be wrong with a milestone, what each kind means, and what a person does about it. Pure.

The one list of problem kinds: the plan, the exit code, `failures`, the pages, the metrics and the
operators' table all read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Self

from mappings.commands import for_project


class Effect(Enum):
    """What a kind of problem means for the next run."""

    BLOCKS = "It is not tried again until the TestRail record changes, or after `retry`."
    RESTS = (
        "It is tried again after an hour, then once a day; at once when the TestRail record "
        "changes, or after `retry`."
    )
    PASSES = "It goes by itself, or with another milestone's; the next run tries it again."
    DECIDE = "A person decides; every run looks at it anew."
    INFORMS = "A setting wants it so; there is nothing to do."


class ProblemKind(StrEnum):
    """Every kind, with its effect and the next step; ``{id}`` stands for the TestRail id."""

    effect: Effect
    next_step: str

    def __new__(cls, value: str, effect: Effect, next_step: str) -> Self:
        self = str.__new__(cls, value)
        self._value_ = value
        self.effect = effect
        self.next_step = next_step
        return self

    # --- of one field
    REJECTED = (
        "rejected",
        Effect.BLOCKS,
        "Set the field by hand in Testably, then `milesync retry {id}`; or `milesync accept {id}`.",
    )
    ALTERED = (
        "altered",
        Effect.BLOCKS,
        "Change the value in TestRail to one that Testably keeps, or `milesync accept {id}`.",
    )
    IMMOVABLE = (
        "immovable",
        Effect.DECIDE,
        "Move it by hand in Testably, or `milesync accept {id}`.",
    )
    # --- of a milestone as a whole
    HELD = (
        "held",
        Effect.DECIDE,
        "`milesync migrate` takes it up again; or leave it so with `milesync accept {id}`.",
    )
    UNDO_FAILED = (
        "undo_failed",
        Effect.DECIDE,
        (
            "Mend it by hand in Testably, or undo the run again; `milesync migrate` releases it; "
            "or leave it so with `milesync accept {id}`."
        ),
    )
    CHANGED_SINCE = (
        "changed_since",
        Effect.DECIDE,
        (
            "Undo the run with `--force`, as said, to take it back all the same; "
            "`milesync migrate` takes it up again; or leave it so with `milesync accept {id}`."
        ),
    )
    BAD_RECORD = ("bad_record", Effect.DECIDE, "Correct the milestone in TestRail.")
    OWN_PARENT = ("own_parent", Effect.DECIDE, "Give the milestone another parent in TestRail.")
    PARENT_CIRCLE = (
        "parent_circle",
        Effect.DECIDE,
        "Give one of these milestones another parent in TestRail.",
    )
    UNKNOWN_PARENT = (
        "unknown_parent",
        Effect.DECIDE,
        "Give the milestone a parent in TestRail that exists and can be read.",
    )
    NAME_CONFLICT = (
        "name_conflict",
        Effect.DECIDE,
        "`milesync migrate --adopt-by-name`, or `milesync migrate --create-anyway`.",
    )
    SEVERAL_NAMED = (
        "several_named",
        Effect.DECIDE,
        (
            "Leave one of the name on each side (rename others, or archive them in Testably), then "
            "`milesync migrate --adopt-by-name`; or make new: `milesync migrate --create-anyway`."
        ),
    )
    SEVERAL_MARKED = (
        "several_marked",
        Effect.DECIDE,
        "Archive all but one of them in Testably, then `milesync retry {id}`.",
    )
    IN_DOUBT_FOR_A_PERSON = (
        "in_doubt_for_a_person",
        Effect.DECIDE,
        "In Testably mend what is unreadable, archive what is not its own; `milesync retry {id}`.",
    )
    SECOND_TARGET = (
        "second_target",
        Effect.DECIDE,
        "Archive in Testably the one that is not wanted.",
    )
    SOURCE_GONE = (
        "source_gone",
        Effect.DECIDE,
        "Archive it in Testably, or take TestRail's address out of its description.",
    )
    TARGET_GONE = (
        "target_gone",
        Effect.DECIDE,
        "Delete the milestone in TestRail too, or set `on_target_edit` to `source` for one run.",
    )
    IN_USE = (
        "in_use",
        Effect.DECIDE,
        "End the test runs, or archive it all the same: `milesync migrate --archive-in-use`.",
    )
    REFUSED = (
        "refused",
        Effect.BLOCKS,
        "Correct the milestone in TestRail, or `milesync retry {id}`.",
    )
    KEEPS_FAILING = (
        "keeps_failing",
        Effect.RESTS,
        "`milesync retry {id}` tries it at once; if it still fails, change it in TestRail.",
    )
    # --- what passes
    WAITING = ("waiting", Effect.PASSES, "See what keeps its parent: `milesync failures`.")
    IN_DOUBT = ("in_doubt", Effect.PASSES, "`milesync sync` looks for it before it creates again.")
    UNREAD = ("unread", Effect.PASSES, "`milesync sync` reads it again.")
    ABSENCE_UNPROVED = (
        "absence_unproved",
        Effect.PASSES,
        "`milesync sync` asks TestRail again; see that the account can read the project.",
    )
    HELD_UP = ("held_up", Effect.PASSES, "`milesync sync` tries it again.")
    NOT_FOUND = ("not_found", Effect.PASSES, "`milesync sync` reads the lists again.")
    ACCESS_DENIED = (
        "access_denied",
        Effect.PASSES,
        "Let this account write it in Testably; what stands before Testably may refuse its text.",
    )
    REDIRECTED = ("redirected", Effect.PASSES, "`milesync check` tries the address of Testably.")
    RATE_LIMITED = ("rate_limited", Effect.PASSES, "`milesync sync` tries it again.")
    MAINTENANCE = ("maintenance", Effect.PASSES, "`milesync sync` tries it again afterwards.")
    SERVER_ERROR = ("server_error", Effect.PASSES, "`milesync sync` tries it again.")
    TIMEOUT = ("timeout", Effect.PASSES, "`milesync sync` tries it again.")
    CONNECTION_LOST = ("connection_lost", Effect.PASSES, "`milesync sync` tries it again.")
    UNREADABLE = ("unreadable", Effect.PASSES, "`milesync sync` tries it again.")
    TOO_LARGE = ("too_large", Effect.PASSES, "`milesync sync` reads what became of it.")
    UNREACHABLE = ("unreachable", Effect.PASSES, "See that Testably answers: `milesync check`.")
    CERTIFICATE = ("certificate", Effect.PASSES, "`milesync check` says what is wrong with it.")
    WRONG_PROTOCOL = (
        "wrong_protocol",
        Effect.PASSES,
        "See what answers at the address: `milesync check`.",
    )
    PROXY = ("proxy", Effect.PASSES, "See what the proxy answers: `milesync check`.")
    TRANSIENT = ("transient", Effect.PASSES, "`milesync sync` tries it again.")
    CREATE_FAILS = ("create_fails", Effect.PASSES, "`milesync sync` tries it again.")
    # --- of a run as a whole
    NOT_PROVED = (
        "not_proved",
        Effect.PASSES,
        "`milesync verify` reads both sides again and compares.",
    )
    SOURCE_INCOMPLETE = (
        "source_incomplete",
        Effect.PASSES,
        "`milesync sync` reads TestRail's list again.",
    )
    TARGET_INCOMPLETE = (
        "target_incomplete",
        Effect.PASSES,
        "`milesync sync` reads Testably's list again.",
    )
    # --- nothing to do
    TARGET_EDIT_KEPT = (
        "target_edit_kept",
        Effect.INFORMS,
        "Testably's edits win by the setting `on_target_edit`.",
    )

    @property
    def needs_person(self) -> bool:
        """Whether a run with such a problem is only partly done."""
        return self.effect is not Effect.INFORMS

    @property
    def is_hold(self) -> bool:
        """Whether it says that an undo holds the milestone (R9)."""
        return self in (ProblemKind.HELD, ProblemKind.UNDO_FAILED, ProblemKind.CHANGED_SINCE)

    @property
    def is_failure(self) -> bool:
        """Whether it says that Testably failed at a write, which is counted (R6)."""
        return self in _FAILURES

    def advice(self, testrail_id: int | None, project: int | None = None) -> str:
        """The next step about one milestone; ``project`` as in `for_project`."""
        step = self.next_step.replace("{id}", "ID" if testrail_id is None else str(testrail_id))
        return for_project(step, project)


_FAILURES = frozenset(
    {
        ProblemKind.ACCESS_DENIED,
        ProblemKind.REDIRECTED,
        ProblemKind.NOT_FOUND,
        ProblemKind.RATE_LIMITED,
        ProblemKind.MAINTENANCE,
        ProblemKind.SERVER_ERROR,
        ProblemKind.TIMEOUT,
        ProblemKind.CONNECTION_LOST,
        ProblemKind.UNREADABLE,
        ProblemKind.TOO_LARGE,
        ProblemKind.UNREACHABLE,
        ProblemKind.TRANSIENT,
        ProblemKind.CREATE_FAILS,
        ProblemKind.KEEPS_FAILING,
    }
)
QUARANTINED_AT = 3
"""A milestone that failed in so many runs is quarantined (R6)…"""
FIRST_REST = timedelta(hours=1)
"""…tried again after this time…"""
LATER_REST = timedelta(days=1)
"""…and then once in so long."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a milestone as a whole: why, since when and how often.

    A failed write has a count once ``counted_at`` says when it was counted last; times are aware.
    """

    kind: ProblemKind
    reason: str
    since: datetime | None = None
    count: int = 1
    counted_at: datetime | None = None

    @property
    def passes(self) -> bool:
        """Whether a write that succeeds ends it; the others are found again by reading."""
        return self.kind.effect in (Effect.BLOCKS, Effect.RESTS, Effect.PASSES)

    @property
    def has_count(self) -> bool:
        """Whether failures of its writes were counted."""
        return self.kind.is_failure and self.counted_at is not None

    def rests(self, now: datetime) -> bool:
        """Whether it is quarantined for its failures, and not due for another try yet."""
        if self.kind.effect is not Effect.RESTS or self.counted_at is None:
            return False
        rest = FIRST_REST if self.count <= QUARANTINED_AT else LATER_REST
        return now < self.counted_at + rest

    def refused_again(self, reason: str, now: datetime) -> Problem:
        """The same refusal once more: it keeps its age and counts on."""
        return replace(self, reason=reason, since=self.since or now, count=self.count + 1)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A difference in one field that milesync cannot mend.

    It stands for as long as ``desired`` and ``live`` (as last read, with the target's own
    ``updated_at`` at that time) are the same. ``count`` says how often the value was sent,
    ``accepted`` that a person lives with the difference.
    """

    kind: ProblemKind
    desired: str | None
    live: str | None
    reason: str
    since: str
    count: int = 1
    live_at: str | None = None
    accepted: bool = False

    def as_json(self) -> dict[str, Any]:
        """The problem as the store keeps it; `from_json` reads it."""
        return {**asdict(self), "kind": self.kind.value}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> FieldProblem:
        """The problem from what `as_json` gave."""
        return cls(**{**kept, "kind": ProblemKind[kept["kind"].upper()]})

    def decided(self, *, accepted: bool) -> FieldProblem:
        """The problem, accepted by a person or not any more."""
        return replace(self, accepted=accepted)


WHOLE = "*"
"""The key of a field problem that is about the milestone as a whole (held)."""
