"""What all pages have: templates, headers, errors, and lists that come a page at a time."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, wraps
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mappings.commands import for_project
from mappings.errors import MilesyncError
from mappings.footer import marker_url
from mappings.paged import MOST_DIGITS
from mappings.problem import ProblemKind
from worker.errors import NO_DATABASE, text_for_others
from worker.facts import ending, runs, stays, words
from worker.facts.milestones import in_parts
from worker.web.edge import NOTHING
from worker.web.service import service_of

_COMMAND: Final = re.compile("`([^`]+)`")
log = structlog.get_logger(__name__)

Facts = Mapping[str, Any]


class NotThere(Exception):
    """The address names nothing; the text says what."""


def page(template: str) -> Callable[[Callable[[Request], Facts]], Callable[[Request], Response]]:
    """Make an endpoint of a function that gives what its template shows."""

    def made(facts: Callable[[Request], Facts]) -> Callable[[Request], Response]:
        @wraps(facts)
        def endpoint(request: Request) -> Response:
            try:
                return _answer(request, template, 200, facts(request))
            except NotThere as missing:
                return _message(request, 404, "Not found", str(missing))
            except MilesyncError as error:
                log.warning("the page cannot be shown", error=error.message)
                return _message(request, 503, "Cannot be shown now", NO_DATABASE)

        return endpoint

    return made


def not_found(request: Request, _: Exception) -> Response:
    """The page for an address that names none."""
    return _message(request, 404, "Not found", "There is nothing at this address.")


def _day(value: str | None) -> str:
    """The day of a date."""
    return (value or "")[: len("2026-03-01")]


def number(request: Request, name: str) -> int:
    """A number in the path. Raises NotThere for what is none, or none that a database can hold."""
    text: str = request.path_params[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS):
        raise NotThere("There is nothing at this address: it has no number where one belongs.")
    return int(text)


# --- a page -----------------------------------------------------------------------------------


def _answer(request: Request, template: str, status: int, facts: Facts) -> Response:
    style, policy = _style()
    root = request.scope.get("root_path", "")
    path = request.scope["path"].removeprefix(root)  # the whole address may not be text
    several = len(service_of(request).settings.projects) > 1
    frame = {"style": style, "root": root, "path": path, "several": several}
    text = _templates().get_template(template).render(**frame, **facts)
    return HTMLResponse(text, status, {"content-security-policy": policy})


def _message(request: Request, status: int, title: str, text: str) -> Response:
    return _answer(request, "message.html", status, {"title": title, "text": text})


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("worker.web"),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
    )
    made.filters.update(moment=moment, commands=commands, spaced=_spaced, named=words.named)
    made.filters.update(sentence=words.sentence)
    made.globals.update(
        words=words,
        stays=stays,
        ending=ending,
        kind=runs.kind,
        what=runs.what,
        took=runs.took,
        written=runs.written,
        error_text=text_for_others,
        day=_day,
        advice=_advice,
        testrail_address=marker_url,
        in_parts=in_parts,
    )
    return made


@cache
def _style() -> tuple[str, str]:
    """The pages' style, and the policy that allows this text, our own script and our own form."""
    style = _templates().get_template("style.css").render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    own = "script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'"
    policy = NOTHING.replace("form-action 'none'", own)
    return style, f"{policy}; style-src 'sha256-{digest}'"


def script(_: Request) -> Response:
    """The one script: it brings what is live up to date."""
    return Response(_templates().get_template("live.js").render(), media_type="text/javascript")


def icon(_: Request) -> Response:
    """The icon of the browser's tab."""
    return Response(_templates().get_template("icon.svg").render(), media_type="image/svg+xml")


# --- words in HTML ----------------------------------------------------------------------------


def moment(at: datetime | str | None) -> Markup:
    """A moment as people read it, in UTC to the minute; ``never`` for None."""
    if at is None:
        return Markup("never")
    utc = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    whole = utc.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        whole, f"{utc:%Y-%m-%d %H:%M} UTC"
    )


@pass_context
def commands(context: Context, text: str, testrail_project: int) -> Markup:
    """A sentence in which what stands in backticks is a command to copy, for this project."""
    parts = _COMMAND.split(for_project(text, testrail_project if context["several"] else None))
    made = [
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    ]
    return Markup("").join(made)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _advice(problem: Mapping[str, Any]) -> str:
    """The next step about a problem of a run, by its kind."""
    return ProblemKind[str(problem["kind"]).upper()].advice(problem.get("testrail_id"))


# --- lists ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pager:
    """Which page of a list is shown. ``query`` is what the links of the others keep."""

    number: int
    pages: int
    total: int
    size: int
    query: Mapping[str, str]

    @classmethod
    def of(cls, request: Request, total: int, size: int, **query: str) -> Pager:
        """The page that is asked for: the nearest that there is."""
        pages = max(1, -(-total // size))
        return cls(min(asked_page(request), pages), pages, total, size, query)

    @property
    def offset(self) -> int:
        """How many entries come before this page."""
        return (self.number - 1) * self.size

    def link(self, number: int) -> str:
        """The query of the link to another page."""
        asked = {name: text for name, text in self.query.items() if text}
        return "?" + urlencode({**asked, "page": number})


def asked_page(request: Request) -> int:
    """The number of the page that is asked for, from 1."""
    text = request.query_params.get("page", "")
    is_number = text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS
    return max(int(text), 1) if is_number else 1


def asked_text(request: Request) -> str:
    """The text that a list is narrowed to."""
    return request.query_params.get("q", "").replace("\0", "").strip()[:200]
