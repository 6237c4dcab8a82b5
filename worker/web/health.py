"""/healthz: this process answers. /readyz: so does everything that is configured.

That is the database, and the broker and the beat where there is a Redis: without one, a timer that
runs `milesync sync` may be all that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mappings.errors import MilesyncError
from worker.tasks.alive import OLDEST_BEAT, beat_age
from worker.web.service import Service, service_of

_OK: Final = "ok"
_NOT_CONFIGURED: Final = "not configured: MILESYNC_REDIS_URL is not set"
log = structlog.get_logger(__name__)


async def healthz(_: Request) -> Response:
    """200 as long as the process answers at all."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 if every part that is configured answers, else 503; each with what is wrong."""
    service = service_of(request)
    parts = await run_in_threadpool(_look, service)
    ready = all(part in (_OK, _NOT_CONFIGURED) for part in parts.values())
    return JSONResponse({"ready": ready, **parts}, 200 if ready else 503)


def _look(service: Service) -> dict[str, str]:
    checks: dict[str, Callable[[Service], str]] = {
        "database": _database,
        "broker": _broker,
        "beat": _beat,
    }
    return {name: _outcome(name, check, service) for name, check in checks.items()}


def _outcome(name: str, check: Callable[[Service], str], service: Service) -> str:
    """What is wrong in one word: the error's own text, with addresses, goes to the log."""
    try:
        return check(service)
    except (MilesyncError, RedisError) as error:
        log.warning("not ready", part=name, error=str(error))
        return f"does not answer ({type(error).__name__})"


def _database(service: Service) -> str:
    service.deliveries.waiting()
    return _OK


def _broker(service: Service) -> str:
    if service.redis is None:
        return _NOT_CONFIGURED
    service.redis.ping()
    return _OK


def _beat(service: Service) -> str:
    if service.redis is None:
        return _NOT_CONFIGURED
    age = beat_age(service.redis)
    if age is None:
        return "has not ticked yet"
    return _OK if age <= OLDEST_BEAT else f"last ticked {age:.0f} s ago"
