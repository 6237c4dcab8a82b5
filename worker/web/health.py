"""/healthz: this process answers. /readyz: so do the database, the broker and the beat."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mappings.errors import MilesyncError
from worker.tasks.beat import TICK_KEY
from worker.web.service import Service, service_of

OLDEST_BEAT: Final = 120.0
"""Seconds after which a beat that has not ticked counts as gone."""


async def healthz(_: Request) -> Response:
    """200 as long as the process answers at all."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 if everything is there, else 503; each part with what is wrong."""
    service = service_of(request)
    parts = await run_in_threadpool(_look, service)
    ready = all(part == "ok" for part in parts.values())
    return JSONResponse({"ready": ready, **parts}, 200 if ready else 503)


def _look(service: Service) -> dict[str, str]:
    checks: dict[str, Callable[[Service], str]] = {
        "database": _database,
        "broker": _broker,
        "beat": _beat,
    }
    return {name: _outcome(check, service) for name, check in checks.items()}


def _outcome(check: Callable[[Service], str], service: Service) -> str:
    try:
        return check(service)
    except MilesyncError as error:
        return error.message
    except (SQLAlchemyError, RedisError) as error:
        return f"does not answer ({type(error).__name__})"


def _database(service: Service) -> str:
    with service.deployment.store.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return "ok"


def _broker(service: Service) -> str:
    if service.redis is None:
        return "MILESYNC_REDIS_URL is not set"
    service.redis.ping()
    return "ok"


def _beat(service: Service) -> str:
    age = beat_age(service)
    if age is None:
        return "has not ticked yet"
    return "ok" if age <= OLDEST_BEAT else f"last ticked {age:.0f} s ago"


def beat_age(service: Service) -> float | None:
    """Seconds since the beat last ticked; None if it never did. Raises RedisError."""
    found: Any = service.redis.get(TICK_KEY) if service.redis is not None else None
    return None if found is None else max(time.time() - float(found), 0.0)
