"""`milesync undo`, `rebuild` and `stop`: to put right what a run did or left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.options import Config, Json, Projects, RunName, Yes
from worker.cli.output import Exit, console, exit_of, show
from worker.cli.progress import OnOutcome, progress
from worker.cli.records import recorded
from worker.cli.session import consent, declined, each, opened, pairs_to_call, require_consent
from worker.cli.signals import exit_code
from worker.errors import UsageError
from worker.facts import words
from worker.facts.runs import find_run

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.context import PairContext
    from worker.sync.report import OnEnd, RunReport
    from worker.sync.undo_step import UndoPlan

Force = Annotated[
    bool, typer.Option("--force", help="Take back even what was edited in Testably since.")
]


# --- undo -------------------------------------------------------------------------------------


def undo(
    run: RunName,
    force: Force = False,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> int:
    """Take back what a run did, from the values that were kept.

    What somebody edited in Testably since is left alone. What was taken back is held until
    `milesync migrate`.

    Examples:
      milesync undo 3fa9
      milesync undo 20261121-204512 --force
    """
    from worker.cli.pair_run import runs_json
    from worker.sync.undo_plan import plan_undo

    require_consent(yes)
    with opened(config) as deployment:
        run = find_run(deployment.runs, run).id
        pair = _pair_of(deployment, run)
        deployment.settings.require_credentials([pair])
        with deployment.context(pair) as context:
            if not yes:
                _show_undo(plan_undo(context, run, force=force), as_json=as_json)
                if not consent("Go on?"):
                    return declined("Nothing was changed.", as_json=as_json)
            interrupts: list[KeyboardInterrupt] = []
            undo_run = partial(_undo, deployment, run=run, force=force, shows=yes and not as_json)
            report = _until_it_ends(undo_run, interrupts, context)
        heading = render.title_of(deployment, deployment.identity(pair))
        project = deployment.project_to_name(pair.testrail)
    show(
        runs_json([report], deployment.project_to_name),
        lambda out: render.show_run(out, report, heading=heading, project=project, is_undo=True),
        as_json=as_json,
    )
    return exit_code(*interrupts) if interrupts else exit_of(report.state)


def _undo(
    deployment: Deployment,
    context: PairContext,
    on_end: OnEnd,
    *,
    run: str,
    force: bool,
    shows: bool,
) -> RunReport:
    """Take the run back; ``shows`` the plan, where nobody was asked who has seen it."""
    from worker.sync.undo import undo as undo_run

    name = deployment.runs.shortest_name(run)  # a whole id would be cut beside the bar
    with ExitStack() as stack:

        def begin(plan: UndoPlan) -> OnOutcome:
            if shows:
                _show_undo(plan)
            writes = sum(bool(step.fields) for step in plan.steps)
            return stack.enter_context(progress(deployment, f"Undo of {name}", writes))

        return undo_run(context, run, force=force, begin=begin, on_end=on_end)


def _pair_of(deployment: Deployment, run: str) -> ProjectPair:
    """The configured pair whose run it was."""
    found = find_run(deployment.runs, run)
    for pair in deployment.settings.projects:
        known = recorded(deployment, pair)
        if known is not None and known.id == found.pair_id:
            return pair
    raise UsageError(
        f"Run {run} is of a project pair that is not configured any more.",
        "Put the pair, and the addresses it had, back into the settings.",
    )


def _show_undo(plan: UndoPlan, *, as_json: bool = False) -> None:
    out = console(sys.stderr if as_json else sys.stdout)
    rows = [
        (_DOES[s.does], s.testrail_id, s.testably_id, s.name, s.blocked or "") for s in plan.steps
    ]
    out.print(f"What taking back run {plan.run_id} means:")
    out.print(render.table("", "TestRail", "Testably", "Name", "Left, because", rows=rows))


_DOES: Final = {
    "archive": "archive",
    "restore": "put back",
    "unlink": "unlink",
    "nothing": "leave",
}


# --- rebuild ----------------------------------------------------------------------------------


def rebuild(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """Recover the links of a lost database from the footers in Testably.

    Examples:
      milesync rebuild
      milesync rebuild --project 1
    """
    from worker.cli.pair_run import runs_json
    from worker.sync.rebuild import rebuild as rebuild_pair
    from worker.sync.report import unrecorded, worst

    interrupts: list[KeyboardInterrupt] = []
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        results = each(deployment, pairs, partial(_until_it_ends, rebuild_pair, interrupts))
        reports = [
            unrecorded(deployment.identity(pair), result)
            if isinstance(result, MilesyncError)
            else result
            for pair, result in zip(pairs, results, strict=True)
        ]
        headings = [render.title_of(deployment, report.identity) for report in reports]

    def human(out: Console) -> None:
        for report, heading in zip(reports, headings, strict=True):
            render.show_run(out, report, heading=heading)

    document = runs_json(reports, deployment.project_to_name)
    show(document, human, as_json=as_json)
    ended = worst(report.state for report in reports)
    return exit_code(*interrupts) if interrupts else exit_of(ended)


def _until_it_ends(
    work: Callable[[PairContext, OnEnd], RunReport],
    interrupts: list[KeyboardInterrupt],
    context: PairContext,
) -> RunReport:
    """How a run ended, also one that an error or a signal ended. Raises UsageError.

    The signal is added to the ``interrupts``; after one, no further run is begun.
    """
    from worker.sync.report import unrecorded

    if interrupts:
        return unrecorded(context.identity, interrupts[0])
    told: list[RunReport] = []
    try:
        return work(context, told.append)
    except UsageError:
        raise
    except KeyboardInterrupt as interrupt:
        interrupts.append(interrupt)
        return told[-1]
    except MilesyncError:
        return told[-1]


# --- stop -------------------------------------------------------------------------------------


def stop(run: RunName, yes: Yes = False, config: Config = None, as_json: Json = False) -> int:
    """Ask a running run to stop after the milestone it is at.

    Examples:
      milesync stop 3fa9
    """
    from mappings.run_record import RUNNING, UNFINISHED

    require_consent(yes)
    with opened(config) as deployment:
        found = find_run(deployment.runs, run)
        run = found.id
        running = found.state in (RUNNING, UNFINISHED)
        if running and not yes and not consent(f"Stop run {run}?"):
            return declined("The run goes on.", as_json=as_json)
        if running:
            deployment.runs.stop(run)
            found = deployment.runs.get(run) or found
    asked = (
        "is asked to stop; `milesync status` shows when it has"
        if found.state == RUNNING
        else "is stopped"
    )
    said = asked if running else f"has ended already: {words.run_state(found.state)}"
    show(
        {"state": "succeeded", "run": run, "run_state": found.state, "stop_requested": running},
        lambda out: out.print(f"Run {run} {said}."),
        as_json=as_json,
    )
    return Exit.OK
