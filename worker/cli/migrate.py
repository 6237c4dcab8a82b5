"""`milesync migrate` and `milesync sync`: the commands that write to Testably."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import render
from worker.cli.background import Background, hand_over
from worker.cli.migration import Migration, interruptible
from worker.cli.options import (
    AdoptByName,
    Config,
    CreateAnyway,
    InUse,
    Json,
    MassArchive,
    MassRecreate,
    OnlyThose,
    Projects,
    Yes,
    options_of,
)
from worker.cli.output import exit_of, show
from worker.cli.reviewed import chosen_pairs, read_plan, require_reviewed
from worker.cli.session import opened, pairs_to_call, require_consent
from worker.cli.signals import exit_code
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.options import Options
    from worker.sync.reviewed_plan import Document

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", help="Write what became of each milestone: .html, .csv, .json."
    ),
]
NoVerify = Annotated[
    bool, typer.Option("--no-verify", help="Do not read both sides once more at the end.")
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan", metavar="FILE", help="Go on only if the plan still is the one in this file."
    ),
]


def migrate(
    dry_run: DryRun = False,
    yes: Yes = False,
    report: ReportFile = None,
    only: OnlyThose = None,
    adopt_by_name: AdoptByName = False,
    create_anyway: CreateAnyway = False,
    allow_mass_archive: MassArchive = False,
    allow_mass_recreate: MassRecreate = False,
    archive_in_use: InUse = False,
    no_verify: NoVerify = False,
    plan: PlanFile = None,
    background: Background = False,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Show the plan, ask, and bring Testably in step with TestRail.

    What was interrupted goes on when it is run again.

    Examples:
      milesync migrate
      milesync migrate --only open --report report.html
      milesync migrate --plan plan.json --yes
    """
    may = (adopt_by_name, create_anyway, allow_mass_archive, allow_mass_recreate, archive_in_use)
    options = options_of(only, may, verify=not no_verify)
    _require_fitting(dry_run, background, plan, report)
    reviewed, options = read_plan(plan, options)
    if not dry_run:
        _require_able(yes, report)
    with opened(config) as deployment:
        pairs = chosen_pairs(deployment, projects, reviewed)
        if dry_run:
            return _only_look(deployment, pairs, options, reviewed, as_json=as_json)
        if background:
            return hand_over(deployment, pairs, options, yes=yes, as_json=as_json)
        return _do(deployment, pairs, options, reviewed, report, yes=yes, as_json=as_json)


def sync(
    only: OnlyThose = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Bring both sides in step once, without questions.

    Examples:
      milesync sync
      milesync sync --project 1 --project 2
      milesync sync --only open
    """
    from worker.sync.options import Options, Trigger

    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        migration = Migration(deployment, pairs, Options(Trigger.MANUAL, only))
        with interruptible(migration) as interrupts:
            migration.one_by_one()
        return _end(migration, None, interrupts, as_json=as_json)


def _do(
    deployment: Deployment,
    pairs: Sequence[ProjectPair],
    options: Options,
    reviewed: Document | None,
    report: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    migration = Migration(deployment, pairs, options)
    with interruptible(migration) as interrupts:
        migration.plan(reviewed)
        migration.run(yes=yes, as_json=as_json)
    return _end(migration, report, interrupts, as_json=as_json)


def _only_look(
    deployment: Deployment,
    pairs: Sequence[ProjectPair],
    options: Options,
    reviewed: Document | None,
    *,
    as_json: bool,
) -> int:
    from worker.cli.plan import look_at

    looked = look_at(deployment, pairs, options)
    if reviewed is not None:
        require_reviewed(reviewed, looked, options, deployment)
    looked.show(deployment, as_json=as_json)
    return looked.exit


def _end(
    migration: Migration,
    report: Path | None,
    interrupts: Sequence[KeyboardInterrupt],
    *,
    as_json: bool,
) -> int:
    """Report what became of it: the file, the printed result, the next step and the exit code."""
    from worker.cli.pair_run import runs_json
    from worker.sync.report import worst

    reports = migration.reports
    name, proves = migration.deployment.project_to_name, migration.options.verify
    document = runs_json(reports, name, proves=proves)
    if report is not None:
        from worker.cli.report_file import with_items, write_report

        facts = partial(with_items, document, migration.runs)
        write_report(report, migration.deployment, reports, facts)

    def human(out: Console) -> None:
        if migration.is_declined:
            out.print("Nothing was changed.")
            return
        deployment = migration.deployment
        for ended in reports:
            name = deployment.runs.shortest_name(ended.run) if ended.run else ""
            heading = render.title_of(deployment, ended.identity) if name else ""
            project = deployment.project_to_name(ended.identity.testrail_project)
            render.show_run(out, ended, name, report, heading, project)

    show(document, human, as_json=as_json)
    return exit_code(*interrupts) if interrupts else exit_of(worst(r.state for r in reports))


def _require_fitting(
    dry_run: bool, background: bool, plan: Path | None, report: Path | None
) -> None:
    """Raises UsageError for options that cannot go together."""
    if background and (plan or report):
        raise UsageError("--background cannot go together with --plan or --report.")
    if dry_run and report:
        hint = "`milesync plan --out FILE` writes what would be done: .html, .md or .json."
        raise UsageError("--dry-run does nothing that a report could tell of.", hint)


def _require_able(yes: bool, report: Path | None) -> None:
    """Raises UsageError where nobody can be asked, or the report could not be written."""
    require_consent(yes)
    if report is not None:
        from worker.cli.report_file import require_writable

        require_writable(report)
