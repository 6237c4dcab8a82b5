"""Results as people read them: short tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mappings.commands import for_project
from mappings.errors import MilesyncError
from worker.cli.screen import Console, Table
from worker.facts import ending, matters, stays, words
from worker.say import printable

if TYPE_CHECKING:
    from pathlib import Path

    from mappings.rows import PairIdentity
    from worker.bootstrap import Deployment
    from worker.facts.changes import FieldChange
    from worker.facts.matters import Matter
    from worker.settings import Rate
    from worker.sync.report import RunReport

SHOWN: Final = 20
"""How many rows of a list are shown before it is cut."""
_LONGEST_VALUE: Final = 40


def title(
    testrail_project: int,
    testably_project: str,
    testrail_name: str | None = None,
    testably_name: str | None = None,
) -> str:
    """A project pair as a heading, with the names of the projects where they are known."""
    names = (testrail_name, testably_name)
    return printable(words.pair_title(testrail_project, testably_project, *names))


def title_of(deployment: Deployment, identity: PairIdentity) -> str:
    """The heading of a pair that may be recorded."""
    pair = deployment.store.find_pair(identity)
    names = (pair.testrail_name, pair.testably_name) if pair else ()
    return title(identity.testrail_project, identity.testably_project, *names)


def table(*columns: str, rows: Iterable[Sequence[object]]) -> Table:
    """A table with these columns."""
    return Table(columns, [["" if cell is None else str(cell) for cell in row] for row in rows])


def say_error(out: Console, error: MilesyncError, project: int | None) -> None:
    """What stopped one pair, and what to do; ``project`` as in `for_project`."""
    hint = for_project(error.hint, project)
    for line in (*error.message.splitlines(), *hint.splitlines()):
        out.print(f"  {line}", style="red")


def in_words(rate: Rate) -> str:
    """A rate limit as people say it."""
    return words.rate(rate.requests, rate.seconds)


def say_more(out: Console, rows: int, command: str) -> None:
    """Say how much of a list was not shown, and what shows it."""
    if rows > SHOWN:
        out.print(f"  … and {rows - SHOWN} more: `{command}` shows all.")


def changes(out: Console, found: Iterable[FieldChange]) -> None:
    """Fields before and after: short values on a line, long texts as what differs."""
    for one in found:
        name = words.field_called(one.name)
        if one.is_short:
            was = "" if one.before is None else f"{words.value_shown(one.before)} → "
            out.print(f"    {name}: {printable(was + words.value_shown(one.after))}", hang=2)
            continue
        out.print(f"    {name}:")
        for mark, line in one.difference():
            out.print(f"      {mark} {printable(line)}", hang=4)


# --- runs -------------------------------------------------------------------------------------


def show_run(
    out: Console,
    report: RunReport,
    name: str = "",
    file: Path | None = None,
    heading: str = "",
    project: int | None = None,
    *,
    is_undo: bool = False,
) -> None:
    """How the run of one pair ended, what needs a person, and what to do next.

    ``name`` is the shortest by which a run that can be undone may be called; ``file`` holds the
    report. ``heading`` is the pair's, if not made of its ids; ``project`` is what its commands
    name, as in `for_project`.
    """
    identity = report.identity
    where = heading or title(identity.testrail_project, identity.testably_project)
    out.print(f"{where}: {words.run_state(report.state.value)}", style="bold")
    if any(report.counts.values()) or report.error is None:
        state = report.state.value
        line = ending.counted(report.counts, report.problems, state, is_undo=is_undo)
        out.print(f"  {line[:1].upper()}{line[1:]}.")
    if report.not_exact:
        out.print(f"  {ending.inexact(report.not_exact, report.state.value)}.")
    if report.verified is not None:
        kept = len(matters.kept(report.problems))
        out.print(f"  {printable(ending.proof(report.verified, kept))}")
    if report.counts.get("held"):
        out.print(f"  {stays.held(report.counts['held'], report.held_accepted, project)}")
    problems(out, report.problems, identity.testrail_url, f"milesync show {name or 'RUN'}")
    if report.error is not None:
        say_error(out, report.error, project)
    if report.run is not None and not name:
        out.print(f"  Run {report.run}.")
    if next_steps := "; ".join(_next_steps(report, name, file)):
        out.print(f"  {next_steps[:1].upper()}{next_steps[1:]}.")


def problems(
    out: Console,
    found: Sequence[Mapping[str, Any]],
    testrail_url: str,
    shows_all: str | None = None,
) -> None:
    """What a run says of milestones: what needs a person, and the edits that it has kept.

    Where a command ``shows_all``, no more than `SHOWN` of each are told.
    """
    _matters(out, "What needs you", matters.needing(found), testrail_url, shows_all, "yellow")
    _matters(out, words.KEPT, matters.kept(found), testrail_url, shows_all)


def _matters(
    out: Console,
    title: str,
    found: Sequence[Matter],
    testrail_url: str,
    shows_all: str | None,
    style: str = "",
) -> None:
    """Each milestone once, with its reasons; who has no name is told by the link to TestRail."""
    if not found:
        return
    out.print(f"  {title} ({len(found)}):", style=style)
    width = max(len(str(one.testrail_id or "")) for one in found)
    for one in found[: SHOWN if shows_all else None]:
        id_ = f"{one.testrail_id or '':>{width}}"
        name = called({"testrail_id": one.testrail_id, "name": one.name}, testrail_url)
        out.print(f"  {id_}  {printable(name or 'The run as a whole')}", hang=width + 2)
        for reason in dict.fromkeys(entry["reason"] for entry in one.entries):
            out.print(f"  {' ' * width}  {printable(reason)}")
    if shows_all:
        say_more(out, len(found), shows_all)


def called(milestone: Mapping[str, Any], testrail_url: str) -> str:
    """The name of a milestone; one that has none is called by its address in TestRail."""
    from mappings.footer import marker_url

    name = " ".join((milestone.get("name") or "").split())
    id_ = milestone.get("testrail_id")
    return name or (f"(no name) {marker_url(testrail_url, id_)}" if id_ else "")


def _next_steps(report: RunReport, name: str, file: Path | None) -> Iterator[str]:
    from worker.sync.apply.outcome import DONE

    if name and any(report.counts.get(result) for result in DONE):
        yield f"undo it with `milesync undo {name}`"
        if file is None:
            yield f"`milesync show {name}` tells what it wrote"
    if file is not None:
        yield f"the report is in {file}"
    if matters.needing(report.problems):
        yield "`milesync failures` lists what needs you"


def short(value: object) -> str:
    """A value in a cell of a table."""
    text = words.value_shown(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
