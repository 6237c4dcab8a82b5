"""`milesync status`, `mappings` and `history`: what the database knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import render
from worker.cli.background import Watch, watch_open
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, Streamed, print_text, show
from worker.cli.runs import run_table
from worker.cli.session import opened
from worker.errors import UsageError
from worker.facts import lifecycles, words
from worker.facts.changes import fields_of
from worker.facts.runs import PAIR, Facts, change_json, moment, names_of, run_json, written

if TYPE_CHECKING:
    from pathlib import Path

    from mappings.link import Link
    from mappings.overview import Standing
    from mappings.rows import Pair
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair

Csv = Annotated[bool, typer.Option("--csv", help="Print a CSV table.")]
Milestone = Annotated[
    str, typer.Argument(metavar="ID", help="The id of the milestone in TestRail or in Testably.")
]
_USUAL = "linked"
"""The state of most links, which needs no word."""
_MOST_DIGITS = 18
"""Of an id that a database can hold."""
DATES = ("start_date", "due_date")
PUSHED = ("name", "status", *DATES)


def status(
    watch: Watch = False, config: Config = None, as_json: Json = False, projects: Projects = None
) -> int:
    """Show the latest runs of each pair, and when it was last proved in step.

    Examples:
      milesync status
      milesync status --watch --project 1
    """
    with opened(config, quiet=True) as deployment:
        found = collected_from(deployment, projects, _standings(deployment, projects))
        several = len(deployment.settings.projects) > 1
    show_one = partial(_show_status, several=several)
    show({"projects": found}, lambda out: show_each(out, found, show_one), as_json=as_json)
    if not watch:
        return Exit.OK
    with opened(config) as deployment:
        return watch_open(deployment, deployment.settings.require_projects(projects))


def mappings(
    csv: Csv = False, config: Config = None, as_json: Json = False, projects: Projects = None
) -> int:
    """List the links: which TestRail milestone is which in Testably.

    Examples:
      milesync mappings
      milesync mappings --csv > mappings.csv
    """
    if csv and as_json:
        raise UsageError("--csv and --json cannot go together.")
    with opened(config, quiet=True) as deployment:
        found = collected_from(deployment, projects, _links_of)
        if csv:
            print_text(_csv(found))
        else:
            human = lambda out: show_each(out, found, _show_links)  # noqa: E731
            show({"projects": found}, human, as_json=as_json)
    return Exit.OK


def history(
    milestone: Milestone, config: Config = None, as_json: Json = False, projects: Projects = None
) -> int:
    """Show every change of a milestone, with the values before and after.

    Examples:
      milesync history 4711
      milesync history ms_8a2f
    """

    def changes_of(deployment: Deployment, pair: Pair | None) -> Facts:
        return _changes_of(deployment, pair, milestone)

    found = collected(config, projects, changes_of)
    show({"projects": found}, lambda out: show_each(out, found, _show_changes), as_json=as_json)
    return Exit.OK


# --- what is recorded -------------------------------------------------------------------------


def collected(
    config: Path | None,
    projects: Sequence[int] | None,
    facts: Callable[[Deployment, Pair | None], Facts],
) -> list[Facts]:
    """The facts about each chosen pair; a pair that never ran is None in the database."""
    with opened(config, quiet=True) as deployment:
        return collected_from(deployment, projects, facts)


def collected_from(
    deployment: Deployment,
    projects: Sequence[int] | None,
    facts: Callable[[Deployment, Pair | None], Facts],
) -> list[Facts]:
    """`collected` where the deployment is open already, and stays so."""
    return [
        {
            "testrail_project": pair.testrail,
            "testably_project": pair.testably,
            "testrail_url": deployment.settings.testrail.url or "",
            **names_of(found),
            **facts(deployment, found),
        }
        for pair, found in chosen(deployment, projects)
    ]


def chosen(
    deployment: Deployment, projects: Sequence[int] | None
) -> list[tuple[ProjectPair, Pair | None]]:
    """The chosen pairs, each with its record if it ever ran."""
    pairs = deployment.settings.require_projects(projects)
    known = {pair.identity: pair for pair in deployment.store.all_pairs()}
    return [(pair, known.get(deployment.identity(pair))) for pair in pairs]


def recorded(deployment: Deployment, pair: ProjectPair) -> Pair | None:
    """The pair in the database, if it ever ran."""
    return deployment.store.find_pair(deployment.identity(pair))


def _standings(
    deployment: Deployment, projects: Sequence[int] | None
) -> Callable[[Deployment, Pair | None], Facts]:
    """What tells the status of each chosen pair, after a few queries for all of them together."""
    from mappings.locks import settle_dead
    from mappings.overview import Standing, latest_runs, overview

    settle_dead(deployment.runs)  # or it would show as running what has died
    pairs = [pair for _, pair in chosen(deployment, projects) if pair]
    found = overview(deployment.store.engine, pairs)
    latest = latest_runs(deployment.store.engine, [pair.id for pair in pairs])

    def status_of(_: Deployment, pair: Pair | None) -> Facts:
        if pair is None:
            return _status(None, Standing(), [])
        return _status(pair, found[pair.id], latest[pair.id])

    return status_of


def _status(pair: Pair | None, standing: Standing, runs: Sequence[RunRecord]) -> Facts:
    return {
        "in_step": standing.in_step,
        "proved_at": moment(pair.proved_at if pair else None),
        "synced_at": moment(standing.synced_at),
        "listed_at": moment(pair.listed_at if pair else None),
        "paused_because": pair.paused_because if pair else None,
        "needs_a_person": standing.needs_person,
        "milestones_concerned": standing.concerned,
        "held": standing.held,
        "runs": [run_json(run) for run in runs],
    }


def _links_of(deployment: Deployment, pair: Pair | None) -> Facts:
    if pair is None:
        return {"links": []}
    pair_id, zone, now = pair.id, lifecycles.zone_of(deployment, pair), deployment.clock.now()

    def links() -> Iterator[Facts]:
        for link in deployment.store.each_link(pair_id):
            yield {**_link_json(link), **lifecycles.of_link(link, zone, now)}

    return {"links": Streamed(links)}


def _link_json(link: Link) -> Facts:
    return {
        "testrail_id": link.testrail_id,
        "testably_id": link.testably_id,
        "state": link.state.value,
        "name": link.name,
        "pushed": dict(link.last_applied),
    }


def _changes_of(deployment: Deployment, pair: Pair | None, milestone: str) -> Facts:
    if pair is None:
        return {"changes": []}
    changes = deployment.store.journal.changes(pair.id, testably_id=milestone)
    if milestone.isdecimal() and len(milestone) <= _MOST_DIGITS:
        changes += deployment.store.journal.changes(pair.id, testrail_id=int(milestone))
    runs = (deployment.runs.get(run_id) for run_id in {change.run_id for change in changes})
    triggers = {run.id: run.trigger for run in runs if run}
    return {
        "changes": [{**change_json(one), "trigger": triggers.get(one.run_id)} for one in changes]
    }


# --- for people -------------------------------------------------------------------------------


def show_each(
    out: Console, found: Sequence[Facts], show_one: Callable[[Console, Facts], None]
) -> None:
    for facts in found:
        where = render.title(*(facts[name] for name in PAIR))
        out.print(where, style="bold")
        show_one(out, facts)


def _show_status(out: Console, facts: Facts, *, several: bool) -> None:
    project = facts["testrail_project"] if several else None
    proved = facts["proved_at"]
    agree = facts["in_step"]
    if agree is not None:
        out.print("  In step." if agree else "  Not in step.", style="" if agree else "red")
    tells = "" if agree is False else "; `milesync verify` tells whether they are"
    out.print(f"  Last proved in step: {proved or f'never{tells}'}.")
    if number := facts["milestones_concerned"]:
        verb = "needs" if number == 1 else "need"
        out.print(f"  {number} {verb} you: `milesync failures` says what to do.", style="yellow")
    if facts["held"]:
        out.print(f"  {words.held(facts['held'], project)}")
    if facts["paused_because"]:
        out.print(f"  Paused: {facts['paused_because']}", style="red")
    if not facts["runs"]:
        out.print("  There was no run yet: `milesync migrate` begins.")
        return
    out.print(run_table(facts["runs"], out.width))


def _show_links(out: Console, facts: Facts) -> None:
    if not facts["links"]:
        out.print("  There are no links yet.")
        return
    # most of them are in the usual state, which needs no column
    is_odd = any(link["state"] != _USUAL for link in facts["links"])
    rows = [
        (
            link["testrail_id"],
            link["testably_id"],
            *(("" if link["state"] == _USUAL else words.state(link["state"]),) if is_odd else ()),
            link["name"],
            *((link[name] or "").replace("_", " ") for name in lifecycles.COLUMNS),
            _cell(link["pushed"], "due_date"),
        )
        for link in facts["links"]
    ]
    state = ("State",) if is_odd else ()
    columns = ("TestRail", "Testably", *state, "Name", "TestRail says", "Testably shows")
    out.print(render.table(*columns, "Is due", rows=rows))


def _cell(values: Facts, name: str) -> str:
    """The day of a date; the JSON and the CSV have its moment."""
    return str(values.get(name) or "")[: len("2026-03-01")]


def _csv(found: Sequence[Facts]) -> str:
    from worker.cli.report_file import csv_text

    rows = [
        (
            *(k[name] for name in ("testrail_id", "testably_id", "state")),
            *(k["pushed"].get(name) for name in PUSHED),
            *(k[name] for name in lifecycles.COLUMNS),
        )
        for facts in found
        for k in facts["links"]
    ]
    columns = ("testrail_id", "testably_id", "state", *PUSHED, *lifecycles.COLUMNS)
    return csv_text(columns, rows, for_terminal=sys.stdout.isatty())


def _sort(change: Facts) -> str:
    """The sort of run that a change is of."""
    if change["kind"] == "undo":
        return "undo"
    return "sync" if change["trigger"] == "manual" else str(change["trigger"])


def _show_changes(out: Console, facts: Facts) -> None:
    if not facts["changes"]:
        out.print("  No change of this milestone is recorded.")
    for change in facts["changes"]:
        done = "" if change["state"] == "done" else f", {words.write_state(change['state'])}"
        out.print(
            f"  {change['at']}  {written(change['kind'])} {change['testably_id'] or ''}{done}, "
            f"{_sort(change)} run {change['run']}",
            hang=2,
        )
        render.changes(out, fields_of(change))
