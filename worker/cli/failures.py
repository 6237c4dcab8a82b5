"""`milesync failures` and `accept`: what needs a person, and what a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mappings.errors import Busy
from mappings.field_names import FIELD_NAMES
from worker.cli import render
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.records import collected, recorded, show_each
from worker.cli.session import opened
from worker.errors import UsageError
from worker.facts import stays, words
from worker.facts.runs import names_of
from worker.say import printable

if TYPE_CHECKING:
    from mappings.link import Link
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair

Facts = dict[str, Any]
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
    from mappings.failures import failures as listed
    from mappings.failures import why_it_stands_still
    from mappings.overview import overview

    if pair is None:
        return {"failures": [], "accepted": [], "stands_still": None}
    standing = overview(deployment.store.engine, [pair], brief=True)[pair.id]
    project = deployment.project_to_name(pair.identity.testrail_project)
    found = listed(deployment.store, pair, standing.last_run, project)
    return {**found, "stands_still": why_it_stands_still(pair, standing, project)}


def _show(out: Console, facts: Facts) -> None:
    still = facts["stands_still"]
    if still:
        out.print(f"  {printable(stays.still(still))}", style="red")
    if not facts["failures"]:
        out.print(f"  {'No milestone' if still else 'Nothing'} needs a person.")
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
    since = f"{one['since'][:16]}Z" if one["since"] else "an earlier run"
    out.print(f"    Since {since}{times}. {one['next_step']}")


def _title(one: Mapping[str, Any], testrail_url: str) -> str:
    name = printable(render.called(one, testrail_url))
    where = f" ({one['testably_id']})" if one["testably_id"] else ""
    what = f", {words.field_called(one['field'])}" if one["field"] else ""
    return f"{one['testrail_id'] or '–'} {name}{where}{what}: {words.problem(one['kind'])}"


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

    Nothing is read from either side: what was last read is what is accepted.

    Examples:
      milesync accept 12 15
      milesync accept 12 --field due_date
      milesync accept --all
      milesync accept --revoke 12
    """
    ids = tuple(dict.fromkeys(milestones or ()))
    wanted = _field(field)
    if bool(ids) == every:
        text = "Say which milestones, or --all." if not ids else "Ids and --all do not go together."
        raise UsageError(text, "`milesync failures` lists them.")
    with opened(config) as deployment:
        pairs = deployment.settings.require_projects(projects)
        found = [(one, recorded(deployment, one)) for one in pairs]
        chosen = {
            pair.id: _choose(deployment, pair, ids, wanted, revoke=revoke)
            for _, pair in found
            if pair is not None
        }
        _require_found(ids, chosen.values(), revoke=revoke)
        done = {id_: _decide(deployment, id_, some) for id_, some in chosen.items()}
    documents = [
        _decided(one, pair, done[pair.id] if pair else [], revoke=revoke) for one, pair in found
    ]
    show({"projects": documents}, lambda out: show_each(out, documents, _say), as_json=as_json)
    return Exit.OK


def _field(said: str | None) -> str | None:
    """The field that is meant. Raises UsageError if there is none of that name."""
    if said is None:
        return None
    found = words.field_meant(said)
    if found is None:
        names = ", ".join(map(words.field_called, FIELD_NAMES))
        raise UsageError(f"There is no field {said!r}.", f"The fields are {names}.")
    return found


def _decided(one: ProjectPair, pair: Pair | None, ids: list[int], *, revoke: bool) -> Facts:
    """What was decided of a pair, in the contract's form."""
    return {
        "testrail_project": one.testrail,
        "testably_project": one.testably,
        **names_of(pair),
        "accepted": [] if revoke else ids,
        "revoked": ids if revoke else [],
    }


Chosen = list["Link"]


def _choose(
    deployment: Deployment, pair: Pair, ids: tuple[int, ...], field: str | None, *, revoke: bool
) -> Chosen:
    """The links as they are once the differences are accepted, or are accepted no longer."""
    found = (
        _revoked(link, field) if revoke else _accepted(link, field)
        for link in deployment.store.links_with_problems(pair.id)
        if not ids or link.testrail_id in ids
    )
    return [link for link in found if link is not None]


def _accepted(link: Link, field: str | None) -> Link | None:
    """The link with what cannot be mended accepted; None if there is no such difference."""
    from mappings.link_record import LinkState
    from mappings.problem import WHOLE

    known = dict(link.field_problems)
    if link.state is LinkState.HELD and field is None:
        since = next((one.since for one in link.failures if one.since), None) or ""
        known.setdefault(WHOLE, link.whole_accepted(since))
    taken = {n: p.decided(accepted=True) for n, p in known.items() if field in (None, n)}
    return link.deciding(taken) if taken else None


def _revoked(link: Link, field: str | None) -> Link | None:
    """The link with what was accepted counting again; None if nothing of it was accepted."""
    from mappings.problem import WHOLE

    taken = {
        name: problem.decided(accepted=False)
        for name, problem in link.field_problems.items()
        if problem.accepted and field in (None, name)
    }
    if not taken:
        return None
    counting = link.deciding(taken)
    return counting.without_whole() if WHOLE in taken else counting


def _require_found(ids: tuple[int, ...], chosen: Iterable[Chosen], *, revoke: bool) -> None:
    known = {link.testrail_id for some in chosen for link in some}
    unknown = [str(id_) for id_ in ids if id_ not in known]
    if unknown:
        what = "an accepted difference" if revoke else "a difference that can be accepted"
        hint = "`milesync failures` lists them. Nothing was changed."
        raise UsageError(f"There is no milestone {', '.join(unknown)} with {what}.", hint)


def _decide(deployment: Deployment, pair_id: int, chosen: Chosen) -> list[int]:
    """Keep what a person decided; the ids. Raises Busy if a run is writing one of the links."""
    saved = deployment.store.save_many(pair_id, chosen, deployment.clock.now())
    kept = [link.testrail_id for link in saved]
    if missed := [link.testrail_id for link in chosen if link.testrail_id not in kept]:
        text = f"A run is writing {', '.join(map(str, missed))} at this moment."
        raise Busy(f"{text} All others were done.", "Say it again once the run has ended.")
    return kept


def _say(out: Console, facts: Facts) -> None:
    for word in ("accepted", "revoked"):
        ids = facts[word]
        if ids:
            out.print(f"  {word.capitalize()}: {', '.join(str(id_) for id_ in ids)}.")
    if not (facts["accepted"] or facts["revoked"]):
        out.print("  Nothing was there to decide.")
