"""What the workers do, seen from a terminal: ``migrate --background`` and ``status --watch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import render
from worker.cli.output import Exit, console, exit_of, show
from worker.cli.session import consent, declined
from worker.cli.signals import EndedBySignal, exit_code
from worker.errors import Interrupted
from worker.facts import words
from worker.facts.progress import Progress, progress_of
from worker.facts.runs import report_of, summary_of
from worker.say import say_error

if TYPE_CHECKING:
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.options import Options

Background = Annotated[
    bool, typer.Option("--background", help="Hand it to the workers, and show how far it is.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on showing what runs, until it ends.")]


def hand_over(
    deployment: Deployment,
    pairs: Sequence[ProjectPair],
    options: Options,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Have the workers migrate the pairs, and show it to its end. A signal leaves it running."""
    from worker.background import enqueue_migration
    from worker.cli.pair_run import runs_json
    from worker.cli.plan import look_at
    from worker.sync.report import worst

    if not yes:
        look_at(deployment, pairs, options).show(deployment, as_json=False)
        if not consent("Hand this to the workers?"):
            return declined("Nothing was changed.", as_json=as_json)
    runs = [enqueue_migration(deployment, pair, options) for pair in pairs]
    ended = watch(deployment, runs)
    identities = [deployment.identity(pair) for pair in pairs]
    reports = [report_of(*both) for both in zip(identities, ended, strict=True)]

    def human(out: Console) -> None:
        for report in reports:
            name = deployment.runs.shortest_name(report.run) if report.run else ""
            heading = render.title_of(deployment, report.identity)
            project = deployment.project_to_name(report.identity.testrail_project)
            render.show_run(out, report, name, None, heading, project)

    document = runs_json(reports, deployment.project_to_name)
    show(document, human, as_json=as_json)
    return exit_of(worst(report.state for report in reports))


def watch(deployment: Deployment, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Show on stderr how far the runs are until they end; after an interrupt they go on."""
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
        names = " ".join(run.id for run in runs)
        ended.error = Interrupted(
            f"{ended.error.message} It goes on without this terminal: {names}.",
            "`milesync status --watch` shows it again, `milesync stop RUN` stops it.",
        )
        raise
    return found


def watch_open(deployment: Deployment, pairs: Sequence[ProjectPair]) -> int:
    """Show what runs now in any of the pairs until it ends."""
    from worker.background import is_open

    recorded = (deployment.store.find_pair(deployment.identity(pair)) for pair in pairs)
    latest = (run for pair in recorded if pair for run in deployment.runs.latest(pair.id))
    try:
        watch(deployment, [run for run in latest if is_open(run)])
    except EndedBySignal as ended:
        say_error(ended.error)  # the one document of the command is printed already
        return exit_code(ended)
    return Exit.OK


def _line(run: RunRecord, far: Progress) -> str:
    """One line on a run that goes on, or that has just ended."""
    from worker.background import is_open

    if not is_open(run):
        return f"Run {run.id}: {words.run_state(run.state)}; {summary_of(run)}."
    left = f", {far.time_left} left" if far.time_left else ""
    return f"Run {run.id}: {words.run_state(run.state)}, {far.text}{left}."
