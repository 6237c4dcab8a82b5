"""A service under test: its settings, its processes, and what can be asked of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
from redis import Redis

from worker.bootstrap import Deployment
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.server import Sandbox
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.settings import Settings, load_settings

SECRET = "hook-very-secret"
ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[bytes]
BUSY = 4
"""How much longer everything may take where the machine is busy. Waiting for what is so at once
costs nothing, so this costs only a test that fails."""
ENDED = 90.0
"""Seconds in which a process that ends by itself has to."""


def eventually(
    ready: Callable[[], object], seconds: float = 30.0, log: Callable[[], str] = str
) -> None:
    """Wait until something is so; the test fails if it is not in time.

    ``seconds`` are for a machine with nothing else to do; another one gets more.
    """
    seconds *= BUSY
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {log()[-4000:]}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Stack:
    """Processes are started in ``folder``, where their logs are; `close` ends those left."""

    testrail: SandboxServer[TestRailModel]
    testably: SandboxServer[TestablyModel]
    database_url: str
    redis_url: str | None
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The settings, as MILESYNC_* variables."""
        return {
            **Sandbox(self.testrail, self.testably).settings,
            "MILESYNC_DATABASE_URL": self.database_url,
            **({"MILESYNC_REDIS_URL": self.redis_url} if self.redis_url else {}),
            "MILESYNC_WEBHOOK_SECRET": SECRET,
            "MILESYNC_LOG_FORMAT": "json",
            "MILESYNC_TESTABLY_RATE_LIMIT": "100000/60s",
            "MILESYNC_TESTRAIL_RATE_LIMIT": "100000/60s",
            **self.extra,
        }

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the service is started with."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith("MILESYNC_")}
        return {**plain, **self.variables, "PYTHONPATH": str(ROOT)}

    @property
    def settings(self) -> Settings:
        return load_settings(environ=self.variables, cwd=self.folder)

    @property
    def deployment(self) -> Deployment:
        """A new one; to be closed by the caller."""
        return Deployment(self.settings)

    @property
    def redis(self) -> Redis:
        return Redis.from_url(self.redis_url or "")

    # --- processes

    def start(self, name: str, *command: str, **extra: str) -> Process:
        """Run a Python module with the settings in its environment; the log is NAME.log."""
        environment = {**self.environment, **extra}
        log: IO[bytes] = (self.folder / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        self.processes.append(process)
        return process

    def worker(self, name: str = "worker", processes: int = 1, *more: str, **extra: str) -> Process:
        """A Celery worker that has taken up its work."""
        before = self.log(name).count("ready.")
        command = ("celery", "-A", "worker.tasks", "worker", "-n", f"{name}@test", "-c")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        started = self.start(name, *command, str(processes), *quiet, *more, **extra)
        eventually(lambda: self.log(name).count("ready.") > before, 30, self.logs(name))
        return started

    def web(self, name: str = "web") -> str:
        """A web process that answers; its URL."""
        port = free_port()
        self.start(name, "uvicorn", "worker.web:app", "--port", str(port), "--no-access-log")
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(f"{url}/healthz"), 20, self.logs(name))
        return url

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `milesync` to its end."""
        process = self.start("command", "worker.cli", *arguments)
        process.wait(120)
        return subprocess.CompletedProcess(arguments, process.returncode, self.log("command"))

    def log(self, name: str) -> str:
        file = self.folder / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def logs(self, *names: str) -> Callable[[], str]:
        """Reads the end of these logs, for a test that fails."""
        return lambda: "\n".join(self.log(name)[-2000:] for name in names)

    def records(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines of a log."""
        lines = (line for line in self.log(name).splitlines() if line.startswith("{"))
        return [json.loads(line) for line in lines]

    def kill(self, process: Process, number: int = signal.SIGKILL) -> None:
        """End a process with all its children."""
        if process.poll() is None:
            os.killpg(process.pid, number)
        process.wait(ENDED)

    def close(self) -> None:
        for process in self.processes:
            self.kill(process)

    # --- what happened

    def hook(self, url: str, delivery: str | None = None, **body: Any) -> httpx.Response:
        """One webhook call, as TestRail sends it."""
        headers = {"X-Milesync-Secret": SECRET}
        if delivery is not None:
            headers["x-testrail-delivery"] = delivery
        return httpx.post(f"{url}/webhooks/testrail", json=body, headers=headers, timeout=30)

    def targets(self, project: str = "proj_abc123") -> list[Mapping[str, Any]]:
        return list(self.testably.model.everything(project))

    def names(self, project: str = "proj_abc123") -> list[str]:
        return [str(target["name"]) for target in self.targets(project)]

    def doubled(self, project: str = "proj_abc123") -> dict[str, int]:
        """The names that the target has more than once."""
        names = Counter(str(target["name"]) for target in self.targets(project))
        return {name: number for name, number in names.items() if number > 1}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).is_success
    except httpx.HTTPError:
        return False
