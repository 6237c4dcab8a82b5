"""POST /webhooks/testrail: check, commit the delivery, answer, then enqueue.

The answer does not wait for the broker: an accepted delivery is in the database, and the sweep
asks for it again if this process dies, or the broker is away, before it was enqueued.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

import structlog
from redis import Redis
from redis.exceptions import ResponseError
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mappings.deliveries import Hint
from mappings.errors import StoreError
from worker.sparing import Sparing
from worker.tasks import ask
from worker.tasks.hinted import pairs_of
from worker.web.hook import (
    BadCall,
    Call,
    check_headers,
    check_length,
    check_size,
    delivery_name,
    read_call,
)
from worker.web.service import Service, service_of

BODY_DEADLINE: Final = 10.0
"""Seconds that a body may take in all."""
_SECRET: Final = b"x-milesync-secret"
log = structlog.get_logger(__name__)
_sparing: Final = Sparing()


async def receive(request: Request) -> Response:
    """202 with what was done, or why not: 503, 413, 401, 408, 422."""
    service = service_of(request)
    try:
        call = await _checked(service, request)
    except BadCall as refused:
        return _answer(service, refused.status, "refused", reason=refused.reason)
    except ClientDisconnect:
        return Response(status_code=400)
    if not pairs_of(service.settings, call.project):
        _sparing.tell(log.info, "ignored a webhook for an unknown project", event_type=call.event)
        return _answer(service, 202, "ignored")
    return await _accept(service, request, call)


async def _checked(service: Service, request: Request) -> Call:
    """The call, after the checks in their order. Raises BadCall."""
    secret = service.settings.web.webhook_secret
    if secret is None:
        _sparing.tell(log.error, "a webhook was refused: MILESYNC_WEBHOOK_SECRET is not set")
        raise BadCall(503, "MILESYNC_WEBHOOK_SECRET is not set")
    check_length(request.headers.get("content-length"))
    headers = [value for name, value in request.scope["headers"] if name == _SECRET]
    check_headers(headers, secret)
    body = await _body(request)
    return read_call(body, None if headers else secret)


async def _body(request: Request) -> bytes:
    """The body, given up as soon as it is too long or late, whatever length was announced."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            async for part in request.stream():
                size += len(part)
                check_size(size)
                parts.append(part)
    except TimeoutError:
        raise BadCall(408, f"the body did not come within {BODY_DEADLINE:.0f} s") from None
    return b"".join(parts)


async def _accept(service: Service, request: Request, call: Call) -> Response:
    name = delivery_name(request.headers.get("x-testrail-delivery")) or uuid.uuid4().hex
    hint = Hint(call.project, call.milestone, name)
    try:
        new = await run_in_threadpool(_record, service, name, call.event, hint)
    except StoreError as error:
        _sparing.tell(log.error, "a webhook could not be recorded", error=error.message)
        why = "the database does not answer; send it again"
        return _answer(service, 503, "refused", reason=why)
    if not new:
        log.info("ignored a repeated webhook", correlation=name)
        return _answer(service, 202, "repeated", delivery=name)
    asking = BackgroundTask(_enqueue, service, call.event, hint)
    return _answer(service, 202, "accepted", asking, delivery=name)


def _record(service: Service, name: str, event: str, hint: Hint) -> bool:
    return service.deliveries.record(name, event, hint, service.deployment.clock.now())


async def _count(service: Service, status: int) -> None:
    if not service.silence.lasts:
        await service.with_broker(service.counters.add, "deliveries", str(status))


async def _enqueue(service: Service, event: str, hint: Hint) -> None:
    """Ask for the work; whatever goes wrong here, the sweep asks again."""
    with structlog.contextvars.bound_contextvars(correlation=hint.correlation):
        log.info(
            "webhook accepted", event_type=event, project=hint.project, milestone=hint.milestone
        )
        if service.redis is None:
            why = "webhooks wait: MILESYNC_REDIS_URL is not set, so no worker can be asked"
            _sparing.tell(log.warning, why)
        elif service.silence.lasts:
            _leave_to_the_sweep()
        else:
            await service.with_broker(_ask, service, service.redis, hint)


def _ask(service: Service, redis: Redis, hint: Hint) -> None:
    service.counters.add("deliveries", "202")
    if service.silence.lasts:  # since just now, or since this waited for its thread
        _leave_to_the_sweep()
        return
    try:
        ask(redis, service.settings, hint)
    except Exception as error:  # (the broker's errors are of many kinds)
        if not isinstance(error, ResponseError):
            service.silence.begin()
        _leave_to_the_sweep(error=type(error).__name__)


def _leave_to_the_sweep(**more: str) -> None:
    why = "webhooks wait for the sweep: the broker does not answer"
    _sparing.tell(log.warning, why, **more)


def _answer(
    service: Service, status: int, word: str, after: BackgroundTask | None = None, **more: str
) -> JSONResponse:
    """The answer, which is counted: by what is done ``after`` it, where there is that."""
    count = BackgroundTask(_count, service, status)
    # the rest of a body that came too late would be taken for the next request
    headers = {"Connection": "close"} if status == 408 else None
    return JSONResponse({"status": word, **more}, status, headers, background=after or count)
