"""Many pairs, several tokens and TestRail instances, and their workers, on a virtual clock.

What decides is the product's own: what is due and when it starts (`worker.tasks.beat`), what a
worker does with a message and what comes after it (`worker.tasks.slices`), the whole run, and who
may send when (`worker.clients.rate_limit`). Simulated are the broker (one queue a deployment, first
in, first out), the two APIs (the sandbox's models, with a time to answer and a strict count of
their own) and the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from celery import Celery
from sqlalchemy import insert

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import MappingRules, SourceMilestone, TargetMilestone, desired_values
from mappings.rows import link_columns
from mappings.tables import links
from tests.support.database import fresh_engine
from tests.support.outside import Outside, Seen, SimulatedDeployment
from tests.support.stage import Crew, StageClock
from worker.clients.records import parse_source, parse_target
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.settings import ProjectPair, load_settings
from worker.sync.options import Trigger
from worker.tasks.beat import Entry, beat_schedule, period
from worker.tasks.slices import Job, Watch, work

_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is; pairs, tokens and workers are those of all deployments together.

    ``testrail`` and ``testably`` are the requests that an instance and a token allow in a minute.
    A deployment has one TestRail instance. In a period, the share ``changed`` of the pairs has a
    milestone renamed. ``answers`` are the seconds in which an API answers. Where they are
    ``listed`` already, the pairs' last listings of the target are spread over the hour before.
    """

    pairs: int
    tokens: int = 1
    instances: int = 1
    workers: int = 4
    milestones: int = 2
    schedules: tuple[str, ...] = ("*/15 * * * *",)
    changed: float = 0.1
    answers: float = 0.2
    testrail: int = 180
    testably: int = 60
    listed: bool = True


class Installation:
    """One deployment with its database, its beat and its workers, all its pairs in step."""

    def __init__(self, number: int, size: Size, outside: Outside, seen: Seen, folder: Path) -> None:
        self._size, self._outside, self._seen = size, outside, seen
        self._clock, self._random = outside.clock, random.Random(number)
        mine = range(number, size.pairs, size.instances)
        (folder / "milesync.toml").write_text(_settings(number, size, mine))
        settings = load_settings(folder / "milesync.toml", environ={})
        here = self.here = SimulatedDeployment(settings, outside.clock)
        here.given, here.outside = fresh_engine(folder), outside
        here.models = (
            TestRailModel([one.testrail for one in settings.projects], clock=outside.clock),
            TestablyModel([one.testably for one in settings.projects], clock=outside.clock),
        )
        for pair in settings.projects:
            self._bring_in_step(pair)
        self._crew = Crew(outside.clock, -(-size.workers // size.instances), self._do)
        self._start_beat()

    def _bring_in_step(self, pair: ProjectPair) -> None:
        """The pair as a migration leaves it; its last listing is of some time in the last hour."""
        here, (rail, ably) = self.here, self.here.models
        rules = here.rules(pair.timezone)
        made = []
        for number in range(self._size.milestones):
            source = parse_source(rail.add(pair.testrail, {"name": f"Release {number}"}))
            assert isinstance(source, SourceMilestone)
            made.append(link_columns(_linked(source, rules, ably, pair.testably)))
        known = here.store.pair(here.identity(pair))
        at = self._clock.now() - timedelta(seconds=self._random.uniform(0, _HOUR))
        then = {"listed_at": at, "proved_at": at} if self._size.listed else {}
        here.store.update_pair(known.id, rules=rules.fingerprint, **then)
        with here.engine.begin() as connection:
            connection.execute(insert(links), [{"pair_id": known.id, **row} for row in made])

    # --- the beat

    def _start_beat(self) -> None:
        app = Celery("simulation", set_as_current=False)
        app.conf.redbeat_redis_url = "redis://nothing.is.asked"
        of_name = {f"sync {pair}": pair for pair in self.here.settings.projects}
        for name, given in beat_schedule(self.here.settings).items():
            if name in of_name:
                given["schedule"].nowfun = self._clock.now
                entry = Entry(name, app=app, last_run_at=self._clock.now(), **given)
                pair = of_name[name]
                self._seen.periods[str(pair)] = period(pair.schedule)
                self._clock.alarm(entry.is_due()[1], self._ticker(entry, pair))
                self._plan_change(pair)

    def _ticker(self, entry: Entry, pair: ProjectPair) -> Callable[[], None]:
        def tick() -> None:
            due, wait = entry.is_due()
            if due:
                late = -entry.schedule.remaining_estimate(entry.last_run_at)
                entry.last_run_at = self._clock.now()
                self._crew.put((Job(pair, Trigger.SCHEDULE), self._clock.now() - late))
                wait = entry.is_due()[1]
            self._clock.alarm(max(wait, 0.01), tick)

        return tick

    def _plan_change(self, pair: ProjectPair) -> None:
        """Have one of the pair's milestones renamed, on average once in 1/changed periods."""
        if not self._size.changed:
            return
        wait = self._random.expovariate(self._size.changed / self._seen.periods[str(pair)])
        self._clock.alarm(wait, lambda: self._change(pair))

    def _change(self, pair: ProjectPair) -> None:
        if not self._outside.is_behind(pair.testably):
            rail = self.here.models[0]
            row = self._random.choice(rail.page(pair.testrail).rows)
            name = f"Renamed {self._clock.monotonic():.3f}"
            rail.update(int(str(row["id"])), {"name": name})
            self._outside.changes(pair.testably, name)
        self._plan_change(pair)

    # --- a worker

    def _do(self, message: tuple[Job, datetime]) -> None:
        job, moment = message
        watch = Watch(lambda: False, lambda: 0, monotonic=self._clock.monotonic)
        then = work(self.here, job, watch)
        if then is not None:
            again = Job(job.pair, job.trigger, then.run, then.attempt)
            self._clock.alarm(then.countdown, lambda: self._crew.put((again, moment)))
            self._seen.runs["gone on with"] += 1
            return
        self._seen.runs["ended"] += 1
        self._note_wait(job.pair, moment)

    def _note_wait(self, pair: ProjectPair, moment: datetime) -> None:
        name, waited = str(pair), (self._clock.now() - moment).total_seconds()
        share = waited / self._seen.periods[name]
        self._seen.waits[name] = max(share, self._seen.waits.get(name, 0.0))

    def close(self) -> None:
        """End the workers. Raises what one of them has met."""
        for job, moment in self._crew.waiting:
            self._note_wait(job.pair, moment)
        self._crew.close()
        self._seen.longest_queue = max(self._seen.longest_queue, self._crew.longest_queue)
        self.here.close()


def simulate(size: Size, seconds: float, folder: Path) -> Seen:
    """Let so much time pass. Raises what a worker has met."""
    seen, clock = Seen(), StageClock()
    outside = Outside(clock, size.testrail, size.testably, size.answers, seen)
    with ExitStack() as stack:
        for number in range(size.instances):
            place = folder / f"deployment-{number}"
            place.mkdir(parents=True)
            one = Installation(number, size, outside, seen, place)
            stack.callback(one.close)
        clock.sleep(seconds)
    seen.not_carried = outside.not_carried
    return seen


def _settings(number: int, size: Size, pairs: range) -> str:
    """A settings file; the pairs share the tokens, and keep to the schedules, in turn.

    One request in flight a run: more are threads of their own, which know of no stage.
    """
    tables = [
        f"""
[[projects]]
testrail = {one + 1}
testably = "proj_{one + 1}"
testably_token = "token-{one // size.instances % size.tokens}"
schedule = "{size.schedules[one % len(size.schedules)]}"
"""
        for one in pairs
    ]
    head = f"""
[testrail]
url = "https://rail-{number}.example"
user = "ada@example.com"
api_key = "key"
rate_limit = "{size.testrail}/60s"
[testably]
token = "token"
rate_limit = "{size.testably}/60s"
[sync]
concurrency = 1
"""
    return head + "".join(tables)


def _linked(
    source: SourceMilestone, rules: MappingRules, ably: TestablyModel, project: str
) -> Link:
    """A new target that is in step with its source, and their link."""
    desired = desired_values(source, rules, has_children=False)
    fields = {name: value for name, value in desired.items() if name != "status"}
    target = parse_target(ably.create(project, fields))
    assert isinstance(target, TargetMilestone)
    return Link(
        source.id,
        target.id,
        LinkState.LINKED,
        name=source.name,
        last_applied=desired,
        observed=target.values,
        observed_at=target.updated_at,
        source_fingerprint=fingerprint_of_source(source),
        version=1,
    )
