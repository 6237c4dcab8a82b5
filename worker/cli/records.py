"""`milesync mappings` and `history`: which milestone is which, and what was written to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import render
from worker.cli.options import Config, Json, Projects, readable
from worker.cli.output import Exit, Streamed, print_text, show
from worker.cli.session import opened
from worker.errors import UsageError
from worker.facts import lifecycles, words
from worker.facts.changes import fields_of
from worker.facts.runs import PAIR, Facts, change_json, names_of, written

if TYPE_CHECKING:
    from pathlib import Path

    from mappings.link import Link
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair

Csv = Annotated[bool, typer.Option("--csv", help="Print a CSV table.")]
Milestone = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The id of the milestone in TestRail or in Testably.",
        callback=readable,
    ),
]
_USUAL = "linked"
"""The state of most links, which needs no word."""
_MOST_DIGITS = 18
"""Of an id that a database can hold."""
DATES = ("start_date", "due_date")
PUSHED = ("name", "status", *DATES)


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
            *(link[name] for name in ("testrail_id", "testably_id", "state")),
            *(link["pushed"].get(name) for name in PUSHED),
            *(link[name] for name in lifecycles.COLUMNS),
        )
        for facts in found
        for link in facts["links"]
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
