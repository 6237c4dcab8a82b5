"""What the endpoints share: settings, database, Redis, counters; opened when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import cached_property
from typing import Final

import structlog
from redis import Redis
from starlette.requests import Request

from mappings.deliveries import Deliveries
from worker.bootstrap import Deployment
from worker.counters import Counters
from worker.log import configure_logging
from worker.settings import Settings
from worker.silence import Silence
from worker.tasks import redis_of, use_settings

BROKER_THREADS: Final = 4
log = structlog.get_logger(__name__)


class Service:
    """The open parts of one web process; usable from several threads."""

    def __init__(self, read_settings: Callable[[], Settings]) -> None:
        self._read_settings = read_settings

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises SettingsError."""
        found = self._read_settings()
        if found.redis_url is not None:
            use_settings(found)
        return found

    @cached_property
    def deployment(self) -> Deployment:
        """The database, once it answered. Raises StoreError."""
        opened = Deployment(self.settings)
        _ = opened.store  # ready, or an error that the next request meets again
        return opened

    @property
    def deliveries(self) -> Deliveries:
        """The accepted webhook calls. Raises StoreError."""
        return Deliveries(self.deployment.store.engine)

    @cached_property
    def redis(self) -> Redis | None:
        """The broker, where one is configured."""
        return redis_of(self.settings)

    @cached_property
    def counters(self) -> Counters:
        """The counters of all processes."""
        return Counters(self.redis, self.silence)

    @cached_property
    def silence(self) -> Silence:
        """Whether the broker is left alone, since it did not answer."""
        return Silence()

    async def with_broker(self, call: Callable[..., object], *arguments: object) -> None:
        """Call what asks the broker, in one of a few threads of its own.

        Where the broker hangs these wait for it, and no thread that reads or records for a caller.
        """
        inside = copy_context().run  # so that its log lines say what they are about
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._broker_threads, inside, call, *arguments)

    @cached_property
    def _broker_threads(self) -> Executor:
        return ThreadPoolExecutor(BROKER_THREADS, "broker")

    def set_up_logging(self) -> None:
        """Send this process's log where the settings say. Raises SettingsError."""
        settings = self.settings
        configure_logging(settings.log.level, settings.log.format, secrets=settings.secrets)
        for warning in (*settings.warnings, *settings.web.notices):
            log.warning(warning)

    def close(self) -> None:
        """Close what was opened."""
        if "deployment" in self.__dict__:
            self.deployment.close()
        if "_broker_threads" in self.__dict__:
            self._broker_threads.shutdown(wait=False, cancel_futures=True)
        redis = self.__dict__.get("redis")
        if redis is not None:
            redis.close()


def service_of(request: Request) -> Service:
    """The service of the application that got the request."""
    found: Service = request.app.state.service
    return found
