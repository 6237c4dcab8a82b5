"""`milesync up`: web, worker and beat in one terminal, on an embedded broker where there is none.

For a try-out or one small team: the embedded broker keeps nothing, so a message that is lost when
it ends waits for the next schedule. Everything that matters is in the database.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from worker.cli.options import Config, Json
from worker.cli.output import show
from worker.cli.session import opened, pairs_to_call
from worker.cli.signals import EndedBySignal, InterruptibleClock, exit_code
from worker.errors import MilesyncError

if TYPE_CHECKING:
    from worker.bootstrap import Deployment

_PATIENCE: Final = 45.0
"""Seconds that the processes have to end: longer than a worker's soft shutdown."""


class PartEnded(MilesyncError):
    """One of the processes ended by itself."""

    kind = "ended"
    default_hint = "Its last lines above say why."


def up(config: Config = None, as_json: Json = False) -> int:
    """Run web, worker and schedule together until Ctrl-C: for a try-out or one small team."""
    with opened(config) as deployment, ExitStack() as stack:
        settings = deployment.settings
        pairs_to_call(settings, None)
        _ = deployment.store  # upgrades SQLite, before three processes would do it at once
        environment = _environment(deployment, stack)
        processes = stack.enter_context(_processes(_commands(), environment))
        embedded = settings.redis_url is None
        where = f"http://{settings.web.listen}"
        show(
            {"state": "running", "web": where, "embedded_broker": embedded},
            lambda out: out.print(_greeting(where, embedded=embedded)),
            as_json=as_json,
        )
        return _watch(processes)


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
        environment["MILESYNC_REDIS_URL"] = stack.enter_context(embedded_broker())
    return environment


def _commands() -> Mapping[str, Sequence[str]]:
    celery = ("celery", "-A", "worker.tasks")
    quiet = ("--without-gossip", "--without-mingle")
    return {
        "web": ("worker.web",),
        "worker": (*celery, "worker", "--concurrency", "2", *quiet),
        "beat": (*celery, "beat"),
    }


@contextmanager
def embedded_broker() -> Iterator[str]:
    """A Redis-like server in this process; its URL."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0))
    # With Nagle's algorithm each answer would take thirty times as long.
    handler: type = server.RequestHandlerClass  # type: ignore[assignment]
    server.RequestHandlerClass = type("Handler", (handler,), {"disable_nagle_algorithm": True})
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _processes(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start each; end them all, however this ends."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(  # noqa: S603  (the commands are our own)
                [sys.executable, "-m", *command],
                env=dict(environment),
                stdout=2,
            )
        yield running
    finally:
        _end(list(running.values()))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()


def _watch(processes: Mapping[str, subprocess.Popen[bytes]]) -> int:
    """Wait for a signal: its exit code. Raises PartEnded if a process ends by itself."""
    clock = InterruptibleClock()
    try:
        while True:
            clock.sleep(0.5)
            for name, process in processes.items():
                if process.poll() is not None:
                    raise PartEnded(f"The {name} ended by itself, with {process.returncode}.")
    except EndedBySignal as ended:
        sys.stderr.write("\nEnding; what is under way is finished first.\n")
        return exit_code(ended)
