"""How far a run is: a bar on a terminal, else a line in the log every now and then."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from worker.cli.session import start_logging
from worker.facts import words

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from worker.bootstrap import Deployment
    from worker.clock import Clock
    from worker.settings import Settings
    from worker.sync.apply.outcome import Outcome

OnOutcome = Callable[["Outcome"], None]
LOG_EVERY: Final = 10.0
"""Seconds between two lines of the log."""


class Tally:
    """Counts the outcomes of one run: how many of its writes are done, and what needs a person.

    ``total`` are the writes that are planned, ``interval`` the seconds that the rate limit
    allows from one request to the next.
    """

    def __init__(self, total: int, interval: float, clock: Clock) -> None:
        self.total = total
        self.done = 0
        self.needs_person = 0
        self._interval = interval
        self._clock = clock
        self._started = clock.monotonic()
        self._seen: Counter[int] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; a milestone that is created and then completed comes twice."""
        action = outcome.action
        self._seen[action.testrail_id] += 1
        times = self._seen[action.testrail_id]
        self.needs_person += outcome.needs_person and times == 1
        if times <= action.writes:
            self.done += 1

    @property
    def seconds_left(self) -> float:
        """What the remaining writes take at the rate that is allowed."""
        return (self.total - self.done) * self._interval

    @property
    def a_minute(self) -> float:
        """Writes a minute so far."""
        passed = self._clock.monotonic() - self._started
        return self.done / passed * 60 if passed else 0.0

    def __str__(self) -> str:
        total = words.number_of(self.total, "write", "writes")
        parts = [f"{self.done} of {total}", f"{self.a_minute:.0f} a minute"]
        if self.done < self.total:
            parts.append(f"{duration(self.seconds_left)} left")
        if self.needs_person:
            parts.append(f"{self.needs_person} {'needs' if self.needs_person == 1 else 'need'} you")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time that something takes, as people say it."""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"


@contextmanager
def progress(deployment: Deployment, name: str, writes: int) -> Iterator[OnOutcome]:
    """Show how far a run is; gives what has to be told of each outcome.

    ``name`` is what is being worked on, ``writes`` how many writes are planned.
    """
    rate = deployment.settings.testably.rate_limit
    tally = Tally(writes, rate.seconds / rate.requests, deployment.clock)
    if writes and sys.stderr.isatty():
        with _bar(deployment.settings, name, tally) as on_outcome:
            yield on_outcome
    else:
        yield logged(name, tally, deployment.clock)


def logged(name: str, tally: Tally, clock: Clock) -> OnOutcome:
    """Counts outcomes, and logs every few seconds how far it is."""
    import structlog

    log = structlog.get_logger(__name__)
    last = clock.monotonic()

    def on_outcome(outcome: Outcome) -> None:
        nonlocal last
        tally.add(outcome)
        if clock.monotonic() - last >= LOG_EVERY:
            last = clock.monotonic()
            log.info(f"{name}: {tally}", done=tally.done, total=tally.total)

    return on_outcome


@contextmanager
def _bar(settings: Settings, name: str, tally: Tally) -> Iterator[OnOutcome]:
    with _live(settings) as bar:
        task = bar.add_task(name, total=tally.total, tally=str(tally))

        def on_outcome(outcome: Outcome) -> None:
            tally.add(outcome)
            _advance(bar, task, tally)

        yield on_outcome


def _advance(bar: Progress, task: TaskID, tally: Tally) -> None:
    bar.update(task, completed=tally.done, tally=str(tally))


@contextmanager
def _live(settings: Settings) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[tally]}"))
    with Progress(*columns, console=_console(), redirect_stdout=False) as bar:
        # rich has put a proxy in the place of stderr, through which the log goes above the bar
        start_logging(settings)
        yield bar
    start_logging(settings)


def reading(name: str) -> AbstractContextManager[object]:
    """Say on a terminal that something is being read, which may take a while."""
    if not sys.stderr.isatty():
        return nullcontext()
    return _console().status(f"Reading {name} …")


def _console() -> Console:
    """What draws on stderr what moves; milestones' names are no markup."""
    from rich.console import Console

    return Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
