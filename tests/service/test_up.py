"""`milesync up`: everything in one terminal, on the embedded broker and SQLite."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx

from tests.service.stack import Stack, eventually, free_port
from worker.sandbox.server import serve_testably, serve_testrail


def test_up_syncs_by_schedule_and_webhook_and_ends_cleanly(tmp_path: Path) -> None:
    """Web, worker and beat run without a Redis; Ctrl-C ends all of them with 130."""
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        stack = Stack(testrail, testably, f"sqlite:///{tmp_path}/milesync.db", None, tmp_path)
        port = free_port()
        stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{port}"
        first = int(str(testrail.model.add(1, {"name": "first"})["id"]))
        try:
            up = stack.start("up", "worker.cli", "up")
            eventually(lambda: stack.targets(), 30, stack.logs("up"))
            testrail.model.update(first, {"name": "renamed"})
            stack.hook(f"http://127.0.0.1:{port}", project_id=1, milestone_id=first)
            eventually(lambda: stack.targets()[0]["name"] == "renamed", 15, stack.logs("up"))
            ready = httpx.get(f"http://127.0.0.1:{port}/readyz")
            assert (ready.status_code, ready.json()["ready"]) == (200, True)
            up.send_signal(signal.SIGINT)
            assert up.wait(40) == 130, stack.log("up")
            assert "one small team" in stack.log("up")
        finally:
            stack.close()
