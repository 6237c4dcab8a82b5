"""`milesync up`: web, workers and beat in one terminal, on an embedded broker where there is none.

For a try-out or one small team: the embedded broker keeps nothing, so a message that is lost when
it ends waits for the next schedule. Everything that matters is in the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from worker.cli.options import Config, Json
from worker.cli.output import show
from worker.cli.session import opened, pairs_to_call
from worker.cli.signals import EndedBySignal, InterruptibleClock, ending, exit_code
from worker.errors import MilesyncError, RedisAway

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.settings import Settings

Processes = Mapping[str, subprocess.Popen[bytes]]
_PATIENCE: Final = 45.0
"""Seconds that the processes have to end: longer than a worker's soft shutdown."""


class PartEnded(MilesyncError):
    """One of the processes ended by itself."""

    kind = "ended"
    default_hint = "Its last lines above say why."


def up(config: Config = None, as_json: Json = False) -> int:
    """Run web, workers and schedule together until Ctrl-C: for a try-out or one small team.

    Examples:
      milesync up
      milesync up --config team.toml
    """
    from worker.bootstrap import require_usable_addresses
    from worker.listening import is_answered, require_free

    with opened(config) as deployment, ExitStack() as stack:
        settings = deployment.settings
        pairs_to_call(settings, None)
        settings.web.require_strong_secrets()
        require_usable_addresses(settings)
        _ = deployment.store  # upgrades SQLite, before three processes would do it at once
        _say_redis_is_away(settings)
        environment = _environment(deployment, stack)
        require_free(settings.web.listen)  # after a second `up` was told that there is one
        processes = stack.enter_context(_processes(parts(), environment))
        embedded = settings.redis_url is None
        where = f"http://{settings.web.listen}"
        document = {"state": "running", "web": where, "embedded_broker": embedded}

        def greet() -> None:
            text = _greeting(where, embedded=embedded)
            show(document, lambda out: out.print(text), as_json=as_json)

        return _watch(processes, lambda: is_answered(settings.web.listen), greet)


def _say_redis_is_away(settings: Settings) -> None:
    """Warn where a configured Redis does not answer; it may come back, and the work waits."""
    import structlog

    from worker.redis_causes import ping
    from worker.tasks import redis_of

    redis = redis_of(settings)
    if redis is None:
        return
    try:
        ping(redis)
    except RedisAway as error:
        log = structlog.get_logger(__name__)
        log.warning("the work waits for Redis", error=error.message, hint=error.hint)
    finally:
        redis.close()


def _greeting(where: str, *, embedded: bool) -> str:
    broker = "an embedded broker that keeps nothing" if embedded else "your Redis"
    return (
        f"milesync runs at {where}, on {broker}. This is for a try-out or one small team;\n"
        "for more, run the processes of the Procfile. Ctrl-C ends it."
    )


def _environment(deployment: Deployment, stack: ExitStack) -> dict[str, str]:
    environment = dict(os.environ)
    file = deployment.settings.source_file
    if file is not None:
        environment["MILESYNC_CONFIG"] = str(file)
    if deployment.settings.redis_url is None:
        environment["MILESYNC_REDIS_URL"] = _broker(deployment, stack)
    return environment


def _broker(deployment: Deployment, stack: ExitStack) -> str:
    """The URL of an embedded broker, which commands on the same database find too."""
    from worker.embedded_broker import announced, embedded_broker

    url = stack.enter_context(embedded_broker())
    if deployment.broker_file is not None:
        stack.enter_context(announced(deployment.broker_file, url))
    return url.get_secret_value()


def parts() -> Mapping[str, Sequence[str]]:
    """The processes by their names: the Python modules, with arguments, of the Procfile's."""
    celery = ("celery", "-A", "worker.tasks", "--quiet")
    quiet = ("--without-gossip", "--without-mingle")
    refreshes = ("--queues", "sweep,refresh", "--concurrency", "1", "--hostname", "refresher@%h")
    return {
        "web": ("worker.web",),
        "worker": (*celery, "worker", "--concurrency", "2", *quiet),
        "refresher": (*celery, "worker", *refreshes, *quiet),
        "beat": (*celery, "beat"),
    }


@contextmanager
def _processes(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> Iterator[Processes]:
    """Start each; end them all, however this ends."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    with ending.at_the_second(lambda: _kill(running)):
        try:
            for name, command in commands.items():
                running[name] = _start(name, command, environment)
            yield running
        finally:
            _end(running)


def _start(
    name: str, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start it in a group of its own, so that a Ctrl-C at the terminal comes to this process alone.

    Its standard input tells it when this process has gone.
    """
    return subprocess.Popen(  # noqa: S603  (the commands are our own)
        [sys.executable, "-m", "worker.child", name, *command],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=2,
        process_group=0,
    )


def _end(processes: Processes) -> None:
    for process in processes.values():
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in processes.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
    _kill(processes)
    for process in processes.values():
        process.wait()


def _kill(processes: Processes) -> None:
    """End at once what is left of the processes and of those that they have forked."""
    for process in list(processes.values()):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _watch(processes: Processes, is_answered: Callable[[], bool], greet: Callable[[], None]) -> int:
    """Greet once the web process is there, and wait for a signal: its exit code.

    Raises PartEnded if a process ends by itself, EndedBySignal if nobody was greeted by then.
    """
    clock, is_greeted = InterruptibleClock(), False
    try:
        while not is_answered():
            _require_running(processes)
            clock.sleep(0.1)
        greet()
        is_greeted = True
        while True:
            _require_running(processes)
            clock.sleep(0.5)
    except EndedBySignal as ended:
        sys.stderr.write("\nEnding; what is under way is finished first.\n")
        if not is_greeted:
            raise
        return exit_code(ended)


def _require_running(processes: Processes) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise PartEnded(f"The {name} ended by itself, with {process.returncode}.")
