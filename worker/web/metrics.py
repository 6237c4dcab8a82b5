"""/metrics: what the database and Redis hold, read when Prometheus asks.

So it does not matter which process did the work, nor how many web processes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from mappings.overview import Overview, overview
from mappings.rows import Pair
from worker.settings import ProjectPair
from worker.tasks.alive import beat_age
from worker.tasks.beat import period
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
        up = GaugeMetricFamily("milesync_up", "Whether a part answers.", labels=["part"])
        for part, read in (("database", _from_database), ("broker", _from_redis)):
            answered = False
            try:
                found += read(self._service)
                answered = True
            except (MilesyncError, RedisError) as error:
                log.warning("left out of the metrics", part=part, error=str(error))
            up.add_metric([part], answered)
        return [*found, up]


def _from_redis(service: Service) -> Iterator[Metric]:
    counts = service.counters.read()
    for name, (text, labels) in _COUNTED.items():
        unit = "_seconds" if name == "waited" else ""
        family = CounterMetricFamily(f"milesync_{name}{unit}", text, labels=labels)
        for (counted, *values), number in sorted(counts.items()):
            if counted == name and len(values) == len(labels):
                family.add_metric(values, number)
        yield family
    if service.redis is None:
        return
    depth = GaugeMetricFamily("milesync_queue_depth", "Messages that wait.", labels=["queue"])
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
    yield from _Pairs(service).families()


class _Pairs:
    """What is known of each enabled pair."""

    def __init__(self, service: Service) -> None:
        here = service.deployment
        self._now = here.clock.now()
        self._counts: Overview = overview(here.store.engine)
        recorded = {pair.identity: pair for pair in here.store.all_pairs()}
        self._pairs: list[tuple[ProjectPair, Pair]] = [
            (configured, recorded[here.identity(configured)])
            for configured in here.settings.projects
            if configured.enabled and here.identity(configured) in recorded
        ]

    def families(self) -> Iterator[Metric]:
        """Gauges by pair."""
        ages = {
            "proved": "Seconds since both sides were last read whole and found in step.",
            "synced": "Seconds since a run last came to its end.",
        }
        for name, text in ages.items():
            yield self._ages(name, text)
        yield self._gauge("schedule_seconds", "The longest pause between two runs by schedule.")
        yield self._gauge("paused", "1 while refused credentials keep the pair from running.")
        yield self._counted("links", "Links, by state.", "state")
        yield self._counted("troubles", "Links that need a person, by kind.", "kind")

    def _ages(self, name: str, text: str) -> Metric:
        family = GaugeMetricFamily(f"milesync_pair_{name}_age_seconds", text, labels=["pair"])
        for configured, pair in self._pairs:
            at = pair.proved_at if name == "proved" else self._counts.synced_at.get(pair.id)
            if at is not None:
                family.add_metric([str(configured)], (self._now - at).total_seconds())
        return family

    def _gauge(self, name: str, text: str) -> Metric:
        family = GaugeMetricFamily(f"milesync_pair_{name}", text, labels=["pair"])
        for configured, pair in self._pairs:
            paused = float(pair.paused_because is not None)
            value = paused if name == "paused" else period(configured.schedule)
            family.add_metric([str(configured)], value)
        return family

    def _counted(self, name: str, text: str, label: str) -> Metric:
        family = GaugeMetricFamily(f"milesync_pair_{name}", text, labels=["pair", label])
        counts = self._counts.links if name == "links" else self._counts.problems
        for configured, pair in self._pairs:
            for value, number in counts.get(pair.id, {}).items():
                family.add_metric([str(configured), value], number)
        return family
