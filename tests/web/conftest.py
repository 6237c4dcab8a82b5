"""Pairs in every condition, as real runs against real sandbox servers have left them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import uvicorn
from starlette.testclient import TestClient

from worker.cli import main
from worker.sandbox.server import Sandbox, run_sandbox
from worker.settings import load_settings
from worker.web import create_app

HOSTILE = "<script>document.title='it ran'</script>"
LONG = "An-unbreakably-long-name-of-a-milestone" + "e" * 201
FAST = "60000/60s"
PROJECTS = "1=proj_abc123,2=proj_mobile,3=proj_never,4=proj_closed"


@dataclass(frozen=True)
class World:
    """Four pairs on one database.

    1 has a milestone that cannot be read, one called `HOSTILE` and sub-milestones; of 2 an undo
    holds everything; 3 never ran; the last run of 4 failed. ``hostile``, ``long`` (its name has no
    place to break) and ``unreadable`` are TestRail ids of pair 1, ``held`` is one of pair 2.
    """

    environ: dict[str, str]
    hostile: int
    long: int
    unreadable: int
    held: int
    testrail_url: str


def milesync(environ: dict[str, str], *args: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr("sys.stderr", io.StringIO())
        for name, value in environ.items():
            patch.setenv(name, value)
        code = int(main(args))
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    return code, out.getvalue()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The pairs, with what happened to them."""
    folder = tmp_path_factory.mktemp("pages")
    with run_sandbox(count=14, rate=None, log=False) as sandbox:
        environ = {
            **sandbox.settings,
            "MILESYNC_TESTABLY_RATE_LIMIT": FAST,
            "MILESYNC_TESTRAIL_RATE_LIMIT": FAST,
            "MILESYNC_PROJECTS": PROJECTS,
            "MILESYNC_DATABASE_URL": f"sqlite:///{folder / 'milesync.db'}",
        }
        yield _live(sandbox, environ)


def _live(sandbox: Sandbox, environ: dict[str, str]) -> World:
    rail, ably = sandbox.testrail.model, sandbox.testably.model
    for number, project in ((2, "proj_mobile"), (3, "proj_never"), (4, "proj_closed")):
        rail.projects.add(number)
        ably.projects.add(project)

    def add(project: int, **fields: object) -> int:
        return int(str(rail.add(project, fields)["id"]))

    hostile = add(1, name=HOSTILE, description=f"{HOSTILE}\nSecond line.")
    parent = add(1, name=LONG)
    add(1, name="Below the long one", parent_id=parent)
    held = add(2, name="Release 24.3")
    add(4, name="Go-live")
    milesync(environ, "migrate", "--yes", "--project", "1", "--project", "2", "--project", "4")
    rail.update(hostile, {"description": "Another text.\nSecond line.", "due_on": 1_800_000_000})
    ids = (int(str(row["id"])) for row in rail.everything(1))
    unreadable = next(id_ for id_ in ids if id_ not in (hostile, parent))
    rail._shelf.record(unreadable)["name"] = "   "
    rail.no_access.add(4)
    milesync(environ, "sync", "--project", "1", "--project", "4")
    _, listed = milesync(environ, "runs", "--project", "2", "--json")
    milesync(environ, "undo", "--yes", _run(listed))
    return World(environ, hostile, parent, unreadable, held, environ["MILESYNC_TESTRAIL_URL"])


def _run(listed: str) -> str:
    found: str = json.loads(listed)["runs"][0]["run"]
    return found


@pytest.fixture
def web(world: World) -> Iterator[TestClient]:
    """A browser without a screen, on the machine of the web process."""
    with browser_of(world.environ) as found:
        yield found


@contextlib.contextmanager
def browser_of(environ: dict[str, str]) -> Iterator[TestClient]:
    """The same, of a web process with these settings."""
    settings = load_settings(environ=environ, cwd=Path("/"))
    app = create_app(lambda: settings)
    yield TestClient(app, "http://localhost", client=("127.0.0.1", 50000))
    app.state.service.close()


@pytest.fixture(scope="session")
def server(world: World) -> Iterator[str]:
    """The address of a real web process's application, without Redis and without a token."""
    settings = load_settings(environ=world.environ, cwd=Path("/"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        app = create_app(lambda: settings)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        running.should_exit = True
        thread.join()
    app.state.service.close()
