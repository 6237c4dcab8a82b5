"""`milesync check`: whether everything that a run needs is there, and what to do if not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mappings.errors import MilesyncError
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.session import opened, pairs_to_call
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.clients.testably import Testably
    from worker.clients.testrail import TestRail
    from worker.settings import ProjectPair


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: what came of it, and what to do where it failed."""

    name: str
    ok: bool
    message: str
    hint: str = ""


def check(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """Try the settings, the database, both APIs and Redis, without writing anything there."""
    try:
        checks = list(_checks(config, projects))
    except SettingsError as error:
        checks = [Check("settings", False, error.message, error.hint)]
        _show(checks, as_json=as_json, error=error)
        return Exit.USAGE
    _show(checks, as_json=as_json)
    return Exit.OK if all(one.ok for one in checks) else Exit.FAILED


def _checks(config: Path | None, projects: Sequence[int] | None) -> Iterator[Check]:
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        yield Check("settings", True, _settings_read(deployment, pairs))
        yield Check("web", True, _web(deployment))
        yield _tried("database", partial(_database, deployment))
        for pair in pairs:
            yield _tried(f"testrail {pair.testrail}", partial(_testrail, deployment, pair))
            yield _tried(f"testably {pair.testably}", partial(_testably, deployment, pair))
        if deployment.settings.redis_url is not None:
            yield _tried("redis", partial(_redis, deployment))


def _tried(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except MilesyncError as error:
        return Check(name, False, error.message, error.hint)


def _settings_read(deployment: Deployment, pairs: Sequence[ProjectPair]) -> str:
    file = deployment.settings.source_file
    return f"{file or 'The environment'}: {len(pairs)} project pairs."


def _web(deployment: Deployment) -> str:
    web = deployment.settings.web
    web.require_strong_secrets()
    return " ".join(web.notices) or f"{web.listen}, with a token and a webhook secret."


def _database(deployment: Deployment) -> str:
    from mappings.database import ensure_ready, revisions

    ensure_ready(deployment.engine)
    return f"Reachable, at revision {revisions(deployment.engine)[0]}."


def _testrail(deployment: Deployment, pair: ProjectPair) -> str:
    with deployment.context(pair) as context:
        cast("TestRail", context.source).get_milestones(pair.testrail, limit=1)
    return "Reachable, and the account may read the project."


def _testably(deployment: Deployment, pair: ProjectPair) -> str:
    with deployment.context(pair) as context:
        page = cast("Testably", context.target).list_page(pair.testably, per_page=1)
    known = "" if page.total is None else f" It has {page.total} milestones."
    return f"Reachable, and the token may read the project.{known}"


def _redis(deployment: Deployment) -> str:
    from redis.exceptions import RedisError

    try:
        if deployment.redis is not None:
            deployment.redis.ping()
    except RedisError as error:
        raise _NoRedis(f"Redis does not answer: {' '.join(str(error).split())}") from None
    return "Reachable."


class _NoRedis(MilesyncError):
    kind = "redis"
    default_hint = "Check MILESYNC_REDIS_URL, and that the server runs."


def _show(checks: list[Check], *, as_json: bool, error: MilesyncError | None = None) -> None:
    ok = all(one.ok for one in checks)
    told = [
        {"name": one.name, "ok": one.ok, "message": one.message, "hint": one.hint} for one in checks
    ]
    document: dict[str, Any] = {"ok": ok, "checks": told, "state": "succeeded" if ok else "failed"}
    if error is not None:
        document["error"] = {"kind": error.kind, "message": error.message, "hint": error.hint}
    show(document, lambda out: _print(out, checks), as_json=as_json)


def _print(out: Console, checks: list[Check]) -> None:
    for one in checks:
        mark, style = ("ok", "green") if one.ok else ("FAILED", "red")
        out.print(f"{mark:7}{one.name}: {one.message}", style=style)
        if not one.ok and one.hint:
            out.print(f"       {one.hint}")
