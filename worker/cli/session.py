"""What a command works with: the settings, the log and the database, opened and closed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mappings.errors import MilesyncError
from worker.cli.output import Exit, failure, show
from worker.cli.signals import InterruptibleClock, ending
from worker.errors import GuardTripped, UsageError
from worker.say import printable

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.settings import ProjectPair, Settings
    from worker.sync.context import PairContext

T = TypeVar("T")


@contextmanager
def opened(config: Path | None, *, quiet: bool = False) -> Iterator[Deployment]:
    """The deployment that the settings describe. Raises SettingsError.

    ``quiet`` is a command that only reads the database: nothing that it uses logs, and it starts
    sooner without a log, unless the settings have something to say.
    """
    from worker.settings import load_settings

    settings = load_settings(config)
    if not quiet or settings.warnings or settings.log.level == "debug":
        start_logging(settings)
        _log_warnings(settings)
    with deployment_of(settings) as deployment:
        yield deployment


def _log_warnings(settings: Settings) -> None:
    """Tell of what was ignored in the settings: a person in plain words, others in the log."""
    import structlog

    for warning in settings.warnings:
        if sys.stderr.isatty():
            sys.stderr.write(f"milesync: {printable(warning)}\n")
        else:
            structlog.get_logger(__name__).warning(warning)


def deployment_of(settings: Settings) -> Deployment:
    """The deployment of a command: a signal ends its waits at once, its work between requests."""
    from worker.bootstrap import Deployment

    return Deployment(settings, InterruptibleClock(), before_request=ending.check)


def start_logging(settings: Settings) -> None:
    """Log to what is stderr now (on a terminal only warnings, unless a level is set)."""
    from worker.log import configure_logging

    # on a terminal a command says itself what it does
    chosen = "level" in settings.log.model_fields_set or not sys.stderr.isatty()
    level = settings.log.level if chosen else "warning"
    configure_logging(level, settings.log.format, secrets=settings.secrets)


def pairs_to_call(settings: Settings, projects: Sequence[int] | None) -> tuple[ProjectPair, ...]:
    """The chosen pairs, all of which have credentials. Raises SettingsError, UsageError.

    So it does for a proxy or a certificate setting of the environment that cannot be used.
    """
    from worker.clients.connection import check_environment

    pairs = settings.require_projects(projects)
    settings.require_credentials(pairs)
    for url in (settings.testrail.url or "", settings.testably.url):
        check_environment(url)
    return pairs


def each(
    deployment: Deployment, pairs: Sequence[ProjectPair], work: Callable[[PairContext], T]
) -> list[T | MilesyncError]:
    """Do the work for every pair; the error of one is its result and stops no other."""
    results: list[T | MilesyncError] = []
    for pair in pairs:
        try:
            with deployment.context(pair) as context:
                results.append(work(context))
        except MilesyncError as error:
            results.append(error)
    return results


def require_consent(yes: bool) -> None:
    """Raises UsageError where a question would have to be asked and nobody can answer."""
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError(
            "There is no terminal to ask on, and nothing was changed.",
            "Give --yes to go on without a question.",
        )


def consent(question: str) -> bool:
    """Ask a person, on stderr; anything but a yes is a no, also what is no text."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    with ending.waiting():
        try:
            answer = sys.stdin.readline()
        except UnicodeDecodeError:
            answer = ""
    return answer.strip().lower() in ("y", "yes")


def declined(said: str, *, as_json: bool) -> int:
    """A person answered with no: one line, or the document of a command that did nothing."""
    error = GuardTripped(said, "Answer with y, or give --yes, to go on.")
    show(failure(error, "aborted"), lambda out: out.print(said), as_json=as_json)
    return Exit.FAILED
