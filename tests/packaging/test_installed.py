"""What is installed works: each program and process, without the packages of the dev group."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.packaging.conftest import Installed, run
from tests.service.stack import Stack, eventually, free_port
from worker.sandbox.server import serve_testably, serve_testrail

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]


def test_it_is_itself_and_nothing_of_this_checkout(installed: Installed, tmp_path: Path) -> None:
    """Its packages, both typed, come from its own folder."""
    code = "import worker, mappings; print(worker.__file__, mappings.__file__)"
    env = installed.environment
    where = run(installed.bin / "python", "-c", code, cwd=tmp_path, env=env).split()
    assert all(Path(file).is_relative_to(installed.bin.parent) for file in where)
    assert all(Path(file).with_name("py.typed").exists() for file in where)
    missing = subprocess.run(
        [installed.bin / "python", "-c", "import pytest"], env=env, check=False, capture_output=True
    )
    assert missing.returncode == 1


def test_the_commands_run(installed: Installed, tmp_path: Path) -> None:
    env = installed.environment
    assert run("milesync", "--version", cwd=tmp_path, env=env).startswith("milesync 0.")
    assert "migrate" in run("milesync", "-h", cwd=tmp_path, env=env)
    demonstrated = json.loads(run("milesync", "demo", "--json", cwd=tmp_path, env=env))
    assert demonstrated["state"] == "succeeded"


@contextmanager
def running(
    installed: Installed, folder: Path, redis_url: str | None, *command: str
) -> Iterator[tuple[Stack, subprocess.Popen[bytes]]]:
    """A process of the installation on two sandbox servers and SQLite."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        stack = Stack(testrail, testably, f"sqlite:///{folder}/milesync.db", redis_url, folder)
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{free_port()}"
        testrail.model.add(1, {"name": "first"})
        with (folder / "process.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**installed.environment, **stack.variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack.processes.append(process)
        try:
            yield stack, process
        finally:
            stack.close()


def test_up_becomes_ready_and_syncs(installed: Installed, tmp_path: Path) -> None:
    with running(installed, tmp_path, None, "milesync", "up") as (stack, up):
        url = f"http://{stack.extra['MILESYNC_LISTEN']}"
        eventually(lambda: _ready(f"{url}/readyz"), 90, stack.logs("process"))
        eventually(lambda: stack.names() == ["first"], 90, stack.logs("process"))
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 130


@pytest.mark.parametrize(("process", "says"), [("worker", "ready."), ("beat", "beat: Starting")])
def test_celery_processes_start(
    installed: Installed, redis_url: str, tmp_path: Path, process: str, says: str
) -> None:
    command = ("celery", "-A", "worker.tasks", process)
    with running(installed, tmp_path, redis_url, *command) as (stack, celery):
        eventually(lambda: says in stack.log("process"), 90, stack.logs("process"))
        assert celery.poll() is None
        celery.terminate()
        eventually(lambda: celery.poll() is not None, 90, stack.logs("process"))
        assert celery.wait() == 0, stack.log("process")


def test_the_web_process_answers(installed: Installed, redis_url: str, tmp_path: Path) -> None:
    command = ("python", "-m", "worker.web")
    with running(installed, tmp_path, redis_url, *command) as (stack, _):
        url = f"http://{stack.extra['MILESYNC_LISTEN']}"
        eventually(lambda: _ready(f"{url}/healthz"), 60, stack.logs("process"))


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
