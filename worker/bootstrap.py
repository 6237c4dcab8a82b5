"""The one place where real clients, stores and settings are put together."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from types import TracebackType
from typing import Self

from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine

from mappings import database
from mappings.milestone import MappingRules
from mappings.rows import PairIdentity
from mappings.runs import RunLog
from mappings.store import Store
from worker.clients.budget import (
    Ledger,
    LocalLedger,
    Priority,
    RateLimit,
    RedisLedger,
    ledger_key,
)
from worker.clients.credentials import basic_auth, bearer
from worker.clients.testably import Testably
from worker.clients.testrail import HEADERS, TestRail
from worker.clients.transport import Observer, Transport
from worker.clock import Clock, SharedClock, SystemClock
from worker.settings import ProjectPair, Rate, Settings
from worker.sync.run import Mirror
from worker.sync.scene import OnSourceDelete, OnTargetEdit, Policy

OnWait = Callable[[float], None]


class Deployment:
    """A milesync with its settings, database and ledgers; makes the mirror of each pair.

    Everything is opened when it is first needed and closed together. ``observer`` is told of
    each HTTP request.
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, observer: Observer | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock or self._clock()
        self._observer = observer
        self._ledgers: dict[str, Ledger] = {}

    def _clock(self) -> Clock:
        """The database's, so that the times in it are of one clock; with SQLite the host's."""
        if self.settings.database_url.get_secret_value().startswith("sqlite"):
            return SystemClock()
        return SharedClock(lambda: database.read_time(self.engine))

    @cached_property
    def engine(self) -> Engine:
        """The database, not yet looked at."""
        return database.open_engine(self.settings.database_url.get_secret_value())

    @cached_property
    def store(self) -> Store:
        """The mapping store, its tables up to date. Raises StoreError."""
        database.ensure_ready(self.engine)
        return Store(self.engine)

    @cached_property
    def runs(self) -> RunLog:
        """The recorded runs. Raises StoreError."""
        return RunLog(self.store.engine)

    @cached_property
    def redis(self) -> Redis | None:
        """The connection that the ledgers share, where Redis is configured."""
        url = self.settings.redis_url
        return None if url is None else Redis.from_url(url.get_secret_value())

    def identity(self, pair: ProjectPair) -> PairIdentity:
        """What makes this pair itself in the database."""
        settings = self.settings
        return PairIdentity(
            settings.testrail.url or "", pair.testrail, settings.testably.url, pair.testably
        )

    @contextmanager
    def mirror(
        self,
        pair: ProjectPair,
        *,
        priority: Priority = Priority.BACKGROUND,
        patience: float | None = None,
        on_wait: OnWait | None = None,
    ) -> Iterator[Mirror]:
        """Everything that a run of the pair needs, with connections of its own.

        ``patience`` is how many seconds a request may wait for its turn; None is for ever.
        """
        with (
            self._transport_to_testrail(pair, priority, patience, on_wait) as source,
            self._transport_to_testably(pair, priority, patience, on_wait) as target,
        ):
            yield self._mirror(pair, source, target)

    def _mirror(self, pair: ProjectPair, source: Transport, target: Transport) -> Mirror:
        sync = self.settings.sync
        limit = _limit(self.settings.testably.rate_limit)
        return Mirror(
            identity=self.identity(pair),
            rules=MappingRules(
                self.settings.testrail.url or "", pair.timezone, sync.description_footer
            ),
            policy=Policy(OnTargetEdit(sync.on_target_edit), OnSourceDelete(sync.on_source_delete)),
            source=TestRail(source, self.settings.testrail.submilestones),
            target=Testably(target),
            store=self.store,
            runs=self.runs,
            clock=self.clock,
            holder=f"process {os.getpid()} on {socket.gethostname()}",
            drift_check=_drift_check(sync.drift_check),
            seconds_per_request=limit.interval,
        )

    def _transport_to_testrail(
        self, pair: ProjectPair, priority: Priority, patience: float | None, on_wait: OnWait | None
    ) -> Transport:
        settings = self.settings.testrail
        key = pair.testrail_api_key or SecretStr("")
        return Transport(
            "TestRail",
            settings.url or "",
            basic_auth(pair.testrail_user or "", key),
            ledger=self._ledger("testrail", settings.url or "", settings.rate_limit),
            clock=self.clock,
            request_timeout=self.settings.sync.http_timeout,
            priority=priority,
            patience=patience,
            on_wait=on_wait,
            observer=self._observer,
            headers=HEADERS,
        )

    def _transport_to_testably(
        self, pair: ProjectPair, priority: Priority, patience: float | None, on_wait: OnWait | None
    ) -> Transport:
        settings = self.settings.testably
        token = pair.testably_token or SecretStr("")
        return Transport(
            "Testably",
            settings.url,
            bearer(token),
            ledger=self._ledger("testably", token.get_secret_value(), settings.rate_limit),
            clock=self.clock,
            request_timeout=self.settings.sync.http_timeout,
            priority=priority,
            patience=patience,
            on_wait=on_wait,
            observer=self._observer,
        )

    def _ledger(self, api: str, owner: str, rate: Rate) -> Ledger:
        """The one ledger of this process for an account; behind it Redis, where there is one."""
        key = ledger_key(api, owner)
        if key not in self._ledgers:
            limit = _limit(rate)
            shared = self.redis
            self._ledgers[key] = (
                LocalLedger(limit, self.clock)
                if shared is None
                else RedisLedger(shared, key, limit)
            )
        return self._ledgers[key]

    def close(self) -> None:
        """Close what was opened."""
        if "engine" in self.__dict__:
            self.engine.dispose()
        if self.__dict__.get("redis") is not None:
            self.__dict__["redis"].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _limit(rate: Rate) -> RateLimit:
    return RateLimit(rate.requests, rate.seconds)


def _drift_check(setting: timedelta | str) -> timedelta | None:
    if isinstance(setting, timedelta):
        return setting
    return None if setting == "never" else timedelta(0)
