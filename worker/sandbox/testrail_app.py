"""The TestRail side over HTTP: addresses, credentials, answers and the shapes of its list.

The address of a call is the query string, ``index.php?/api/v2/get_milestones/1&limit=250``, so
nothing here looks at parsed query parameters. Status codes: the TestRail page on milestones, and
design notes on 401, 404 and 429, which that page does not list.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from worker.clock import Clock, SystemClock
from worker.sandbox.limit import ServerRate, SlidingWindow
from worker.sandbox.rules import Problem
from worker.sandbox.testrail_model import PAGE, Page, TestRailModel

USER: Final = "qa@example.com"
API_KEY: Final = "sandbox-api-key"
API_IS_OFF: Final = (
    "The API is disabled for your installation. It can be enabled in the administration area in"
    " TestRail under Administration > Site Settings > API."
)
"""As people quote it in public bug reports."""
_PREFIX: Final = "/api/v2/"
_FILTERS: Final = ("is_completed", "is_started")
_ALL_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One API call: ``get_milestones/1&limit=5`` taken apart, with the request's body."""

    name: str
    id: str
    params: Mapping[str, str]
    body: object
    beta: bool


def create_testrail_app(
    model: TestRailModel,
    *,
    user: str = USER,
    api_key: str = API_KEY,
    subdir: str = "",
    rate: ServerRate | None = None,
    clock: Clock | None = None,
) -> Starlette:
    """The model as an ASGI application, for one user; ``subdir`` as in ``/testrail``.

    The rate limit holds for the whole instance, as TestRail Cloud's does.
    """
    window = SlidingWindow(rate, clock or SystemClock()) if rate else None
    api = _Api(model, user, api_key, f"{subdir.rstrip('/')}/index.php", window)
    return Starlette(routes=[Route("/{path:path}", api.answer, methods=_ALL_METHODS)])


class _Api:
    def __init__(
        self,
        model: TestRailModel,
        user: str,
        api_key: str,
        path: str,
        window: SlidingWindow | None,
    ) -> None:
        self._model = model
        credentials = base64.b64encode(f"{user}:{api_key}".encode()).decode()
        self._authorization = f"Basic {credentials}"
        self._path = path
        self._window = window
        self._calls: Mapping[tuple[str, str], Callable[[ApiCall], Response]] = {
            ("GET", "get_milestone"): self._get,
            ("GET", "get_milestones"): self._list,
            ("GET", "get_projects"): self._projects,
            ("POST", "add_milestone"): self._add,
            ("POST", "update_milestone"): self._update,
            ("POST", "delete_milestone"): self._delete,
        }

    async def answer(self, request: Request) -> Response:
        query = request.scope["query_string"].decode("latin-1")
        if request.url.path != self._path or not query.startswith("/"):
            return HTMLResponse("<html><body><h1>Not Found</h1></body></html>", 404)
        try:
            return self._api_answer(request, query, await request.body())
        except Problem as problem:
            return _error(problem.status, problem.message)

    def _api_answer(self, request: Request, query: str, body: bytes) -> Response:
        if not self._model.switches.api_is_on:
            raise Problem(403, API_IS_OFF)
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), self._authorization.encode()):
            raise Problem(401, "Authentication failed: invalid or missing user/password.")
        wait = self._window.wait("instance") if self._window else None
        if self._window and wait is not None:
            return _error(429, "API Rate Limit Exceeded", self._window.headers(wait))
        name, id_, params = _taken_apart(query)
        call = self._calls.get((request.method, name))
        if call is None:
            raise Problem(404, f"Unknown method '{name}'")
        beta = request.headers.get("x-api-ident") == "beta"
        value = _json_body(request, body) if request.method == "POST" else None
        return call(ApiCall(name, id_, params, value, beta))

    def _get(self, call: ApiCall) -> Response:
        return JSONResponse(self._model.get(_id(call, "milestone_id")))

    def _add(self, call: ApiCall) -> Response:
        return JSONResponse(self._model.add(_id(call, "project_id"), call.body))

    def _update(self, call: ApiCall) -> Response:
        return JSONResponse(self._model.update(_id(call, "milestone_id"), call.body))

    def _delete(self, call: ApiCall) -> Response:
        self._model.delete(_id(call, "milestone_id"))
        return Response(b"", 200, media_type="application/json")

    def _list(self, call: ApiCall) -> Response:
        project_id = _id(call, "project_id")
        limit, offset = _span(call.params)
        shape = self._shape(call)
        if shape == "array":
            limit, offset = None, 0
        elif shape == "array_cut":
            limit, offset = PAGE, 0
        filters = {name: _flag(name, call.params) for name in _FILTERS if name in call.params}
        page = self._model.page(project_id, **filters, limit=limit, offset=offset)
        return JSONResponse(_envelope(page, call) if shape == "envelope" else page.rows)

    def _projects(self, call: ApiCall) -> Response:
        rows = self._model.open_projects()
        if self._shape(call) != "envelope":
            return JSONResponse(rows)
        limit, offset = _span(call.params)
        page = Page(rows[offset:][:limit], len(rows), offset, limit or PAGE)
        return JSONResponse(_envelope(page, call, "projects"))

    def _shape(self, call: ApiCall) -> str:
        shape = self._model.switches.list_shape
        if shape == "beta_header":
            return "envelope" if call.beta else "array"
        return shape


def _taken_apart(query: str) -> tuple[str, str, dict[str, str]]:
    """``/api/v2/get_milestones/1&limit=5`` as its method, its id and its parameters.

    Percent-encoded slashes are no slashes here: such a path names no method.
    """
    path, *pairs = query.split("&")
    if not path.startswith(_PREFIX):
        raise Problem(404, "Unknown method ''")
    name, _, id_ = path.removeprefix(_PREFIX).partition("/")
    return name, id_, {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def _json_body(request: Request, body: bytes) -> object:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Problem(400, "Content-Type header missing or invalid: use application/json.")
    try:
        return json.loads(body) if body else {}
    except ValueError:
        raise Problem(400, "The request body is not valid JSON.") from None


def _id(call: ApiCall, field: str) -> int:
    if not (call.id.isascii() and call.id.isdigit()):
        raise Problem(400, f"Field :{field} is not a valid ID.")
    return int(call.id)


def _flag(name: str, params: Mapping[str, str]) -> bool:
    if params[name] not in ("0", "1"):
        raise Problem(400, f"Field :{name} must be 0 or 1.")
    return params[name] == "1"


def _span(params: Mapping[str, str]) -> tuple[int | None, int]:
    """Limit and offset; a limit above the largest page is cut to it."""
    unknown = set(params) - {*_FILTERS, "limit", "offset"}
    if unknown:
        raise Problem(400, f"Field :{min(unknown)} is not a supported filter.")
    given = {name: params.get(name, default) for name, default in (("limit", ""), ("offset", "0"))}
    limit = given["limit"] or str(PAGE)
    if not (limit.isdigit() and given["offset"].isdigit() and int(limit) > 0):
        raise Problem(400, "Field :limit or :offset is not a valid number.")
    return min(int(limit), PAGE), int(given["offset"])


def _envelope(page: Page, call: ApiCall, rows: str = "milestones") -> dict[str, object]:
    before, after = page.offset - page.limit, page.offset + page.limit
    return {
        "offset": page.offset,
        "limit": page.limit,
        "size": len(page.rows),
        "_links": {
            "next": _link(call, page.limit, after) if after < page.total else None,
            "prev": _link(call, page.limit, max(before, 0)) if page.offset > 0 else None,
        },
        rows: page.rows,
    }


def _link(call: ApiCall, limit: int, offset: int) -> str:
    """A neighbouring page's address as instances give it: without host, sub-directory or script."""
    filters = "".join(f"&{name}={call.params[name]}" for name in _FILTERS if name in call.params)
    id_ = f"/{call.id}" if call.id else ""
    return f"{_PREFIX}{call.name}{id_}{filters}&limit={limit}&offset={offset}"


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)
