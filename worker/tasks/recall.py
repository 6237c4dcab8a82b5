"""What the first slice of a run saw of the target, kept in Redis for the slices after it.

Kept are the milestones that no link holds, which a create must not double, those that are still to
be changed, and the ids that are gone. All others stand in the database as they were last observed.
Where Redis has lost it, the target is listed again.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any, Final

import structlog
from pydantic import TypeAdapter
from redis import Redis
from redis.exceptions import RedisError

from mappings.milestone import TargetMilestone
from worker.sync.apply.outcome import DONE
from worker.sync.read.scope import Scope
from worker.sync.run import Run

KEPT_FOR: Final = 3600
_LARGEST: Final = 256 * 1024 * 1024
log = structlog.get_logger(__name__)
_NAMES: Final = [
    field.name
    for field in fields(TargetMilestone)
    if field.name not in ("linked_runs", "sub_milestones")
]


@dataclass(frozen=True, slots=True)
class _Kept:
    rows: list[TargetMilestone]
    gone: list[str]


_KEPT: Final = TypeAdapter(_Kept)


def save(redis: Redis | None, run: Run) -> None:
    """Keep what the run's complete listing showed, for an hour; nothing before it has a plan."""
    if redis is None or run.planned is None:
        return
    snapshot = run.planned.snapshot
    if not (snapshot.target.listed and snapshot.target.complete):
        return
    settled = snapshot.links.by_target.keys() - snapshot.target.gone - _still_to_change(run)
    rows = [
        {name: getattr(target, name) for name in _NAMES}
        for id_, target in snapshot.target.milestones.items()
        if id_ not in settled
    ]
    kept = {"rows": rows, "gone": sorted(snapshot.target.gone)}
    with suppress(RedisError):
        redis.set(_key(run.id), zlib.compress(json.dumps(kept).encode()), ex=KEPT_FOR)


def _still_to_change(run: Run) -> set[str]:
    """The targets that the run wants to change, and has not yet."""
    assert run.planned is not None  # noqa: S101
    done = {one.action.testrail_id for one in run.outcomes.values() if one.result in DONE}
    changes = run.planned.plan.changes
    return {a.testably_id for a in changes if a.testably_id and a.testrail_id not in done}


def load(redis: Redis | None, run_id: str) -> Scope | None:
    """The scope of a slice that goes on from there; None if there is nothing that can be read."""
    if redis is None:
        return None
    try:
        packed: Any = redis.get(_key(run_id))
    except RedisError:
        return None
    if packed is None:
        return None
    try:
        kept = _KEPT.validate_json(zlib.decompressobj().decompress(packed, _LARGEST), strict=True)
    except (zlib.error, ValueError) as error:
        log.warning("what was listed is unreadable; it is listed again", error=type(error).__name__)
        return None
    return Scope(recalled={row.id: row for row in kept.rows}, gone=frozenset(kept.gone))


def _key(run_id: str) -> str:
    return f"milesync:listed:{run_id}"
