"""What the first slice of a run saw of the target, kept in Redis for the slices after it.

Kept are the milestones that no link holds: those that a create must not double. The linked ones
stand in the database as they were last echoed. Where Redis has lost it, the target is listed again.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final

import structlog
from pydantic import TypeAdapter
from redis import Redis
from redis.exceptions import RedisError

from mappings.milestone import TargetMilestone
from worker.sync.decide.snapshot import Snapshot

KEPT_FOR: Final = 3600
_LARGEST: Final = 256 * 1024 * 1024
_ROWS: Final = TypeAdapter(list[TargetMilestone])
log = structlog.get_logger(__name__)
_NAMES: Final = [
    field.name
    for field in fields(TargetMilestone)
    if field.name not in ("linked_runs", "sub_milestones")
]


def save(redis: Redis | None, run_id: str, snapshot: Snapshot) -> None:
    """Keep what a complete listing showed, for an hour."""
    if redis is None or not (snapshot.target.listed and snapshot.target.complete):
        return
    linked = snapshot.links.by_target.keys() - snapshot.target.gone
    rows = [
        {name: getattr(target, name) for name in _NAMES}
        for id_, target in snapshot.target.milestones.items()
        if id_ not in linked
    ]
    with suppress(RedisError):
        redis.set(_key(run_id), zlib.compress(json.dumps(rows).encode()), ex=KEPT_FOR)


def load(redis: Redis | None, run_id: str) -> dict[str, TargetMilestone] | None:
    """What was kept, by id; None if there is nothing that can be read."""
    if redis is None:
        return None
    try:
        packed: Any = redis.get(_key(run_id))
    except RedisError:
        return None
    if packed is None:
        return None
    try:
        rows = _ROWS.validate_json(zlib.decompressobj().decompress(packed, _LARGEST), strict=True)
    except (zlib.error, ValueError) as error:
        log.warning("what was listed is unreadable; it is listed again", error=type(error).__name__)
        return None
    return {row.id: row for row in rows}


def _key(run_id: str) -> str:
    return f"milesync:listed:{run_id}"
