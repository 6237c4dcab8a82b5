"""What the workers do, seen from a terminal: ``migrate --background`` and ``status --watch``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mappings.errors import MilesyncError, StoreError
from worker.cli import render
from worker.cli.output import Exit, console, exit_of, show
from worker.cli.session import consent, declined
from worker.cli.signals import EndedBySignal
from worker.errors import Interrupted, SettingsError
from worker.facts import words
from worker.facts.progress import Progress, progress_of
from worker.facts.runs import report_of, summary_of

if TYPE_CHECKING:
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.options import Options
    from worker.sync.report import RunReport

Background = Annotated[
    bool, typer.Option("--background", help="Hand it to the workers, and show how far it is.")
]
_SHOWS: Final = "`milesync status --watch` shows it again, `milesync stop RUN` stops it."
Watch = Annotated[bool, typer.Option("--watch", help="Go on showing what runs, until it ends.")]


def hand_over(
    deployment: Deployment,
    pairs: Sequence[ProjectPair],
    options: Options,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Have the workers migrate the pairs, and show it to its end. A signal leaves it running.

    A pair that cannot be handed over is told as one that has ended, and keeps no other from it.
    """
    from worker.cli.pair_run import runs_json
    from worker.sync.report import worst

    if not yes:
        _show_plans(deployment, pairs, options, as_json=as_json)
        if not consent("Hand this to the workers?"):
            return declined("Nothing was changed.", as_json=as_json)
    handed = [_handed_over(deployment, pair, options) for pair in pairs]
    ended = watch(deployment, [run for run in handed if not isinstance(run, MilesyncError)])
    last = {run.id: run for run in ended}
    reports = [_report(deployment, *both, last) for both in zip(pairs, handed, strict=True)]

    def human(out: Console) -> None:
        for report in reports:
            name = deployment.runs.shortest_name(report.run) if report.run else ""
            heading = render.title_of(deployment, report.identity)
            project = deployment.project_to_name(report.identity.testrail_project)
            render.show_run(out, report, name, None, heading, project)

    document = runs_json(reports, deployment.project_to_name, proves=options.verify)
    show(document, human, as_json=as_json)
    return exit_of(worst(report.state for report in reports))


def _show_plans(
    deployment: Deployment, pairs: Sequence[ProjectPair], options: Options, *, as_json: bool
) -> None:
    """Show what a person is asked about; beside the document, where stdout has one."""
    from worker.cli.plan import look_at, show_one

    looked = look_at(deployment, pairs, options)
    out = console(sys.stderr if as_json else sys.stdout)
    for identity, result in zip(looked.identities, looked.results, strict=True):
        show_one(out, identity, result, deployment)


def _handed_over(
    deployment: Deployment, pair: ProjectPair, options: Options
) -> RunRecord | MilesyncError:
    """The run that the workers have now, or why they do not. Raises SettingsError."""
    from worker.background import enqueue_migration

    try:
        return enqueue_migration(deployment, pair, options)
    except SettingsError:  # there are no workers, for none of the pairs
        raise
    except MilesyncError as error:
        return error


def _report(
    deployment: Deployment,
    pair: ProjectPair,
    handed: RunRecord | MilesyncError,
    ended: Mapping[str, RunRecord],
) -> RunReport:
    """How it ended, by what is recorded; ``ended`` are the runs as they stand now, by their ids."""
    from mappings.problem import ProblemKind
    from worker.sync.report import unrecorded

    identity = deployment.identity(pair)
    if isinstance(handed, MilesyncError):
        return unrecorded(identity, handed)
    report = report_of(identity, ended.get(handed.id, handed))
    # a migration tells of each milestone that it leaves held, unless a person lives with that
    holds = {kind.value for kind in ProblemKind if kind.is_hold}
    told = sum(problem["kind"] in holds for problem in report.problems)
    return replace(report, held_accepted=max(report.counts.get("held", 0) - told, 0))


def watch(deployment: Deployment, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Show on stderr how far the runs are until they end.

    They go on after an interrupt, and where the database does not answer here any more.
    """
    from worker.background import follow

    out = console(sys.stderr)
    said: dict[str, str] = {}
    found: list[RunRecord] = []
    try:
        for found in follow(deployment, [run.id for run in runs]):
            far = progress_of(deployment, found)
            for run in found:
                line = _line(run, far[run.id])
                if said.get(run.id) != line:
                    said[run.id] = line
                    out.print(line)
    except EndedBySignal as ended:
        ended.error = Interrupted(_goes_on(ended.error, runs), _SHOWS)
        raise
    except StoreError as error:
        raise StoreError(_goes_on(error, runs), f"{error.hint} {_SHOWS}") from error
    return found


def _goes_on(error: MilesyncError, runs: Sequence[RunRecord]) -> str:
    """What is said of an end of the watching: the runs are with the workers."""
    names = " ".join(run.id for run in runs)
    return f"{error.message.removesuffix('.')}. It goes on without this terminal: {names}."


def watch_open(deployment: Deployment, pairs: Sequence[ProjectPair]) -> int:
    """Show what runs now in any of the pairs until it ends."""
    from worker.background import is_open

    recorded = (deployment.store.find_pair(deployment.identity(pair)) for pair in pairs)
    latest = (run for pair in recorded if pair for run in deployment.runs.latest(pair.id))
    watch(deployment, [run for run in latest if is_open(run)])
    return Exit.OK


def _line(run: RunRecord, far: Progress) -> str:
    """One line on a run that goes on, or that has just ended."""
    from worker.background import is_open

    if not is_open(run):
        return f"Run {run.id}: {words.run_state(run.state)}; {summary_of(run)}."
    left = f", {far.time_left} left" if far.time_left else ""
    return f"Run {run.id}: {words.run_state(run.state)}, {far.text}{left}."
