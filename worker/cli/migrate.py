"""`milesync migrate` and `milesync sync`: the commands that write to Testably."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.background import Background, hand_over
from worker.cli.options import AdoptByName, Config, CreateAnyway, Json, OnlyThose, Projects, Yes
from worker.cli.output import exit_of, show
from worker.cli.progress import progress, reading
from worker.cli.session import consent, opened, pairs_to_call, require_consent
from worker.cli.signals import exit_code
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.pair_run import PairRun
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.options import Options
    from worker.sync.report import RunReport
    from worker.sync.reviewed_plan import Document

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and end.")]
ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", help="Write what became of each milestone: .html, .csv, .json."
    ),
]
MassArchive = Annotated[
    bool, typer.Option("--allow-mass-archive", help="Archive even more than a fifth.")
]
MassRecreate = Annotated[
    bool, typer.Option("--allow-mass-recreate", help="Create even more than a fifth again.")
]
InUse = Annotated[
    bool, typer.Option("--archive-in-use", help="Archive even what people work in in Testably.")
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
    from worker.sync.options import Options, Trigger

    options = Options(
        Trigger.MIGRATION,
        only,
        adopt_by_name,
        create_anyway,
        allow_mass_archive,
        allow_mass_recreate,
        archive_in_use,
        not no_verify,
    )
    if background and (plan or report):
        raise UsageError("--background cannot go together with --plan or --report.")
    reviewed = _reviewed(plan, options)
    if reviewed is not None:
        options = _as_reviewed(options, reviewed)
    if not dry_run:
        require_consent(yes)
        _require_writable(report)
    with opened(config) as deployment:
        pairs = _chosen(deployment, projects, reviewed)
        if dry_run:
            return _only_look(deployment, pairs, options, reviewed, as_json=as_json)
        if background:
            return hand_over(deployment, pairs, options, yes=yes, as_json=as_json)
        migration = Migration(deployment, pairs, options)
        with _interruptible(migration) as interrupts:
            migration.plan(reviewed)
            migration.run(yes=yes, as_json=as_json)
        return _end(migration, report, interrupts, as_json=as_json)


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
        with _interruptible(migration) as interrupts:
            migration.one_by_one()
        return _end(migration, None, interrupts, as_json=as_json)


@contextmanager
def _interruptible(migration: Migration) -> Iterator[list[KeyboardInterrupt]]:
    """Open the runs; gives the signal that ended them, if one does, for their report."""
    interrupts: list[KeyboardInterrupt] = []
    try:
        with migration:
            yield interrupts
    except KeyboardInterrupt as ended:
        interrupts.append(ended)


class Migration:
    """The runs of the chosen pairs, together; each fails on its own."""

    def __init__(
        self, deployment: Deployment, pairs: Sequence[ProjectPair], options: Options
    ) -> None:
        from worker.cli.pair_run import PairRun

        self.deployment = deployment
        self.options = options
        self.runs = [PairRun(deployment, pair, options) for pair in pairs]
        self.is_declined = False
        self._stack = ExitStack()

    @property
    def reports(self) -> list[RunReport]:
        """How each run ended."""
        return [run.report for run in self.runs]

    def plan(self, reviewed: Document | None = None) -> None:
        """Take and plan every pair. Raises PlanChanged if that is not what was reviewed."""
        for run in self.runs:
            _plan(run)
        if reviewed is not None:
            self._compare(reviewed)

    def _compare(self, reviewed: Document) -> None:
        from worker.sync.reviewed_plan import must_be_equal, reviewable

        looked = _looked(self.runs)
        if not looked.errors:
            from worker.cli.plan import places

            where = places(self.deployment.settings)
            must_be_equal(reviewed, reviewable(looked.as_json(), self.options, where))

    def run(self, *, yes: bool, as_json: bool) -> None:
        """Show the plans, ask unless ``yes``, and apply them."""
        if not (yes and as_json):
            self._show_plans(as_json=as_json)
        self.is_declined = not yes and self._something_to_ask() and not consent("Go on?")
        if not self.is_declined:
            for run in self.runs:
                self._apply(run)

    def one_by_one(self) -> None:
        """Plan and apply each pair before the next."""
        for run in self.runs:
            _plan(run)
            self._apply(run)

    def _something_to_ask(self) -> bool:
        plans = [run.planned.plan for run in self.runs if run.planned is not None]
        return any(plan.changes and not plan.guards for plan in plans)

    def _show_plans(self, *, as_json: bool) -> None:
        import sys

        from worker.cli.output import console
        from worker.cli.plan import show_one

        out = console(sys.stderr if as_json else sys.stdout)
        looked = _looked(self.runs)
        for identity, result in zip(looked.identities, looked.results, strict=True):
            if not isinstance(result, MilesyncError):  # an error is told with the run's end
                show_one(out, identity, result, self.deployment)

    def _apply(self, run: PairRun) -> None:
        if run.planned is not None:
            name = f"Project {run.pair.testrail}"
            with progress(self.deployment, name, run.planned.plan.writes) as on_outcome:
                run.apply(on_outcome)

    def __enter__(self) -> Migration:
        for run in self.runs:
            self._stack.enter_context(run)
        return self

    def __exit__(self, *ended: Any) -> None:
        self._stack.__exit__(*ended)


def _plan(run: PairRun) -> None:
    with reading(f"project {run.pair.testrail}"):
        run.plan()


def _looked(runs: Sequence[PairRun]) -> Any:
    """What the runs have planned so far, as `milesync plan` shows it."""
    from worker.cli.plan import Looked

    results = [run.planned or run.report.error for run in runs]
    return Looked([run.identity for run in runs], results)  # type: ignore[arg-type]


def _only_look(
    deployment: Deployment,
    pairs: Sequence[ProjectPair],
    options: Options,
    reviewed: Document | None,
    *,
    as_json: bool,
) -> int:
    from worker.cli.plan import look_at, places
    from worker.sync.reviewed_plan import must_be_equal, reviewable

    looked = look_at(deployment, pairs, options)
    if reviewed is not None and not looked.errors:
        fresh = reviewable(looked.as_json(), options, places(deployment.settings))
        must_be_equal(reviewed, fresh)
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
    document = runs_json(reports)
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
            render.show_run(out, ended, name, report, heading)

    show(document, human, as_json=as_json)
    return exit_code(*interrupts) if interrupts else exit_of(worst(r.state for r in reports))


# --- the reviewed plan ------------------------------------------------------------------------


def _reviewed(file: Path | None, options: Options) -> Document | None:
    """The plan in the file. Raises UsageError if it is none, or more is asked for beside it."""
    from worker.sync.reviewed_plan import read_reviewed

    if file is None:
        return None
    if any(options.as_json().values()):
        raise UsageError(
            "--only, --adopt-by-name and --create-anyway come from the reviewed plan.",
            "Leave them out beside --plan, or make a new plan with them.",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "Write one with `milesync plan --out FILE`."
        raise UsageError(f"{file} cannot be read: {_short(error)}.", hint) from None
    return read_reviewed(text, str(file))


def _as_reviewed(options: Options, reviewed: Document) -> Options:
    from worker.sync.reviewed_plan import reviewed_options

    return replace(options, **reviewed_options(reviewed))


def _chosen(
    deployment: Deployment, projects: Sequence[int] | None, reviewed: Document | None
) -> tuple[ProjectPair, ...]:
    """The pairs that were named, else those of the reviewed plan, else all."""
    if projects or reviewed is None:
        return pairs_to_call(deployment.settings, projects)
    in_plan = [(p.get("testrail_project"), p.get("testably_project")) for p in reviewed["projects"]]
    pairs = pairs_to_call(deployment.settings, [int(source or 0) for source, _ in in_plan])
    return tuple(pair for pair in pairs if (pair.testrail, pair.testably) in in_plan) or pairs


def _require_writable(report: Path | None) -> None:
    if report is not None:
        from worker.cli.report_file import require_writable

        require_writable(report)


def _short(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
