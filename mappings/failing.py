"""Writes that fail for now: when one counts against its milestone, and how often it may (R6)."""

from __future__ import annotations

from datetime import datetime, timedelta

from mappings.problem import QUARANTINED_AT, Problem, ProblemKind

LONG_FAILING = timedelta(hours=1)
"""Failures that span so long count, whatever else was written meanwhile."""


def failure(
    before: Problem | None, kind: ProblemKind, why: str, now: datetime, *, counts: bool
) -> Problem:
    """The problem of a milestone whose write failed, after the one ``before`` (R6).

    Counted in enough runs, it is one that keeps failing. ``why`` is what the target said.
    """
    known = before if before is not None and before.kind.is_failure else None
    since = known.since if known is not None and known.since is not None else now
    count = known.count if known is not None and known.has_count else 0
    counted_at = known.counted_at if known is not None else None
    if counts:
        count, counted_at = count + 1, now
    if count < QUARANTINED_AT:
        return Problem(kind, why, since, count or 1, counted_at)
    soon = "in an hour" if count == QUARANTINED_AT else "in a day"
    reason = f"It failed in {count} runs and is tried again {soon}. {why}"
    return Problem(ProblemKind.KEEPS_FAILING, reason, since, count, counted_at)


def failure_counts(
    before: Problem | None, now: datetime, *, wrote: bool, once_since: datetime
) -> bool:
    """Whether a failed write counts: once a run, and not while the target takes no writes (R6).

    ``wrote`` says that another write of the run succeeded; what was counted after ``once_since`` is
    not counted again.
    """
    if before is None or not before.kind.is_failure:
        return wrote
    if before.counted_at is not None:
        return before.counted_at <= once_since
    spans = before.since is not None and now - before.since >= LONG_FAILING
    return wrote or spans
