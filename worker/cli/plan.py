"""`milesync plan`: what a migration would do, and what it would cost."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.files import require_writable
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
    options_of,
)
from worker.cli.output import Exit, Streamed, console, show
from worker.cli.plan_text import show_plan
from worker.cli.plan_view import view_of
from worker.cli.progress import reading
from worker.cli.session import opened, pairs_to_call

if TYPE_CHECKING:
    from mappings.rows import PairIdentity
    from worker.bootstrap import Deployment
    from worker.cli.pair_run import Naming
    from worker.cli.screen import Console
    from worker.settings import ProjectPair, Settings
    from worker.sync.context import PairContext, PlannedRun
    from worker.sync.decide.action import Plan
    from worker.sync.options import Options

Out = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Keep the plan: .json for `migrate --plan FILE`, .html or .md to hand on; may be "
        "given several times.",
    ),
]
REVIEWED: Final = ".json"
"""The ending of the file that `migrate --plan` takes; the others are for people."""
ENDINGS: Final = (REVIEWED, ".html", ".md")


All = Annotated[bool, typer.Option("--all", help="Show every milestone, and long texts whole.")]


def plan(
    only: OnlyThose = None,
    adopt_by_name: AdoptByName = False,
    create_anyway: CreateAnyway = False,
    allow_mass_archive: MassArchive = False,
    allow_mass_recreate: MassRecreate = False,
    archive_in_use: InUse = False,
    every: All = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Show what migrate would do, without doing it.

    Examples:
      milesync plan
      milesync plan --only open --all
      milesync plan --out plan.json --out plan.html
    """
    may = (adopt_by_name, create_anyway, allow_mass_archive, allow_mass_recreate, archive_in_use)
    options = options_of(only, may)
    for file in out or ():
        require_writable(file, "a plan", ENDINGS)
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        looked = look_at(deployment, pairs, options)
        if out and not looked.errors:
            from worker.cli.plan_files import write_plans

            write_plans(out, looked, options, deployment)
        looked.show(deployment, as_json=as_json, every=every)
        if not as_json and not looked.errors:
            named = "".join(f" --project {project}" for project in projects or ())
            _say_next(console(sys.stdout), looked, out or [], f"{named}{options.flags}")
    return looked.exit


def _say_next(out: Console, looked: Looked, files: Sequence[Path], flags: str) -> None:
    """What a person does next: apply the plan, or hand it on. ``flags`` are those of the plan."""
    if files:
        out.print(f"The plan is in {' and '.join(map(str, files))}.")
    kept = next((file for file in files if file.suffix.lower() == REVIEWED), None)
    if looked.would_stop:
        return  # the guard has said what to do
    if kept is not None:
        out.print(f"Do exactly this with `milesync migrate --plan {shlex.quote(str(kept))}`.")
    elif looked.changes_something:
        out.print(f"Do it with `milesync migrate{flags}`.")


@dataclass(frozen=True, slots=True)
class Looked:
    """The plans of some pairs, or why there is none."""

    identities: Sequence[PairIdentity]
    results: Sequence[PlannedRun | MilesyncError]

    @property
    def errors(self) -> list[MilesyncError]:
        """What kept pairs from being planned."""
        return [result for result in self.results if isinstance(result, MilesyncError)]

    @property
    def plans(self) -> list[Plan]:
        """The plans of the pairs that could be planned."""
        return [one.plan for one in self.results if not isinstance(one, MilesyncError)]

    @property
    def changes_something(self) -> bool:
        """Whether a migration would write something."""
        return any(plan.changes for plan in self.plans)

    @property
    def would_stop(self) -> bool:
        """Whether a migration of any of the pairs would stop itself before its first write."""
        return any(plan.guards for plan in self.plans)

    @property
    def exit(self) -> Exit:
        """A plan with changes is as good as one without."""
        return Exit.FAILED if self.errors else Exit.OK

    def as_json(self, *, streamed: bool = False, name: Naming = lambda _: None) -> dict[str, Any]:
        """The document of ``plan --json``; ``streamed``, its actions are made as it is printed.

        ``name`` tells what the commands in its hints name: nothing in a plan that is kept.
        """
        from worker.cli.pair_run import projects_json

        together = zip(self.identities, self.results, strict=True)
        return projects_json([_project_json(*one, streamed=streamed) for one in together], name)

    def show(self, deployment: Deployment, *, as_json: bool, every: bool = False) -> None:
        """Print the plans, folded unless ``every`` milestone is asked for."""

        def human(out: Console) -> None:
            for identity, result in zip(self.identities, self.results, strict=True):
                show_one(out, identity, result, deployment, every=every)

        name = deployment.project_to_name
        document = self.as_json(streamed=True, name=name) if as_json else {}
        show(document, human, as_json=as_json)


def look_at(deployment: Deployment, pairs: Sequence[ProjectPair], options: Options) -> Looked:
    """Plan every pair afresh, without a lock and without a write."""
    from worker.cli.session import each
    from worker.sync.context import preview

    def work(context: PairContext) -> PlannedRun:
        with reading(f"project {context.identity.testrail_project}"):
            return preview(context, options)

    results = each(deployment, pairs, work)
    return Looked([deployment.identity(pair) for pair in pairs], results)


def show_one(
    out: Console,
    identity: PairIdentity,
    result: PlannedRun | MilesyncError,
    deployment: Deployment,
    *,
    every: bool = False,
) -> None:
    """Print the plan of one pair, or why there is none."""
    project = deployment.project_to_name(identity.testrail_project)
    if isinstance(result, MilesyncError):
        out.print(render.title(identity.testrail_project, identity.testably_project), style="bold")
        render.say_error(out, result, project)
    else:
        title = render.title_of(deployment, identity)
        out.print(title, style="bold")
        rate = render.in_words(deployment.settings.testably.rate_limit)
        show_plan(out, view_of(identity, result, rate, title, project), every=every)


def _project_json(
    identity: PairIdentity, result: PlannedRun | MilesyncError, *, streamed: bool
) -> dict[str, Any]:
    from worker.sync.report import actions_json, error_json, plan_json

    if not isinstance(result, MilesyncError):
        plan = result.plan
        actions = Streamed(lambda: actions_json(plan)) if streamed else None
        return plan_json(identity, plan, result.requests, result.minutes, actions)
    return {
        "testrail_project": identity.testrail_project,
        "testably_project": identity.testably_project,
        "error": error_json(result),
    }


def places(settings: Settings) -> dict[str, Any]:
    """Where the plan is for: it must not be applied elsewhere."""
    return {"testrail_url": settings.testrail.url, "testably_url": settings.testably.url}
