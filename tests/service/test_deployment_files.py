"""The files that people deploy with: right by their schema, and saying the same as each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

import honcho.environ
import httpx
import jsonschema
import pytest
from dotenv import dotenv_values
from pydantic import BaseModel
from ruamel.yaml import YAML

from tests.service.stack import ENDED, ROOT, Stack, eventually, free_port
from worker.settings import load_settings
from worker.settings.model import FileSettings, variable
from worker.web.edge import OPEN_PATHS

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
        if name != "web":
            assert SERVICES[name]["env_file"][0]["path"] == "${MILESYNC_ENV_FILE:-.env}"
    assert SERVICES["sandbox"]["profiles"] == ["sandbox"]
    assert "USER milesync" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["web", "beat"])
def test_compose_and_procfile_run_the_same(name: str) -> None:
    assert " ".join(SERVICES[name]["command"]) == PROCFILE[name]


SAMPLES = (".env.example", "sandbox.env")


def compose_values(text: str) -> dict[str, str]:
    """What Compose reads, by its documented rules for the forms that the samples use.

    An unquoted value ends at a blank with a number sign; single quotes are taken as they stand;
    elsewhere $ and backslash have meanings of their own, so no sample may have them there.
    """
    values = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        assert equals, line
        quoted = re.fullmatch(r"\s*'([^']*)'\s*", value)
        if not quoted:
            value = re.split(r"\s#", value)[0].strip()
            assert not set(value) & set("$\\\"'"), line
        values[name.strip()] = quoted[1] if quoted else value
    return values


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_the_same_for_honcho_compose_and_milesync(name: str) -> None:
    """Also with every line taken that is commented out as a suggestion."""
    text = (ROOT / name).read_text()
    for form in (text, re.sub(r"^# (?=MILESYNC_\w+=)", "", text, flags=re.MULTILINE)):
        ours = dict(dotenv_values(stream=StringIO(form), interpolate=False))
        assert ours == honcho.environ.parse(form) | {k: "" for k, v in ours.items() if not v}
        assert ours == compose_values(form)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_valid_settings(name: str, tmp_path: Path) -> None:
    """Every variable in it is one that milesync or Compose knows, the suggestions too."""
    text = re.sub(r"^# (?=MILESYNC_\w+=)", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    env = tmp_path / ".env"
    env.write_text(text.replace("MILESYNC_ENV_FILE=", "ENV_FILE="))
    env.chmod(0o600)
    settings = load_settings(environ={}, cwd=tmp_path)
    assert settings.warnings == ()
    assert len(settings.projects) == 1


def test_the_sample_shows_what_people_set() -> None:
    shown = set(re.findall(r"MILESYNC_\w+(?==)", (ROOT / ".env.example").read_text()))
    commonly = (
        "WEB_TOKEN",
        "WEB_HOSTS",
        "TESTRAIL_TIMEZONE",
        "SCHEDULE",
        "WEBHOOK_SECRET",
        "ON_TARGET_EDIT",
        "DATABASE_URL",
    )
    assert shown >= {f"MILESYNC_{name}" for name in commonly}


# --- the image and the containers -------------------------------------------------------------


def test_every_image_is_pinned_by_digest_with_its_tag() -> None:
    images = [service["image"] for service in SERVICES.values() if service["image"] != "milesync"]
    images += re.findall(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert len(images) == 3
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in images)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert name in ("postgres", "redis") or "cap_add" not in service


def test_the_web_container_holds_no_account_of_either_api() -> None:
    """It gets what it needs by name, and no file of settings."""
    web = SERVICES["web"]
    assert web["env_file"] == []
    held = set(web["environment"])
    assert held >= {f"MILESYNC_{n}" for n in ("WEBHOOK_SECRET", "DATABASE_URL", "REDIS_URL")}
    assert not held & {"MILESYNC_TESTRAIL_USER", "MILESYNC_TESTRAIL_API_KEY"}
    assert [name for name in held if "TOKEN" in name] == ["MILESYNC_WEB_TOKEN"]


def test_the_web_container_gets_every_setting_that_is_no_account() -> None:
    """Its pages compute with them, and say what the commands say (R10)."""
    every: set[str] = set()
    for name, value in FileSettings():
        fields = type(value).model_fields if isinstance(value, BaseModel) else None
        every |= {variable((name, field)) for field in fields or ()} or {variable((name,))}
    accounts = {"TESTRAIL_USER", "TESTRAIL_API_KEY", "TESTABLY_TOKEN", "NOTIFY", "NOTIFY_GAP"}
    assert every - set(SERVICES["web"]["environment"]) == {f"MILESYNC_{n}" for n in accounts}


@pytest.mark.parametrize("named", ["", "milesync.example.com", "*"])
def test_the_web_container_s_health_check_is_answered(named: str) -> None:
    """Whatever hosts the .env names: it asks for /healthz under a name that the file adds."""
    web = SERVICES["web"]
    written = str(web["environment"]["MILESYNC_WEB_HOSTS"])
    hosts = written.replace("${MILESYNC_WEB_HOSTS:-localhost}", named or "localhost")
    settings = load_settings(environ={"MILESYNC_WEB_HOSTS": hosts}, cwd=Path("/"))
    (url,) = re.findall(r"http://\S+(?=')", " ".join(web["healthcheck"]["test"]))
    parts = httpx.URL(url)
    assert parts.path in OPEN_PATHS
    assert settings.web.answers_to(parts.host)
    assert settings.web.answers_to(named or "localhost")


def test_the_web_container_works_with_what_it_gets(stack: Stack) -> None:
    """A webhook is taken, and the page shows the pair, without the accounts."""
    for name in ("TESTRAIL_USER", "TESTRAIL_API_KEY", "TESTABLY_TOKEN"):
        stack.extra[f"MILESYNC_{name}"] = ""
    url = stack.web()
    assert stack.hook(url, "first", project_id="1").status_code == 202
    assert "proj_abc123" in httpx.get(url).text
    assert "# TYPE" in httpx.get(f"{url}/metrics").text


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
    (stack.folder / ".env").write_text("MILESYNC_SCHEDULE='*/1 * * * *'\n")
    released = stack.start("release", "honcho", "run", *PROCFILE["release"].split(), PATH=path)
    assert released.wait(ENDED) == 0, stack.log("release")
    names = ("web", "worker", "refresher", "beat")
    honcho = stack.start("honcho", "honcho", "start", *names, PATH=path)
    try:
        _see_that_it_works(stack, port)
    finally:
        honcho.terminate()  # its processes are in groups of their own, and it ends them itself
        honcho.wait(ENDED)


def _see_that_it_works(stack: Stack, port: int) -> None:
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
