"""`milesync projects`: what each side has, and what is paired with what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from worker.cli import render
from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened
from worker.errors import AccessDenied, NotFound

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.clients.projects import Project
    from worker.settings import ProjectPair, Settings

Facts = dict[str, Any]
Refusals = dict[str, str]
"""Why a side does not list its projects, by its name in the document."""


def projects(config: Config = None, as_json: Json = False) -> int:
    """List the projects of both sides, and which are paired.

    Examples:
      milesync projects
      milesync projects --json
    """
    with opened(config) as deployment:
        settings = deployment.settings
        settings.require_credentials()
        refused: Refusals = {}
        sources, targets = list_both(deployment, refused)
        pairs = [_pair(pair, sources, targets) for pair in settings.projects]
        note_names(deployment, settings.projects, sources, targets)
    document = {
        "testrail": _side(sources, (pair["testrail_project"] for pair in pairs)),
        "testably": _side(targets, (pair["testably_project"] for pair in pairs)),
        "pairs": pairs,
        "refused": refused,
    }
    show(document, lambda out: _print(out, document), as_json=as_json)
    return Exit.OK


# --- reading ----------------------------------------------------------------------------------


def list_both(
    deployment: Deployment, refused: Refusals
) -> tuple[Sequence[Project] | None, Sequence[Project] | None]:
    """The projects of both sides, None where they may not be listed. Raises ApiError."""
    with deployment.clients(_account(deployment.settings)) as (source, target):
        return (
            _unless_refused("testrail", source.get_projects, refused),
            _unless_refused("testably", target.list_projects, refused),
        )


def _unless_refused(
    side: str, listing: Callable[[], list[Project]], refused: Refusals
) -> list[Project] | None:
    try:
        return listing()
    except (AccessDenied, NotFound) as error:
        refused[side] = error.message
        return None


def _account(settings: Settings) -> ProjectPair:
    """A pair whose accounts are asked: the first that is enabled, else those for all pairs."""
    from worker.settings import ProjectPair

    enabled = [pair for pair in settings.projects if pair.enabled]
    if enabled:
        return enabled[0]
    return ProjectPair(
        testrail=1,
        testably="any",
        testrail_user=settings.testrail.user,
        testrail_api_key=settings.testrail.api_key,
        testably_token=settings.testably.token,
    )


def note_names(
    deployment: Deployment,
    pairs: Iterable[ProjectPair],
    sources: Sequence[Project] | None,
    targets: Sequence[Project] | None,
) -> None:
    """Keep the names of the paired projects, to be shown beside their ids. Raises StoreError."""
    for pair in pairs:
        found = _pair(pair, sources, targets)
        names = {name: found[name] for name in ("testrail_name", "testably_name") if found[name]}
        if names:
            recorded = deployment.store.pair(deployment.identity(pair))
            deployment.store.update_pair(recorded.id, **names)


def _pair(
    pair: ProjectPair, sources: Sequence[Project] | None, targets: Sequence[Project] | None
) -> Facts:
    return {
        "testrail_project": pair.testrail,
        "testrail_name": _names(sources).get(str(pair.testrail)),
        "testably_project": pair.testably,
        "testably_name": _names(targets).get(pair.testably),
        "enabled": pair.enabled,
    }


def _names(listed: Sequence[Project] | None) -> Mapping[str, str]:
    return {project.id: project.name for project in listed or ()}


def _side(listed: Sequence[Project] | None, paired: Iterable[object]) -> list[Facts] | None:
    taken = set(map(str, paired))
    if listed is None:
        return None
    return [
        {"id": one.id, "name": one.name, "completed": one.is_completed, "paired": one.id in taken}
        for one in listed
    ]


# --- for people -------------------------------------------------------------------------------


def _print(out: Console, document: Facts) -> None:
    pairs = document["pairs"]
    out.print("Paired" if pairs else "Nothing is paired yet: `milesync init` asks.", style="bold")
    if pairs:
        rows = [
            (p["testrail_project"], p["testrail_name"], p["testably_project"], p["testably_name"])
            for p in pairs
        ]
        out.print(render.table("TestRail", "Name", "Testably", "Name", rows=rows))
    for side, called in (("testrail", "TestRail"), ("testably", "Testably")):
        _print_side(out, called, document[side], document["refused"].get(side))


def _print_side(out: Console, called: str, listed: Sequence[Facts] | None, why: str | None) -> None:
    if listed is None:
        out.print(f"{called} does not list its projects for this account: {why}", style="yellow")
        return
    left = [one for one in listed if not one["paired"]]
    if left:
        out.print(f"Not paired in {called}", style="bold")
        rows = [(one["id"], one["name"], "completed" if one["completed"] else "") for one in left]
        out.print(render.table("Id", "Name", "", rows=rows))
