"""`milesync runs`, `show` and `report`: every run that there was, and what each one did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli import output, render
from worker.cli.options import Config, Json, Projects, RunName
from worker.cli.output import Exit
from worker.cli.session import opened
from worker.facts import ending, matters, words
from worker.facts.changes import fields_of
from worker.facts.runs import (
    DONE,
    PAIR,
    Facts,
    by_milestone,
    find_run,
    kind,
    pair_of,
    report_of,
    reported,
    run_json,
    took,
    what,
    where,
    whole,
    written,
)
from worker.say import printable

if TYPE_CHECKING:
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console, Table

SHOWN: Final = 20
"""How many runs are shown unless more are asked for."""
_WIDE: Final = 100
"""Places of a line in which every column has room."""

All = Annotated[bool, typer.Option("--all", help="Every run that is recorded.")]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, max=1_000_000, help=f"So many runs; {SHOWN} if not given."
    ),
]
ReportFile = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="Where to write it: .html, .csv or .json.")
]


def runs(
    every: All = False,
    limit: Limit = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """List the runs, newest first: what each was, how it ended and what it did.

    Examples:
      milesync runs
      milesync runs --project 1 --limit 50
    """
    with opened(config, quiet=True) as deployment:
        found = _listed(deployment, projects, None if every else limit or SHOWN)
        more = bool(found) and not every and _has_more(deployment, projects, len(found))
    output.show({"runs": found}, lambda out: _show_runs(out, found, more), as_json=as_json)
    return Exit.OK


def show(run: RunName, config: Config = None, as_json: Json = False) -> int:
    """Show what a run did: every milestone it wrote to, with the values before and after.

    Examples:
      milesync show 3fa9
      milesync show 20261121-204512 --json
    """
    with opened(config, quiet=True) as deployment:
        found = find_run(deployment.runs, run)
        facts = whole(deployment, found)
        name = deployment.runs.shortest_name(found.id)
    output.show(facts, lambda out: _show_run(out, facts, name), as_json=as_json)
    return Exit.OK


def report(run: RunName, file: ReportFile, config: Config = None, as_json: Json = False) -> int:
    """Write the report of a run: a page, a table or JSON, as the file's ending says.

    Examples:
      milesync report 3fa9 --out report.html
    """
    from worker.cli.report_file import require_writable, write_report

    require_writable(file)
    with opened(config, quiet=True) as deployment:
        found = find_run(deployment.runs, run)
        ended = report_of(pair_of(deployment, found).identity, found)
        write_report(file, deployment, [ended], partial(reported, deployment, found))
    document = {"state": "succeeded", "run": found.id, "file": str(file)}
    output.show(
        document,
        lambda out: out.print(f"The report of run {found.id} is in {file}."),
        as_json=as_json,
    )
    return Exit.OK


# --- what is recorded -------------------------------------------------------------------------


def _pairs(deployment: Deployment, projects: Sequence[int] | None) -> dict[int, Pair]:
    """The chosen pairs that ever ran, by their id."""
    chosen = deployment.settings.require_projects(projects)
    found = (deployment.store.find_pair(deployment.identity(pair)) for pair in chosen)
    return {pair.id: pair for pair in found if pair is not None}


def _listed(
    deployment: Deployment, projects: Sequence[int] | None, limit: int | None
) -> list[Facts]:
    from mappings.locks import settle_dead

    settle_dead(deployment.runs)  # or it would show as running what has died
    pairs = _pairs(deployment, projects)
    found = deployment.runs.of_pairs(list(pairs), limit)
    name = deployment.project_to_name
    of = [(pairs[run.pair_id], run) for run in found]
    return [
        {**where(pair), **run_json(run, name(pair.identity.testrail_project))} for pair, run in of
    ]


def _has_more(deployment: Deployment, projects: Sequence[int] | None, shown: int) -> bool:
    pairs = list(_pairs(deployment, projects))
    return len(deployment.runs.of_pairs(pairs, shown + 1)) > shown


# --- for people -------------------------------------------------------------------------------


def _show_runs(out: Console, found: Sequence[Facts], more: bool) -> None:
    if not found:
        out.print("There was no run yet: `milesync migrate` begins.")
        return
    out.print(run_table(found, out.width))
    out.print("`milesync show RUN` tells what one did; the last characters of its id will do.")
    if more:
        out.print(f"These are the latest {len(found)}; `milesync runs --all` lists every one.")


def run_table(found: Sequence[Facts], width: int | None = None) -> Table:
    """Runs, one a row; in a narrow ``width`` without what an id begins with, if it is needed."""
    columns: dict[str, Callable[[Facts], object]] = {
        "Run": lambda run: run["run"],
        "Project": lambda run: run.get("testrail_project"),
        "Began": lambda run: _minute(run["started_at"]),
        "Kind": kind,
        "State": lambda run: words.run_state(run["state"]),
        "What it did": what,
    }
    if len({run.get("testrail_project") for run in found}) == 1:
        del columns["Project"]
    elif width is not None and width < _WIDE:
        del columns["Began"]
    rows = [[cell(run) for cell in columns.values()] for run in found]
    return render.table(*columns, rows=rows)


def _minute(moment_text: str | None) -> str:
    """A moment to the minute, as one word that is never cut."""
    return f"{(moment_text or '')[:16]}Z" if moment_text else ""


def _show_run(out: Console, run: Facts, name: str) -> None:
    where = render.title(*(run[name] for name in PAIR))
    out.print(f"{where}: {kind(run)} {run['run']}, {words.run_state(run['state'])}", style="bold")
    out.print(f"  {_when(run)}")
    out.print(f"  {what(run)}. {words.requests(run['requests'])}.")
    if run["not_exact"]:
        out.print(f"  {ending.inexact(run['not_exact'], run['state'])}.")
    if run["verified"]:
        kept = len(matters.kept(run["problems"]))
        out.print(f"  {printable(ending.proof(run['verified'], kept))}")
    render.problems(out, run["problems"], run["testrail_url"])
    for changes in by_milestone(run["changes"]).values():
        _show_milestone(out, changes)
    wrote = any(change["state"] == DONE for change in run["changes"])
    if wrote and run["finished_at"] and not run["undoes"]:
        out.print(f"Undo it with `milesync undo {name}`.")
    out.print(f"Write it down with `milesync report {name} --out report.html`.")


def _when(run: Facts) -> str:
    lasted = "has not ended" if run["finished_at"] is None else f"took {took(run)}"
    return f"Began {run['started_at']}, by {printable(run['by'])}; {lasted}."


def _show_milestone(out: Console, changes: Sequence[Facts]) -> None:
    first, last = changes[0], changes[-1]
    verb = written(first["kind"])
    name = printable(first["name"] or last["after"].get("name") or "")
    out.print(f"{verb}  {first['testrail_id']} {name} → {last['testably_id'] or 'unknown'}", hang=4)
    done = [change for change in changes if change["state"] == DONE]
    for change in done:
        # the headline says the name of a new one, unless it has another by now
        said = ("name", None, first["name"])
        render.changes(
            out, [one for one in fields_of(change) if (one.name, one.before, one.after) != said]
        )
    for reason in dict.fromkeys(_not_done(change) for change in changes if change not in done):
        out.print(f"    {printable(reason)}")


def _not_done(change: Facts) -> str:
    """What was tried and not carried out, or is not known to have been."""
    fields = ", ".join(words.field_called(name) for name in change["after"])
    return f"{words.write_state(change['state'])}: {fields}. {change['note']}".rstrip()
