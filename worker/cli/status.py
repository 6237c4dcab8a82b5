"""`milesync status`: where each pair stands, and its latest runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mappings.commands import for_project
from worker.cli.background import Watch, watch_open
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.records import chosen, collected_from, show_each
from worker.cli.runs import run_table
from worker.cli.session import opened
from worker.facts import stays
from worker.facts.runs import Facts, moment, run_json
from worker.say import printable

if TYPE_CHECKING:
    from mappings.overview import Standing
    from mappings.rows import Pair
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console


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


# --- what is recorded -------------------------------------------------------------------------


def _standings(
    deployment: Deployment, projects: Sequence[int] | None
) -> Callable[[Deployment, Pair | None], Facts]:
    """What tells the status of each chosen pair, after a few queries for all of them together."""
    from mappings.failures import why_it_stands_still
    from mappings.locks import settle_dead
    from mappings.overview import Standing, latest_runs, overview
    from worker.stale import why_stale

    settle_dead(deployment.runs)  # or it would show as running what has died
    known = {pair.id: (one, pair) for one, pair in chosen(deployment, projects) if pair}
    pairs = [pair for _, pair in known.values()]
    found = overview(deployment.store.engine, pairs)
    latest = latest_runs(deployment.store.engine, list(known))
    now = deployment.clock.now()

    def status_of(_: Deployment, pair: Pair | None) -> Facts:
        if pair is None:
            return {**_status(None, Standing(), []), "stands_still": None}
        configured, standing = known[pair.id][0], found[pair.id]
        stale = None
        if configured.enabled:
            first = partial(deployment.runs.first_began, pair.id)
            stale = why_stale(pair, standing, configured.schedule, now, first, kept=False)
        project = deployment.project_to_name(configured.testrail)
        still = why_it_stands_still(pair, standing, project) if configured.enabled else None
        return {**_status(pair, standing, latest[pair.id], stale, project), "stands_still": still}

    return status_of


def _status(
    pair: Pair | None,
    standing: Standing,
    runs: Sequence[RunRecord],
    stale: str | None = None,
    project: int | None = None,
) -> Facts:
    return {
        "in_step": standing.in_step,
        "proved_at": moment(pair.proved_at if pair else None),
        "synced_at": moment(standing.synced_at),
        "listed_at": moment(pair.listed_at if pair else None),
        "paused_because": pair.paused_because if pair else None,
        "stale": stale,
        "needs_a_person": standing.needs_person,
        "milestones_concerned": standing.concerned,
        "held": standing.held,
        "held_accepted": standing.held_accepted,
        "runs": [run_json(run, project) for run in runs],
    }


# --- for people -------------------------------------------------------------------------------


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
        out.print(f"  {stays.held(facts['held'], facts['held_accepted'], project)}")
    if facts["paused_because"]:
        told = for_project(facts["paused_because"], project)
        out.print(f"  Paused: {printable(told)}", style="red")
    elif facts["stands_still"]:
        out.print(f"  {printable(stays.still(facts['stands_still']))}", style="red")
    if facts["stale"]:
        out.print(f"  {printable(facts['stale'])}", style="red")
    if not facts["runs"]:
        begins = for_project("There was no run yet: `milesync migrate` begins.", project)
        out.print(f"  {begins}")
        return
    out.print(run_table(facts["runs"], out.width))
