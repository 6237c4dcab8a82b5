"""`milesync check`: whether everything that a run needs is there, and what to do if not."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from mappings.errors import MilesyncError
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, console, print_json
from worker.cli.session import opened, pairs_to_call
from worker.cli.signals import ending
from worker.errors import SettingsError, TimedOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair

_MOST_AT_ONCE: Final = 16
_GRACE: Final = 0.5
"""Seconds that an answer has beyond its own deadline: it says more than that there was none."""
_MARK: Final = 7
"""Places for the mark in front of each line."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried, and what came of it; ``kind`` is of the error where it failed."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    kind: str = ""

    @classmethod
    def failed(cls, name: str, error: MilesyncError) -> Self:
        """One that an error ended."""
        return cls(name, False, error.message, error.hint, error.kind)


def check(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """Try the settings, the database, both APIs and Redis, without writing anything there.

    Each is asked once, all at the same time; what is found is told at once.

    Examples:
      milesync check
      milesync check --project 1
    """
    checks: list[Check] = []
    out = console(sys.stdout)

    def report(one: Check) -> None:
        checks.append(one)
        if not as_json:
            _print(out, one)

    try:
        order = _check(config, projects, report)
    except SettingsError as error:
        report(Check.failed("settings", error))
        _end(out, checks, as_json=as_json)
        return Exit.USAGE
    _end(out, sorted(checks, key=lambda one: order.index(one.name)), as_json=as_json)
    return Exit.OK if all(one.ok for one in checks) else Exit.FAILED


def _check(
    config: Path | None, projects: Sequence[int] | None, report: Callable[[Check], None]
) -> list[str]:
    """Try everything and tell of each as soon as it is known; the names in their order."""
    from worker.bootstrap import require_usable_addresses

    with opened(config) as deployment:
        settings = deployment.settings
        pairs = pairs_to_call(settings, projects)
        settings.web.require_strong_secrets()
        require_usable_addresses(settings)
        report(Check("settings", True, _settings_read(deployment, pairs)))
        report(Check("web", True, _web(deployment)))
        attempts: dict[str, Callable[[], str]] = {"database": partial(_database, deployment)}
        attempts |= _of_accounts(deployment, pairs)
        if settings.redis_url is not None:
            attempts["redis"] = partial(_redis, deployment)
        for one in _at_once(attempts, settings.sync.http_timeout):
            report(one)
    return ["settings", "web", *attempts]


def _of_accounts(
    deployment: Deployment, pairs: Sequence[ProjectPair]
) -> dict[str, Callable[[], str]]:
    """An attempt for each project and account; of several accounts, the pair is named too."""
    asked: dict[str, dict[object, tuple[ProjectPair, Callable[[], str]]]] = {}
    for pair in pairs:
        account = (pair.testrail_user, pair.testrail_api_key)
        source = (pair, partial(_testrail, deployment, pair))
        target = (pair, partial(_testably, deployment, pair))
        asked.setdefault(f"testrail {pair.testrail}", {}).setdefault(account, source)
        asked.setdefault(f"testably {pair.testably}", {}).setdefault(pair.testably_token, target)
    return {
        name if len(accounts) == 1 else f"{name} (pair {pair})": attempt
        for name, accounts in asked.items()
        for pair, attempt in accounts.values()
    }


def _at_once(attempts: Mapping[str, Callable[[], str]], seconds: float) -> Iterator[Check]:
    """What came of each attempt, as it comes; what takes longer than the time is given up."""
    answers: Queue[Check | BaseException] = Queue()
    waiting, open_names = deque(attempts.items()), set(attempts)
    for _ in range(min(_MOST_AT_ONCE, len(attempts))):
        Thread(target=_answer, args=(waiting, answers), daemon=True).start()
    end = time.monotonic() + seconds + _GRACE
    while open_names and (left := end - time.monotonic()) > 0:
        ending.check()
        with suppress(Empty):
            one = answers.get(timeout=min(left, 0.1))
            if isinstance(one, BaseException):
                raise one
            open_names.discard(one.name)
            yield one
    for name in attempts:
        if name in open_names:
            hint = "Raise MILESYNC_HTTP_TIMEOUT if it is only slow."
            yield Check(name, False, f"No answer within {seconds:g} s.", hint, TimedOut.kind)


def _answer(
    waiting: deque[tuple[str, Callable[[], str]]], answers: Queue[Check | BaseException]
) -> None:
    """Try one after the other; whatever goes wrong is told where the answers are read."""
    while True:
        try:
            answers.put(_tried(*waiting.popleft()))
        except IndexError:
            return
        except BaseException as error:
            answers.put(error)
            return


def _tried(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except MilesyncError as error:
        return Check.failed(name, error)


def _settings_read(deployment: Deployment, pairs: Sequence[ProjectPair]) -> str:
    file = deployment.settings.source_file
    return (
        f"{file or 'The environment'}: {len(pairs)} project pair{'' if len(pairs) == 1 else 's'}."
    )


def _web(deployment: Deployment) -> str:
    web = deployment.settings.web
    return " ".join(web.notices) or f"{web.listen}, with a token and a webhook secret."


def _database(deployment: Deployment) -> str:
    from mappings.database import ensure_ready, revisions
    from mappings.unsuited import require_locks, require_whole

    ensure_ready(deployment.engine)
    require_locks(deployment.engine)
    too_large = "" if require_whole(deployment.engine) else " It is too large to be looked through."
    return f"Reachable, at revision {revisions(deployment.engine)[0]}.{too_large}"


def _testrail(deployment: Deployment, pair: ProjectPair) -> str:
    with deployment.clients(pair) as (source, _):
        source.get_milestones(pair.testrail, limit=1)
    return "Reachable, and the account may read the project."


def _testably(deployment: Deployment, pair: ProjectPair) -> str:
    with deployment.clients(pair) as (_, target):
        page = target.list_page(pair.testably, per_page=1)
    noun = "milestone" if page.total == 1 else "milestones"
    known = "" if page.total is None else f" It has {page.total} {noun}."
    return f"Reachable, and the token may read the project.{known}"


def _redis(deployment: Deployment) -> str:
    from worker.redis_causes import ping

    if deployment.redis is not None:
        ping(deployment.redis)
    return "Reachable."


def _end(out: Console, checks: list[Check], *, as_json: bool) -> None:
    """The document, or for people the next step."""
    failed = [one for one in checks if not one.ok]
    if not as_json:
        if not failed:
            out.print("All is well. `milesync plan` shows what a migration would do.")
        return
    shown = [
        {"name": one.name, "ok": one.ok, "message": one.message, "hint": one.hint} for one in checks
    ]
    document: dict[str, Any] = {"ok": not failed, "checks": shown, "state": "succeeded"}
    if failed:
        first = failed[0]
        error = {"kind": first.kind, "message": first.message, "hint": first.hint}
        document |= {"state": "failed", "error": error}
    print_json(document)


def _print(out: Console, one: Check) -> None:
    mark, style = ("ok", "green") if one.ok else ("FAILED", "red")
    first, *more = one.message.splitlines() or [""]
    out.print(f"{mark:{_MARK}}{one.name}: {first}", style=style, hang=_MARK)
    hints = [] if one.ok else one.hint.splitlines()
    for line in (*more, *hints):
        out.print(f"{'':{_MARK}}{line}")
