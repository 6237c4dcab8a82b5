"""GET /: where every pair stands, on one page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import structlog
from jinja2 import Environment, PackageLoader
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mappings.errors import MilesyncError, StoreError
from mappings.failures import failures
from mappings.overview import Standing, overview
from mappings.rows import Pair
from worker.errors import NoLimiter
from worker.settings import ProjectPair
from worker.web.edge import NOTHING
from worker.web.service import Service, service_of

_NO_DATABASE: Final = "The database did not answer; the log says why."
_NO_REDIS: Final = "Redis did not answer; the log says why."
_RUNS: Final = 5
_PROBLEMS: Final = 20
log = structlog.get_logger(__name__)


async def show(request: Request) -> Response:
    """The page; 503 where the database does not answer."""
    service = service_of(request)
    try:
        rows = await run_in_threadpool(_rows, service)
    except MilesyncError as error:
        log.warning("the page cannot be shown", error=error.message)
        return _page(503, rows=[], error=_NO_DATABASE)
    return _page(200, rows=rows, error=None)


def _page(status: int, **values: object) -> Response:
    style, policy = _style()
    page = _pages().get_template("status.html").render(style=style, **values)
    return HTMLResponse(page, status, {"content-security-policy": policy})


@cache
def _pages() -> Environment:
    pages = Environment(loader=PackageLoader("worker.web"), autoescape=True)
    pages.filters["told"] = _told
    return pages


@cache
def _style() -> tuple[str, str]:
    """The pages' style, and the policy that allows exactly this text and loads nothing."""
    style = _pages().get_template("status.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return style, f"{NOTHING}; style-src 'sha256-{digest}'"


def _told(error: Mapping[str, Any]) -> str:
    """The error of a run, as the page shows it: a server's own words hold its address."""
    hidden = {StoreError.kind: _NO_DATABASE, NoLimiter.kind: _NO_REDIS}
    return hidden.get(str(error.get("kind")), str(error.get("message")))


def _rows(service: Service) -> list[dict[str, Any]]:
    here = service.deployment
    recorded = {pair.identity: pair for pair in here.store.all_pairs()}
    pairs = [(one, recorded.get(here.identity(one))) for one in here.settings.projects]
    found = overview(here.store.engine, [pair for _, pair in pairs if pair is not None])
    return [_row(service, configured, pair, found) for configured, pair in pairs]


def _row(
    service: Service, configured: ProjectPair, pair: Pair | None, found: Mapping[int, Standing]
) -> dict[str, Any]:
    row: dict[str, Any] = {"configured": configured, "pair": pair, "runs": [], "problems": []}
    if pair is not None:
        row["runs"] = service.deployment.runs.latest(pair.id, _RUNS)
        row["standing"] = standing = found[pair.id]
        listed = failures(service.deployment.store, pair, standing.last_run, _PROBLEMS)
        row["problems"] = listed["failures"][:_PROBLEMS]
        row["accepted"] = listed["accepted"][:_PROBLEMS]
    return row
