"""The one place where real clients, stores and settings are put together.

What only some commands need is imported where it is put together: a command that only reads the
database starts in less than half the time without the clients, Redis and the sync.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import SecretStr
from sqlalchemy import Engine

from mappings import database
from mappings.answers import AnswerStore
from mappings.errors import MilesyncError, StoreAway
from mappings.milestone import MappingRules
from mappings.rows import PairIdentity
from mappings.runs import RunLog
from mappings.store import Store
from worker.account import account
from worker.clock import Clock, SharedClock, SystemClock
from worker.settings import ProjectPair, Settings

if TYPE_CHECKING:
    from redis import Redis

    from worker.apis import Apis
    from worker.clients.rate_limit import Priority
    from worker.clients.testably import Testably
    from worker.clients.testrail import TestRail
    from worker.clients.transport import Observer
    from worker.sync.context import PairContext
    from worker.sync.options import Policy
    from worker.sync.read.answers import Answers

OnWait = Callable[[float], None]
Clients: TypeAlias = "tuple[TestRail, Testably]"


class Deployment:
    """A milesync with its settings, database and rate limiters; makes the context of each pair.

    Everything is opened when it is first needed and closed together. ``clock`` is this machine's,
    which sleeps and measures; the times in a shared database are the database's. ``observer`` is
    told of each HTTP request; ``before_request`` is called before each, and may raise to end the
    work there.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        observer: Observer | None = None,
        before_request: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.clock = self._clock(clock or SystemClock())
        self._observer, self._before_request = observer, before_request

    def _clock(self, machine: Clock) -> Clock:
        """The database's, so that the times in it are of one clock; with SQLite the host's."""
        if self.settings.database_url.get_secret_value().startswith("sqlite"):
            return machine
        return SharedClock(lambda: database.read_time(self.engine), machine)

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
        """The connection of the rate limiters: to the Redis that is configured, or borrowed."""
        url = self.settings.redis_url
        if url is None and self.borrowed_broker is None:
            return None
        from redis import Redis

        from worker.embedded_broker import connect_to

        if url is not None:
            return Redis.from_url(url.get_secret_value())
        return None if self.borrowed_broker is None else connect_to(self.borrowed_broker)

    @property
    def broker_file(self) -> Path | None:
        """Where a `milesync up` on this database says where its broker is; with SQLite only."""
        if self.engine.dialect.name != "sqlite":
            return None
        return Path(f"{self.engine.url.database}.broker")

    @cached_property
    def borrowed_broker(self) -> SecretStr | None:
        """Where no Redis is configured: the broker of a `milesync up` that runs beside this."""
        file = self.broker_file
        if self.settings.redis_url is not None or file is None or not file.exists():
            return None
        from worker.embedded_broker import find_broker

        return find_broker(file)

    @cached_property
    def apis(self) -> Apis:
        """What makes the clients of a pair."""
        from worker.apis import Apis

        return Apis(
            self.settings,
            self.clock,
            self.redis,
            borrowed=self.borrowed_broker is not None,
            observer=self._observer,
            before_request=self._before_request,
        )

    @property
    def shared_settings(self) -> Settings:
        """The settings with the broker that this process really has, if it has one."""
        if self.borrowed_broker is None:
            return self.settings
        return self.settings.model_copy(update={"redis_url": self.borrowed_broker})

    @property
    def holder(self) -> str:
        """Who runs this process and where, as a run that it does names it."""
        return f"{account()} on {socket.gethostname()}, process {os.getpid()}"

    def identity(self, pair: ProjectPair) -> PairIdentity:
        """What makes this pair itself in the database."""
        settings = self.settings
        return PairIdentity(
            settings.testrail.url or "", pair.testrail, settings.testably.url, pair.testably
        )

    def project_to_name(self, testrail_project: int) -> int | None:
        """The TestRail project that a command has to name: where there are several pairs."""
        return testrail_project if len(self.settings.projects) > 1 else None

    def rules(self, timezone: ZoneInfo | None) -> MappingRules:
        """How milestones are mapped, with dates as the days of a time zone."""
        footer = self.settings.sync.description_footer
        return MappingRules(self.settings.testrail.url or "", timezone, footer)

    @property
    def policy(self) -> Policy:
        """The decisions that the settings make."""
        from worker.sync.options import OnSourceDelete, OnTargetEdit, Policy

        sync = self.settings.sync
        return Policy(OnTargetEdit(sync.on_target_edit), OnSourceDelete(sync.on_source_delete))

    @property
    def seconds_per_request(self) -> float:
        """The seconds from one paced request to Testably to the next."""
        from worker.clients.rate_limit import RateLimit

        rate = self.settings.testably.rate_limit
        return RateLimit(rate.requests, rate.seconds).interval

    @contextmanager
    def context(
        self,
        pair: ProjectPair,
        *,
        priority: Priority | None = None,
        max_wait: float | None = None,
        on_wait: OnWait | None = None,
        scheduled: bool = False,
        tells: bool = True,
    ) -> Iterator[PairContext]:
        """Everything that a run of the pair needs, with connections of its own.

        ``priority`` is by default that of background work; ``max_wait`` is how many seconds a
        request may wait for its turn, None is for ever. At the end people are told (`scheduled`),
        unless the sweep of a service does that (``tells``).
        """
        from worker.sync.read.answers import Answers

        answers = Answers(AnswerStore(self.engine))
        how: dict[str, Any] = {"max_wait": max_wait, "on_wait": on_wait, "answers": answers}
        how |= {"priority": priority} if priority else {}
        try:
            with self.apis.clients(pair, **how) as both:
                yield self._context(pair, both, answers)
        finally:
            if tells:
                self.tell_people([pair], scheduled=scheduled)

    @contextmanager
    def clients(self, pair: ProjectPair) -> Iterator[Clients]:
        """The clients of a pair for a question or two: asked once each, and no database needed."""
        timeout = self.settings.sync.http_timeout
        with self.apis.clients(pair, max_wait=timeout, attempts=1) as both:
            yield both

    # --- notices

    def tell_people(
        self, pairs: Sequence[ProjectPair], *, scheduled: bool, hurries: bool = False
    ) -> None:
        """Send what notices are due about pairs, if there are addresses.

        ``scheduled`` is a caller that keeps to the pairs' schedules, ``hurries`` one that has other
        work to do and comes again soon. Never raises.
        """
        if not self.settings.sync.notify:
            return
        from worker.telling import Notices, senders

        sync, several = self.settings.sync, len(self.settings.projects) > 1
        every, schedules = senders(sync.notify), {self.identity(p): p.schedule for p in pairs}
        try:
            looker = Notices(self.store, self.runs, every, sync.notify_gap, self.clock, several)
            looker.look(schedules, kept=scheduled, hurries=hurries)
        except MilesyncError as error:
            from structlog import get_logger

            get_logger(__name__).warning("no notice could be decided about", error=str(error))

    def send_test_notice(self) -> bool:
        """Send one notice to every address; whether all of them took it."""
        from worker.notices import Notice
        from worker.telling import senders

        notice = Notice("test", "milesync: this is a test; notices arrive here.")
        taken = [send(notice) for send in senders(self.settings.sync.notify).values()]
        return all(taken)

    def _context(self, pair: ProjectPair, both: Clients, answers: Answers) -> PairContext:
        from worker.sync.context import PairContext
        from worker.sync.lanes import Lanes

        return PairContext(
            identity=self.identity(pair),
            rules=self.rules(pair.timezone),
            policy=self.policy,
            source=both[0],
            target=both[1],
            store=self.store,
            runs=self.runs,
            clock=self.clock,
            holder=self.holder,
            drift_check=_drift_check(self.settings.sync.drift_check),
            seconds_per_request=self.seconds_per_request,
            lanes=partial(Lanes, self.settings.sync.most_in_flight),
            answers=answers,
            submilestones=self.settings.testrail.submilestones,
        )

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


def require_usable_addresses(settings: Settings) -> None:
    """Raises SettingsError for an address of MILESYNC_NOTIFY to which nothing can be sent."""
    if settings.sync.notify:
        from worker.clients.notify import require_usable

        require_usable(settings.sync.notify)


def require_usable_store(settings: Settings) -> None:
    """Raises StoreError if a process of the service cannot work with its database as it is.

    A server that is only away at the moment gets a warning: the work waits until it is back.
    """
    with Deployment(settings) as needed:
        try:
            _ = needed.store
        except StoreAway as error:
            import structlog

            log = structlog.get_logger(__name__)
            log.warning("the work waits for the database", error=error.message)


def _drift_check(setting: timedelta | str) -> timedelta | None:
    by_word = None if setting == "never" else timedelta(0)
    return setting if isinstance(setting, timedelta) else by_word
