"""The files that people deploy with: right by their schema, and saying the same as each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.service.stack import ROOT, Stack, eventually, free_port
from worker.settings import load_settings

COMPOSE = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line
)
OURS = {"migrate", "web", "worker", "refresher", "beat"}


def test_compose_is_valid() -> None:
    """By the schema of the Compose specification."""
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(vendored.read_text()))


def test_every_service_comes_back_and_is_looked_after() -> None:
    """A restart policy for all, a health check for all that stay, nothing secret in the file."""
    assert OURS | {"postgres", "redis", "sandbox"} == set(SERVICES)
    for name, service in SERVICES.items():
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        if name not in ("migrate", "sandbox"):
            assert "healthcheck" in service, name
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == (
            "service_completed_successfully"
        )
        assert SERVICES[name]["env_file"][0]["path"] == "${MILESYNC_ENV_FILE:-.env}"
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert "USER milesync" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["web", "beat"])
def test_compose_and_procfile_run_the_same(name: str) -> None:
    assert " ".join(SERVICES[name]["command"]) == PROCFILE[name]


def test_the_example_environments_are_settings() -> None:
    """Every variable in them is one that milesync or Compose knows."""
    from dotenv import dotenv_values

    for file in (".env.example", "sandbox.env"):
        values = {k: v for k, v in dotenv_values(ROOT / file).items() if v}
        values.pop("MILESYNC_ENV_FILE", None)
        settings = load_settings(environ=values, cwd=Path("/"))
        assert settings.warnings == ()
        assert len(settings.projects) == 1


def test_alerts_use_metrics_that_there_are() -> None:
    """Each name in an expression is one that /metrics shows."""
    import re

    rules = YAML(typ="safe").load(ROOT / "docs" / "alerts.yml")["groups"][0]["rules"]
    assert len(rules) == 4
    known = {
        "milesync_pair_synced_age_seconds",
        "milesync_pair_schedule_seconds",
        "milesync_pair_troubles",
        "milesync_pair_paused",
        "milesync_waited_seconds_total",
    }
    used = {name for rule in rules for name in re.findall(r"milesync_\w+", rule["expr"])}
    assert used == known


def test_the_processes_of_the_procfile_work_under_honcho(stack: Stack) -> None:
    """Release, then everything else: the schedule's first sync arrives, the service is ready."""
    port = free_port()
    stack.extra["MILESYNC_LISTEN"] = f"127.0.0.1:{port}"
    stack.testrail.model.add(1, {"name": "first"})
    # the commands as people have them on the path after an installation
    bin_folder = str(Path(sys.executable).parent)
    path = f"{bin_folder}:{os.environ['PATH']}"
    procfile = stack.folder / "Procfile"
    procfile.write_text((ROOT / "Procfile").read_text())
    released = stack.start("release", "honcho", "run", *PROCFILE["release"].split(), PATH=path)
    assert released.wait(60) == 0, stack.log("release")
    names = ("web", "worker", "refresher", "beat")
    honcho = stack.start("honcho", "honcho", "start", *names, PATH=path)
    try:
        _see_that_it_works(stack, port)
    finally:
        honcho.terminate()  # its processes are in groups of their own, and it ends them itself
        honcho.wait(60)


def _see_that_it_works(stack: Stack, port: int) -> None:
    import httpx

    eventually(lambda: stack.names() == ["first"], 40, stack.logs("honcho"))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: httpx.get(f"{url}/readyz").status_code == 200, 20, stack.logs("honcho"))
    metrics = httpx.get(f"{url}/metrics").text
    for line in (
        'milesync_pair_links{pair="1=proj_abc123",state="linked"} 1.0',
        'milesync_runs_total{pair="1=proj_abc123",state="succeeded"} 1.0',
        'milesync_items_total{outcome="created",pair="1=proj_abc123"} 1.0',
        'milesync_requests_total{api="Testably",method="POST",status="201"} 1.0',
        'milesync_queue_depth{queue="migration"} 0.0',
        'milesync_up{part="database"} 1.0',
    ):
        assert line in metrics, metrics
    page = httpx.get(url)
    assert page.status_code == 200
    assert "proj_abc123" in page.text


def test_a_beat_that_never_ticked_is_not_alive(clean_redis: str) -> None:
    """The beat's health check in docker-compose."""
    code = subprocess.run(
        [sys.executable, "-m", "worker.tasks.alive"],
        env={"MILESYNC_REDIS_URL": clean_redis, "PYTHONPATH": str(ROOT)},
        cwd="/",
        check=False,
    ).returncode
    assert code == 1
