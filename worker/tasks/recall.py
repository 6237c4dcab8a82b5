"""What the first slice of a run saw of the target, kept in Redis for the slices after it.

Kept are the milestones that no link holds, which a create must not double, those that are still to
be changed, the ids that are gone, and what could not be read. All others stand in the database as
they were last observed. Where Redis has lost it, a run that has to list the target lists it again.
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

from mappings.milestone import TargetMilestone
from worker.sync.apply.outcome import DONE
from worker.sync.decide.unreadable import Unreadable
from worker.sync.read.reading import Begun
from worker.sync.read.scope import Scope
from worker.sync.run import Run

KEPT_FOR: Final = 3600
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


_LISTED: Final = TypeAdapter(Listed)


def save(redis: Redis | None, run: Run) -> None:
    """Keep what the run's complete listing showed, for an hour; nothing before it has a plan."""
    began = run.scope.recalled_from or run.context.answers.began
    if redis is None or run.planned is None or began is None:
        return
    snapshot = run.planned.snapshot
    if not snapshot.target.listed_whole:
        return
    settled = snapshot.links.by_target.keys() - snapshot.target.gone - _still_to_change(run)
    rows = [
        {name: getattr(target, name) for name in _NAMES}
        for id_, target in snapshot.target.milestones.items()
        if id_ not in settled
    ]
    kept = {
        "rows": rows,
        "gone": sorted(snapshot.target.gone),
        "unread": dict(snapshot.target.unproved),
        "unreadable": asdict(snapshot.target.unreadable),
        "newest": snapshot.target.newest,
        "at": began.at.isoformat(),
        "change": began.change,
    }
    with suppress(RedisError):
        redis.set(_key(run.id), zlib.compress(json.dumps(kept).encode()), ex=KEPT_FOR)


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
    kept = find(redis, run.id)
    if kept is None:
        run.context.answers.forget_overwritten(run.recording.record, run.context.store.journal)
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


def find(redis: Redis | None, run_id: str) -> Listed | None:
    """What an earlier slice of the run has kept; None if there is nothing that can be read."""
    if redis is None:
        return None
    try:
        packed: Any = redis.get(_key(run_id))
    except RedisError:
        return None
    if packed is None:
        return None
    try:
        return _LISTED.validate_json(zlib.decompressobj().decompress(packed, _LARGEST), strict=True)
    except (zlib.error, ValueError) as error:
        log.warning("what was listed is unreadable; it is listed again", error=type(error).__name__)
        return None


def _key(run_id: str) -> str:
    return f"milesync:listed:{run_id}"
