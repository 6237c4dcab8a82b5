"""`milesync failures`, `accept` and `retry`: what needs a person, and what a person decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli import render
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.records import collected, recorded, show_each
from worker.cli.session import opened
from worker.errors import UsageError
from worker.say import printable

if TYPE_CHECKING:
    from mappings.link import Failure, Link
    from mappings.problem import FieldProblem
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console

Facts = dict[str, Any]
Milestones = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID...]", help="Ids in TestRail or Testably; without, all of them."),
]
TestRailIds = Annotated[
    list[int] | None, typer.Argument(metavar="[ID...]", help="Ids in TestRail.")
]
OneField = Annotated[
    str | None,
    typer.Option(
        "--field", metavar="NAME", help="Only this field, as `milesync failures` names it."
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Everything that is listed now.")]
Revoke = Annotated[bool, typer.Option("--revoke", help="Accept it no longer.")]


# --- failures ---------------------------------------------------------------------------------


def failures(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """List what needs a person: what, why, since when, how often, and what to do next.

    Examples:
      milesync failures
      milesync failures --project 1 --json
    """
    found = collected(config, projects, _failures_of)
    show({"projects": found}, lambda out: show_each(out, found, _show), as_json=as_json)
    return Exit.OK


def _failures_of(deployment: Deployment, pair: Pair | None) -> Facts:
    from mappings.link import failures_of

    if pair is None:
        return {"failures": [], "accepted": []}
    every = [
        (one.accepted, _failure_json(link, one))
        for link in deployment.store.links_with_problems(pair.id)
        for one in failures_of(link)
    ]
    return {
        "failures": [
            *(one for accepted, one in every if not accepted),
            *_of_the_run(deployment, pair),
        ],
        "accepted": [one for accepted, one in every if accepted],
    }


def _failure_json(link: Link, one: Failure) -> Facts:
    return {
        "testrail_id": link.testrail_id,
        "testably_id": link.testably_id,
        "name": link.name,
        "kind": one.kind.value,
        "field": one.field,
        "reason": one.reason,
        "since": one.since,
        "count": one.count,
        "next_step": one.kind.advice(link.testrail_id),
    }


def _of_the_run(deployment: Deployment, pair: Pair) -> list[Facts]:
    """What the last whole run could not say of any milestone: unread lists, records without id."""
    from mappings.problem import ProblemKind

    ended = [run for run in deployment.runs.latest(pair.id) if run.exclusive and run.finished_at]
    if not ended or ended[0].state != "partial":
        return []
    at = ended[0].finished_at
    since = at and at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return [
        {
            **{name: one.get(name) for name in ("testrail_id", "testably_id", "name", "kind")},
            "field": None,
            "reason": one.get("reason"),
            "since": since,
            "count": 1,
            "next_step": ProblemKind[str(one["kind"]).upper()].advice(None),
        }
        for one in ended[0].problems
        if one.get("testrail_id") is None
    ]


def _show(out: Console, facts: Facts) -> None:
    if not facts["failures"]:
        out.print("  Nothing needs a person.")
    for one in facts["failures"]:
        _show_one(out, one, facts["testrail_url"])
    if facts["accepted"]:
        out.print(f"  Accepted by a person: {len(facts['accepted'])}.")
        for one in facts["accepted"]:
            title = _title(one, facts["testrail_url"])
            out.print(f"    {title}: {printable(one['reason'])}")


def _show_one(out: Console, one: Mapping[str, Any], testrail_url: str) -> None:
    times = f", {one['count']} times" if one["count"] > 1 else ""
    out.print(f"  {_title(one, testrail_url)}", style="bold")
    out.print(f"    {printable(one['reason'])}")
    out.print(f"    Since {one['since'] or 'an earlier run'}{times}. {one['next_step']}")


def _title(one: Mapping[str, Any], testrail_url: str) -> str:
    name = printable(render.called(one, testrail_url))
    where = f" ({one['testably_id']})" if one["testably_id"] else ""
    what = f", {one['field'].replace('_', ' ')}" if one["field"] else ""
    return f"{one['testrail_id'] or '–'} {name}{where}{what}: {one['kind']}"


# --- accept -----------------------------------------------------------------------------------


def accept(
    milestones: TestRailIds = None,
    field: OneField = None,
    every: Every = False,
    revoke: Revoke = False,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Live with a difference that cannot be mended, until either side changes.

    Examples:
      milesync accept 4711
      milesync accept 4711 --field due_date
      milesync accept --all --project 1
    """
    ids = tuple(dict.fromkeys(milestones or ()))
    if not ids and not every:
        raise UsageError("Say which milestones, or --all.", "`milesync failures` lists them.")
    with opened(config) as deployment:
        pairs = deployment.settings.require_projects(projects)
        found = [(one, recorded(deployment, one)) for one in pairs]
        chosen = {
            pair.id: _choose(deployment, pair, ids, field, revoke=revoke)
            for _, pair in found
            if pair is not None
        }
        _require_found(ids, chosen.values(), revoke=revoke)
        documents = []
        for one, pair in found:
            done = _decide(deployment, pair.id, chosen[pair.id], revoke=revoke) if pair else []
            documents.append(
                {
                    "testrail_project": one.testrail,
                    "testably_project": one.testably,
                    "accepted": [] if revoke else done,
                    "revoked": done if revoke else [],
                }
            )
    show({"projects": documents}, lambda out: show_each(out, documents, _say), as_json=as_json)
    return Exit.OK


Chosen = list[tuple["Link", dict[str, "FieldProblem"]]]


def _choose(
    deployment: Deployment, pair: Pair, ids: tuple[int, ...], field: str | None, *, revoke: bool
) -> Chosen:
    """The links with what of them is to be accepted, or to be accepted no longer."""
    found = []
    for link in deployment.store.links_with_problems(pair.id):
        if not ids or link.testrail_id in ids:
            decisions = _acceptable(link, field, revoke=revoke)
            if decisions:
                found.append((link, decisions))
    return found


def _acceptable(link: Link, field: str | None, *, revoke: bool) -> dict[str, FieldProblem]:
    """What of a link cannot be mended and is not decided so yet, by field."""
    from mappings.link import LinkState, failures_of
    from mappings.problem import WHOLE

    known = dict(link.field_problems)
    if link.state is LinkState.HELD and field is None:
        since = next((one.since for one in failures_of(link) if one.since), None) or ""
        known.setdefault(WHOLE, link.whole_accepted(since).decided(accepted=False))
    return {
        name: problem.decided(accepted=not revoke)
        for name, problem in known.items()
        if problem.accepted is revoke and field in (None, name)
    }


def _require_found(ids: tuple[int, ...], chosen: Iterable[Chosen], *, revoke: bool) -> None:
    known = {link.testrail_id for some in chosen for link, _ in some}
    unknown = [str(id_) for id_ in ids if id_ not in known]
    if unknown:
        what = "an accepted difference" if revoke else "a difference that can be accepted"
        hint = "`milesync failures` lists them. Nothing was changed."
        raise UsageError(f"There is no milestone {', '.join(unknown)} with {what}.", hint)


def _decide(deployment: Deployment, pair_id: int, chosen: Chosen, *, revoke: bool) -> list[int]:
    decided = []
    for link, decisions in chosen:
        changed = link.deciding(decisions)
        if revoke:
            changed = changed.without_whole()
        decided.append(changed)
    saved = deployment.store.save_many(pair_id, decided, deployment.clock.now())
    return [link.testrail_id for link in saved]


def _say(out: Console, facts: Facts) -> None:
    for word in ("accepted", "revoked"):
        ids = facts[word]
        if ids:
            out.print(f"  {word.capitalize()}: {', '.join(str(id_) for id_ in ids)}.")
    if not (facts["accepted"] or facts["revoked"]):
        out.print("  Nothing was there to decide.")


# --- retry ------------------------------------------------------------------------------------


def retry(
    milestones: Milestones = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Let the next run try again what failed.

    Examples:
      milesync retry
      milesync retry 4711 ms_8a2f
    """
    chosen = frozenset(milestones or ())
    with opened(config) as deployment:
        pairs = deployment.settings.require_projects(projects)
        found = [pair for pair in (recorded(deployment, one) for one in pairs) if pair]
        links = {pair.id: _named(deployment, pair, chosen) for pair in found}
        _require_known(chosen, links)
        cleared = sum(_clear(deployment, id_, some) for id_, some in links.items())
    noun = "milestone is" if cleared == 1 else "milestones are"
    show(
        {"state": "succeeded", "cleared": cleared},
        lambda out: out.print(f"{cleared} {noun} tried again by the next run: `milesync sync`."),
        as_json=as_json,
    )
    return Exit.OK


def _named(deployment: Deployment, pair: Pair, ids: frozenset[str]) -> list[Link]:
    links: Callable[[int], Iterable[Link]] = deployment.store.links_with_problems
    if ids:
        links = lambda pair_id: deployment.store.links(pair_id).values()  # noqa: E731
    return [k for k in links(pair.id) if not ids or {str(k.testrail_id), k.testably_id} & ids]


def _require_known(ids: frozenset[str], links: dict[int, list[Link]]) -> None:
    every = [link for some in links.values() for link in some]
    known = {name for link in every for name in (str(link.testrail_id), link.testably_id)}
    if unknown := sorted(ids - known):
        hint = "`milesync mappings` lists the ids."
        raise UsageError(f"No milestone {', '.join(unknown)} is recorded.", hint)


def _clear(deployment: Deployment, pair_id: int, links: list[Link]) -> int:
    """Forget what failed; a link that a run is writing at this moment stays as it is."""
    marked = [link.retried() for link in links if link.can_be_retried]
    return len(deployment.store.save_many(pair_id, marked, deployment.clock.now()))
