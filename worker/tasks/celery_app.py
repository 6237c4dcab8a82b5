"""The bare Celery app; its settings are read when a process first needs them.

What the configuration says was measured on Redis: without ``unacked_restore_*`` the message of a
killed worker comes back far too late, and a countdown longer than the visibility timeout runs
several times. So every delay is short, what must not be lost is in the database, and every task
may run twice.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from multiprocessing import Event
from multiprocessing.synchronize import Event as SharedEvent
from pathlib import Path
from typing import Any, Final

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutting_down
from kombu.entity import Exchange, Queue
from redis import Redis

from worker.bootstrap import Deployment, require_usable_addresses, require_usable_store
from worker.clock import SystemClock
from worker.counters import Counters
from worker.errors import BudgetExhausted, SettingsError
from worker.log import configure_logging
from worker.say import starting
from worker.settings import Settings, load_settings
from worker.tasks import redis_address

QUEUES: Final = ("sweep", "refresh", "sync", "migration")
"""In the order in which a worker takes from them. A sweep takes a moment, and what is lost waits
for it: behind many refreshes it would expire each time. A waiting refresh ends a slice; a sweep
does not.
"""
CONFIG_VARIABLE: Final = "MILESYNC_CONFIG"
"""Names the settings file of a process that was started without ``--config``."""
VISIBILITY_TIMEOUT: Final = 900
LONGEST_COUNTDOWN: Final = 300.0
_LOOKS_EVERY: Final = 0.5

log = structlog.get_logger(__name__)
app = Celery("milesync", set_as_current=False)
_stop: list[SharedEvent] = []
"""Made before the worker forks: set in its first process, seen in its children."""


_given: list[Settings] = []


def use_settings(settings: Settings) -> None:
    """Have this process ask for work as these settings say, which it has read already."""
    _given[:] = [settings]
    if app.configured:
        app.conf.update(_configured())


def process_settings() -> Settings:
    """The settings of this process. Raises SettingsError."""
    return _given[0] if _given else _load()


@cache
def _load() -> Settings:
    environ = dict(os.environ)
    file = environ.pop(CONFIG_VARIABLE, None)
    return load_settings(Path(file) if file else None, environ)


def deployment() -> Deployment:
    """This process's own deployment, opened when a task first needs it."""
    return _deployment(os.getpid())


@cache
def _deployment(_process: int) -> Deployment:
    settings = process_settings()
    counters = Counters(redis_of(settings))

    def observe(api: str, method: str, outcome: str, seconds: float) -> None:
        counters.add("requests", api, method, outcome)
        tell = log.debug if method == "GET" else log.info
        tell("request", api=api, method=method, outcome=outcome, seconds=round(seconds, 3))

    return Deployment(settings, WorkersClock(), observer=observe)


def is_stopping() -> bool:
    """Whether this worker was asked to stop: then a slice ends at its next item or wait."""
    return any(event.is_set() for event in _stop)


class WorkersClock(SystemClock):
    """The machine's clock; a sleep ends soon after the worker was asked to stop.

    By raising BudgetExhausted, as when a wait is too long for a slice: where a run sleeps nothing
    of it is under way, and another worker goes on with it.
    """

    def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            if is_stopping():
                raise BudgetExhausted("This worker stops; another one goes on.", 0.0)
            super().sleep(min(left, _LOOKS_EVERY))


def redis_of(settings: Settings) -> Redis | None:
    """A connection to the configured Redis that gives up soon."""
    url = settings.redis_url
    if url is None:
        return None
    return Redis.from_url(url.get_secret_value(), socket_timeout=5, socket_connect_timeout=2)


def _queue(name: str) -> Queue:
    # without an exchange of its own, each queue would get the messages of all
    exchange = Exchange(name)  # type: ignore[no-untyped-call]
    return Queue(name, exchange, routing_key=name)  # type: ignore[no-untyped-call]


_FIXED: Final[dict[str, Any]] = {
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_channel_error_retry": True,
    "broker_transport_options": {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_connect_timeout": 2,
        "socket_timeout": 30,
        "socket_keepalive": True,
    },
    "task_queues": [_queue(name) for name in QUEUES],
    "task_default_queue": "sync",
    "task_create_missing_queues": False,
    "task_routes": {
        "milesync.refresh_milestone": {"queue": "refresh"},
        "milesync.sweep_deliveries": {"queue": "sweep"},
    },
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "result_expires": None,  # there are no results to clean up
    "task_soft_time_limit": 540,
    "task_time_limit": 600,
    "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0.1},
    "worker_prefetch_multiplier": 1,
    "worker_soft_shutdown_timeout": 30,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "timezone": "UTC",
    "enable_utc": True,
    "beat_scheduler": "worker.tasks.beat:Scheduler",
    "beat_max_loop_interval": 5,
    "redbeat_key_prefix": "milesync:beat:",
    "redbeat_lock_timeout": 30,
}


def _configured() -> dict[str, Any]:
    """What the settings decide; the first that a worker or beat asks for, before it says a word.

    Raises SettingsError, but there it ends the process: Celery would print a traceback.
    """
    from worker.tasks.beat import beat_schedule

    if "celery.bin.celery" in sys.modules:  # this is Celery's command line
        with starting():
            require_broker(process_settings())
    settings = process_settings()
    schedule = {"beat_schedule": beat_schedule(settings)}
    if settings.redis_url is None:
        return {"broker_url": "memory://", **schedule}
    url = settings.redis_url.get_secret_value()
    return {**redis_address.broker(url), **redis_address.redbeat(url), **schedule}


def require_broker(settings: Settings) -> None:
    """Raises SettingsError where no Redis is configured."""
    if settings.redis_url is None:
        raise SettingsError(
            "MILESYNC_REDIS_URL is not set, and the workers need a broker.",
            "Set it, or start everything on an embedded broker with `milesync up`.",
        )


app.add_defaults(_FIXED)
app.add_defaults(_configured)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: object) -> None:
    settings = process_settings()
    configure_logging(settings.log.level, settings.log.format, secrets=settings.secrets)
    for warning in settings.warnings:
        log.warning(warning)


@worker_init.connect  # type: ignore[untyped-decorator]
def _require_what_tasks_need(**__: object) -> None:
    with starting():
        settings = process_settings()
        settings.require_credentials(settings.require_projects())
        require_usable_addresses(settings)
        require_usable_store(settings)


@worker_init.connect  # type: ignore[untyped-decorator]
def _prepare_to_stop(**_: object) -> None:
    _stop[:] = [Event()]


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _note_stop(**_: object) -> None:
    for event in _stop:
        event.set()
