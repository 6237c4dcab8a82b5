"""/healthz: this process answers. /readyz: so do the database, the broker and the beat."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from mappings.errors import MilesyncError
from worker.tasks.alive import OLDEST_BEAT, beat_age
from worker.web.service import Service, service_of

log = structlog.get_logger(__name__)


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
    return "ok"


def _broker(service: Service) -> str:
    if service.redis is None:
        return "MILESYNC_REDIS_URL is not set"
    service.redis.ping()
    return "ok"


def _beat(service: Service) -> str:
    age = beat_age(service.redis)
    if age is None:
        return "has not ticked yet"
    return "ok" if age <= OLDEST_BEAT else f"last ticked {age:.0f} s ago"
