"""The Testably side over HTTP: routes, bearer tokens, answers and the rate limit of each token.

Routes and status codes: the Testably page on milestones; the lists of projects and of runs: the
vendor's other public pages. What errors look like is not documented; here they are
``{"error": {"message": …}}``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.clock import Clock, SystemClock
from worker.sandbox.limit import ServerRate, SlidingWindow
from worker.sandbox.rules import Problem, Record
from worker.sandbox.testably_model import TestablyModel

TOKEN: Final = "sandbox-token"  # noqa: S105  # the sandbox's own, known to everybody
DOCUMENTED_RATE: Final = ServerRate(limit=60, window=60.0)
"""60 requests a minute for each token (Testably page)."""

_LIST_PARAMS: Final = frozenset({"status", "page", "per_page"})
_Handler = Callable[[Request], Awaitable[Response]]


def create_testably_app(
    model: TestablyModel,
    *,
    tokens: Mapping[str, Collection[str] | None] | None = None,
    rate: ServerRate | None = DOCUMENTED_RATE,
    clock: Clock | None = None,
) -> Starlette:
    """The model as an ASGI application.

    ``tokens``: which projects each token may use (others answer 403), None for all of them.
    """
    window = SlidingWindow(rate, clock or SystemClock()) if rate else None
    api = _Api(model, {TOKEN: None} if tokens is None else tokens, window)
    project = "/v1/projects/{project_id}"
    base = f"{project}/milestones"
    routes = [
        Route("/v1/projects", api.guarded(api.projects), methods=["GET"]),
        Route(f"{project}/runs", api.guarded(api.runs), methods=["GET"]),
        Route(base, api.guarded(api.list), methods=["GET"]),
        Route(base, api.guarded(api.create), methods=["POST"]),
        Route(base + "/{milestone_id}", api.guarded(api.get), methods=["GET"]),
        Route(base + "/{milestone_id}", api.guarded(api.update), methods=["PATCH"]),
    ]
    refusals = {HTTPException: _http_error, Problem: _problem}
    return Starlette(routes=routes, exception_handlers=refusals)


class _Api:
    def __init__(
        self,
        model: TestablyModel,
        tokens: Mapping[str, Collection[str] | None],
        window: SlidingWindow | None,
    ) -> None:
        self._model = model
        self._tokens = tokens
        self._window = window

    def guarded(self, handler: _Handler) -> _Handler:
        """The handler behind the checks of token, rate limit and project, in this order."""

        async def guard(request: Request) -> Response:
            token = _token(request)
            if token not in self._tokens:
                raise Problem(401, "Missing or invalid API token")
            wait = self._window.wait(token) if self._window else None
            if self._window and wait is not None:
                return _error(429, "Rate limit exceeded", self._window.headers(wait))
            mine, project = self._tokens[token], request.path_params.get("project_id")
            if mine is not None and project not in mine and project in self._model.projects:
                raise Problem(403, "Insufficient permissions")
            return await handler(request)

        return guard

    async def list(self, request: Request) -> Response:
        params = request.query_params
        unknown = set(params) - _LIST_PARAMS
        if unknown:
            raise Problem(400, f"Unknown query parameter {min(unknown)}")
        found = self._model.listing(
            request.path_params["project_id"],
            params.get("status"),
            _number(params, "page", 1),
            _number(params, "per_page", 20),
        )
        return JSONResponse(found.body)

    async def projects(self, request: Request) -> Response:
        if not self._model.switches.lists_projects:
            raise Problem(403, "Insufficient permissions")
        mine = self._tokens[_token(request)]
        open_ = sorted(self._model.projects if mine is None else self._model.projects & set(mine))
        names = self._model.project_names
        rows: list[Record] = [
            {"id": one, "name": names.get(one, f"Project {one}"), "prefix": one[-4:].upper()}
            for one in open_
        ]
        return JSONResponse(_whole(rows))

    async def runs(self, request: Request) -> Response:
        params = request.query_params
        found = self._model.runs(
            request.path_params["project_id"], params.get("milestone_id"), params.get("status")
        )
        return JSONResponse(_whole(found))

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._model.get(**request.path_params))

    async def create(self, request: Request) -> Response:
        body = await _json_body(request)
        return JSONResponse(self._model.create(**request.path_params, body=body), 201)

    async def update(self, request: Request) -> Response:
        body = await _json_body(request)
        return JSONResponse(self._model.update(**request.path_params, body=body))


def _token(request: Request) -> str:
    """The bearer token of a request; empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _whole(rows: list[Record]) -> Record:
    """A list that has a single page."""
    return {"data": rows, "meta": {"page": 1, "per_page": len(rows), "total": len(rows)}}


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    given = params.get(name, str(default))
    if not (given.isascii() and given.isdigit()):
        raise Problem(400, f"{name} must be a number")
    return int(given)


async def _json_body(request: Request) -> object:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Problem(400, "Content-Type must be application/json")
    try:
        return json.loads(await request.body())
    except ValueError:
        raise Problem(400, "Invalid JSON") from None


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  # Starlette's type for handlers is wider
    return _error(error.status, error.message)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # as above
    return _error(error.status_code, error.detail, error.headers)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message}}, status, headers)
