"""What a slice of a run leaves in Redis for the next one: what was listed, and when that is true.

Kept of the target are the milestones that no link holds, which a create must not double, those that
are still to be changed, the ids that are gone, and what could not be read. All others stand in the
database as they were last observed.

That is true only of this database, and until somebody writes. So it is removed before a slice
writes, kept anew when the slice ends, and worth nothing where the database lacks the change that
was its newest then: it was restored, or a standby that took over has lost its last transactions.
Where nothing of worth is kept, the run has written what nobody knows of, and whatever Testably
answered to it before counts no more, in the database neither: it is read again.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import structlog
from pydantic import TypeAdapter
from redis import Redis
from redis.exceptions import RedisError

from mappings.answers import KEPT_FOR as ANSWERS_KEPT_FOR
from mappings.journal import Mark
from mappings.milestone import TargetMilestone
from worker.sync.apply.outcome import DONE
from worker.sync.decide.unreadable import Unreadable
from worker.sync.read.reading import Begun
from worker.sync.read.scope import Scope
from worker.sync.run import Run

KEPT_FOR: Final = 3600
"""Seconds for which what was listed is kept. Where nothing was, the answers in the database count:
what is kept then stays for as long as they do."""
_LARGEST: Final = 256 * 1024 * 1024
log = structlog.get_logger(__name__)
_NAMES: Final = [
    one.name for one in fields(TargetMilestone) if one.name not in ("linked_runs", "sub_milestones")
]


@dataclass(frozen=True, slots=True)
class Listed:
    """What is kept of a list, as a `Scope` has it.

    ``at`` and ``change`` are those of the reading's `Begun`.
    """

    rows: list[TargetMilestone]
    gone: list[str]
    unread: dict[str, str]
    unreadable: Unreadable
    newest: str | None
    at: datetime
    change: int


@dataclass(frozen=True, slots=True)
class Left:
    """What a slice has left: how far all, and the run, had written by then, and what was listed."""

    newest: Mark
    changes: int
    listed: Listed | None


_LEFT: Final = TypeAdapter(Left)


def save(redis: Redis | None, run: Run) -> None:
    """Keep what the slice leaves that has ended. Raises StoreError.

    One that ended before it had a plan has written nothing: what it found kept counts on.
    """
    if redis is None:
        return
    listed, journal = _listed(run), run.context.store.journal
    left = {"newest": journal.newest(), "changes": journal.count(run.id), "listed": listed}
    packed = zlib.compress(json.dumps(left).encode())
    longest = KEPT_FOR if listed else ANSWERS_KEPT_FOR
    with suppress(RedisError):
        redis.set(_key(run.id), packed, ex=longest, nx=run.planned is None)


def _listed(run: Run) -> dict[str, Any] | None:
    """What the run's complete listing showed, as JSON; nothing before it has a plan."""
    began = run.scope.recalled_from or run.context.answers.began
    if run.planned is None or began is None or not run.planned.snapshot.target.listed_whole:
        return None
    snapshot = run.planned.snapshot
    settled = snapshot.links.by_target.keys() - snapshot.target.gone - _still_to_change(run)
    rows = [
        {name: getattr(target, name) for name in _NAMES}
        for id_, target in snapshot.target.milestones.items()
        if id_ not in settled
    ]
    return {
        "rows": rows,
        "gone": sorted(snapshot.target.gone),
        "unread": dict(snapshot.target.unproved),
        "unreadable": asdict(snapshot.target.unreadable),
        "newest": snapshot.target.newest,
        "at": began.at.isoformat(),
        "change": began.change,
    }


def _still_to_change(run: Run) -> set[str]:
    """The targets that the run wants to change, and has not yet."""
    assert run.planned is not None  # noqa: S101
    done = {one.action.testrail_id for one in run.outcomes.values() if one.result in DONE}
    changes = run.planned.plan.changes
    return {a.testably_id for a in changes if a.testably_id and a.testrail_id not in done}


def scope_of(redis: Redis | None, run: Run) -> Scope | None:
    """The scope of a run that goes on; None if it is to read the target itself.

    What another run has written since (a refresh) is later than what was listed: of that the links
    tell. Where nothing is recalled, what the target answered before this run wrote is out of date.
    """
    answers, journal, record = run.context.answers, run.context.store.journal, run.recording.record
    left = find(redis, run.id)
    if left is None or not _is_true(left, run):
        forget(redis, run.id)
        answers.forget_target(record)
        return None
    kept = left.listed
    if kept is None:
        answers.forget_overwritten(record, journal)
        return None
    store, pair = run.context.store, run.pair.id
    others = store.journal.written_by_others(pair, run.id, kept.change)
    later = {link.testably_id for link in store.links(pair, others).values()}
    rows = {row.id: row for row in kept.rows if row.id not in later}
    began = Begun(run.id, kept.at, kept.change, kept.change)
    gone = frozenset(kept.gone) - later
    return Scope(
        recalled=rows,
        gone=gone,
        unread={id_: why for id_, why in kept.unread.items() if id_ not in later},
        unreadable=kept.unreadable,
        newest=kept.newest,
        recalled_from=began,
    )


def _is_true(left: Left, run: Run) -> bool:
    """Whether the database knows of all that was written by then, and of nothing of the run since.

    There is something since where Redis came back with what had been removed from it.
    """
    journal = run.context.store.journal
    is_true = journal.holds(left.newest) and journal.count(run.id) == left.changes
    if not is_true:
        log.warning("what was kept for this slice is out of date; Testably is read again")
    return is_true


def forget(redis: Redis | None, run_id: str) -> None:
    """Remove what was kept, because it is true no longer."""
    if redis is not None:
        with suppress(RedisError):
            redis.delete(_key(run_id))


def find(redis: Redis | None, run_id: str) -> Left | None:
    """What the last slice of the run has left; None if there is nothing that can be read."""
    if redis is None:
        return None
    try:
        packed: Any = redis.get(_key(run_id))
    except RedisError:
        return None
    if packed is None:
        return None
    try:
        return _LEFT.validate_json(zlib.decompressobj().decompress(packed, _LARGEST), strict=True)
    except (zlib.error, ValueError) as error:
        log.warning("what was listed is unreadable; it is listed again", error=type(error).__name__)
        return None


def _key(run_id: str) -> str:
    return f"milesync:listed:{run_id}"
