"""Results as people read them: short tables and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mappings.errors import MilesyncError
from worker.cli.progress import duration
from worker.cli.screen import Console, Table

if TYPE_CHECKING:
    from worker.settings import Rate
    from worker.sync.report import RunReport
    from worker.sync.run import PlannedRun

SHOWN: Final = 20
"""How many rows of a list are shown before it is cut."""
_LONGEST_VALUE: Final = 40


def title(testrail_project: int, testably_project: str) -> str:
    """A project pair as a heading."""
    return f"Project {testrail_project} → {testably_project}"


def table(*columns: str, rows: Iterable[Sequence[object]]) -> Table:
    """A table with these columns."""
    return Table(columns, [["" if cell is None else str(cell) for cell in row] for row in rows])


def say_error(out: Console, error: MilesyncError) -> None:
    """What stopped one pair, and what to do."""
    for line in (*error.message.splitlines(), *error.hint.splitlines()):
        out.print(f"  {line}", style="red")


# --- plans ------------------------------------------------------------------------------------


def show_plan(out: Console, prepared: PlannedRun, rate: Rate) -> None:
    """What a migration would do to one pair, and what it costs."""
    plan = prepared.plan
    counts = Counter(action.kind.value for action in plan.actions)
    out.print("  " + _counted(counts, "There is nothing in TestRail."))
    rows = [
        (a.kind.value, a.testrail_id or "", a.testably_id or "", short(a.name), a.reason)
        for a in plan.actions
        if a.kind.value != "skip" or a.problem is not None
    ]
    if rows:
        out.print(table("", "TestRail", "Testably", "Name", "Why", rows=rows[:SHOWN]))
        say_more(out, len(rows), "milesync plan --json")
    for guard in plan.guards:
        out.print(f"  It would stop: {guard.message} {guard.hint}", style="red")
    took = prepared.requests
    out.print(f"  Requests: {took['testrail']} to TestRail, {took['testably']} to Testably.")
    out.print(f"  With {in_words(rate)} this takes {duration(prepared.minutes * 60)}.")


def in_words(rate: Rate) -> str:
    """A rate limit as people say it."""
    window = "a minute" if rate.seconds == 60 else f"in {rate.seconds:g} s"
    return f"{rate.requests} requests {window}"


def _counted(counts: Mapping[str, int], nothing: str) -> str:
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{told}." if told else nothing


def say_more(out: Console, rows: int, command: str) -> None:
    """Say how much of a list was not shown, and what shows it."""
    if rows > SHOWN:
        out.print(f"  … and {rows - SHOWN} more: `{command}` shows all.")


# --- runs -------------------------------------------------------------------------------------


def show_run(out: Console, report: RunReport) -> None:
    """How the run of one pair ended, and what needs a person."""
    identity = report.identity
    where = title(identity.testrail_project, identity.testably_project)
    out.print(f"{where}: {report.state.value}", style="bold")
    if any(report.counts.values()) or report.error is None:
        out.print("  " + _counted(report.counts, "There was nothing to do."))
    if report.problems:
        rows = [
            (p["testrail_id"], p["testably_id"], short(p.get("name")), p["reason"])
            for p in report.problems[:SHOWN]
        ]
        out.print(table("TestRail", "Testably", "Name", "What is the matter", rows=rows))
        say_more(out, len(report.problems), "--report FILE.html")
    if report.not_exact:
        out.print(f"  Not carried exactly: {_counted(report.not_exact, '')}")
    if report.error is not None:
        say_error(out, report.error)
    if report.run is not None:
        out.print(f"  Run {report.run}.")


def short(value: object) -> str:
    """A value in a cell of a table."""
    text = "empty" if value is None else " ".join(str(value).split())
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
