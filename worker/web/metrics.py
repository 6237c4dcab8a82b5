"""/metrics: what the database and Redis hold, read when Prometheus asks.

So it does not matter which process did the work, nor how many web processes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mappings.errors import MilesyncError
from mappings.overview import Standing, overview
from mappings.rows import Pair
from worker.stale import why_stale
from worker.tasks.alive import beat_age, beat_ticks
from worker.tasks.celery_app import QUEUES
from worker.web.service import Service, service_of

_COUNTED: Final = {
    "runs": ("Runs that ended, by state.", ("pair", "state")),
    "items": ("Milestones that runs went through, by outcome.", ("pair", "outcome")),
    "requests": ("HTTP requests sent.", ("api", "method", "status")),
    "waited": ("Seconds spent waiting for the rate limiter.", ("priority",)),
    "deliveries": ("Webhook calls, by the status of their answer.", ("status",)),
}
log = structlog.get_logger(__name__)


async def show(request: Request) -> Response:
    """The metrics in Prometheus's text format; what cannot be read is left out."""
    text = await run_in_threadpool(_text, service_of(request))
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _text(service: Service) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(service))
    return generate_latest(registry)


class _Reading(Collector):
    """One look at everything."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        found: list[Metric] = []
        up = GaugeMetricFamily(
            "milesync_up", "Whether a part answers; of the beat, whether it ticks.", labels=["part"]
        )
        for part, read in (("database", _from_database), ("broker", _from_redis)):
            answered = False
            try:
                found += read(self._service)
                answered = True
            except (MilesyncError, RedisError) as error:
                log.warning("left out of the metrics", part=part, error=str(error))
            up.add_metric([part], answered)
        if self._service.redis is not None:
            up.add_metric(["beat"], _beat_ticks(self._service))
        return [*found, up]


def _beat_ticks(service: Service) -> bool:
    try:
        return beat_ticks(service.redis)
    except RedisError:
        return False


def _from_redis(service: Service) -> Iterator[Metric]:
    counts = service.counters.read()
    for name, (text, labels) in _COUNTED.items():
        unit = "_seconds" if name == "waited" else ""
        family = CounterMetricFamily(f"milesync_{name}{unit}", text, labels=labels)
        for (counted, *values), number in sorted(counts.items()):
            if counted == name and len(values) == len(labels):
                family.add_metric(values, number)
        yield family
    depth = GaugeMetricFamily("milesync_queue_depth", "Messages that wait.", labels=["queue"])
    if service.redis is not None:
        for queue in QUEUES:
            depth.add_metric([queue], float(service.redis.llen(queue)))
    yield depth
    age = beat_age(service.redis)
    if age is not None:
        yield GaugeMetricFamily("milesync_beat_age_seconds", "Since the beat ticked.", value=age)


def _from_database(service: Service) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "milesync_deliveries_waiting",
        "Webhook deliveries that wait for their refresh.",
        value=service.deliveries.waiting(),
    )
    yield GaugeMetricFamily(
        "milesync_deliveries_oldest_seconds",
        "For how long the oldest of them has waited.",
        value=service.deliveries.oldest(service.deployment.clock.now()),
    )
    yield from _Pairs(service).families()


class _Pairs:
    """What is known of each enabled pair."""

    def __init__(self, service: Service) -> None:
        here = service.deployment
        self._now = here.clock.now()
        enabled = [one for one in here.settings.projects if one.enabled]
        recorded = {pair.identity: pair for pair in here.store.all_pairs()}
        known = [
            (configured, recorded[here.identity(configured)])
            for configured in enabled
            if here.identity(configured) in recorded
        ]
        found = overview(here.store.engine, [pair for _, pair in known])
        synced = {str(one) for one, pair in known if found[pair.id].synced_at is not None}
        self._never_synced = {str(one): str(one) not in synced for one in enabled}
        self._pairs = [(str(one), one.schedule, pair, found[pair.id]) for one, pair in known]
        self._runs, self._kept = here.runs, _beat_ticks(service)

    def families(self) -> Iterator[Metric]:
        """Gauges by pair; what is not known of a pair is left out."""
        for name, text, value in _GAUGES:
            family = GaugeMetricFamily(f"milesync_pair_{name}", text, labels=["pair"])
            for label, _, pair, standing in self._pairs:
                number = value(pair, standing, self._now)
                if number is not None:
                    family.add_metric([label], number)
            yield family
        stale = GaugeMetricFamily(
            "milesync_pair_stale",
            "1 while three moments of the schedule have passed without a run that ended well.",
            labels=["pair"],
        )
        for label, cron, pair, standing in self._pairs:
            if standing.last_run is not None:
                stale.add_metric([label], float(self._is_stale(cron, pair, standing)))
        yield stale
        never = GaugeMetricFamily(
            "milesync_pair_never_synced",
            "1 for an enabled pair of which no run has ever come to its end.",
            labels=["pair"],
        )
        for label, is_so in self._never_synced.items():
            never.add_metric([label], float(is_so))
        yield never
        yield self._counted("links", "Links, by state.", "state")
        yield self._counted("problems", "What needs a person, by kind.", "kind")

    def _is_stale(self, cron: str, pair: Pair, standing: Standing) -> bool:
        first = partial(self._runs.first_began, pair.id)
        return why_stale(pair, standing, cron, self._now, first, kept=self._kept) is not None

    def _counted(self, name: str, text: str, label: str) -> Metric:
        family = GaugeMetricFamily(f"milesync_pair_{name}", text, labels=["pair", label])
        for pair_label, _, _, standing in self._pairs:
            counts: Mapping[str, int] = getattr(standing, name)
            for value, number in counts.items():
                family.add_metric([pair_label, value], number)
        return family


_Value = Callable[[Pair, Standing, datetime], float | None]


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else (now - at).total_seconds()


_GAUGES: Final[tuple[tuple[str, str, _Value], ...]] = (
    (
        "in_step",
        "1 where both sides agree, 0 where they do not; absent while that is not known.",
        lambda _pair, standing, _now: None if standing.in_step is None else float(standing.in_step),
    ),
    (
        "needs_a_person",
        "What `milesync failures` lists.",
        lambda _pair, standing, _now: standing.needs_person,
    ),
    ("held", "Milestones that an undo holds.", lambda _pair, standing, _now: standing.held),
    (
        "accepted",
        "Differences that a person has accepted.",
        lambda _pair, standing, _now: standing.accepted,
    ),
    (
        "proved_age_seconds",
        "Seconds since both sides were last read whole and found in step.",
        lambda pair, _standing, now: _age(pair.proved_at, now),
    ),
    (
        "synced_age_seconds",
        "Seconds since a run last came to its end.",
        lambda _pair, standing, now: _age(standing.synced_at, now),
    ),
    (
        "paused",
        "1 while refused credentials keep the pair from running.",
        lambda pair, _standing, _now: float(pair.paused_because is not None),
    ),
)
