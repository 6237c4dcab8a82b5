"""`milesync plan`: what a migration would do, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.files import require_writable, write_private
from worker.cli.options import AdoptByName, Config, CreateAnyway, Json, OnlyThose, Projects
from worker.cli.output import Exit, show
from worker.cli.progress import reading
from worker.cli.session import opened, pairs_to_call
from worker.errors import UsageError

if TYPE_CHECKING:
    from mappings.rows import PairIdentity
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair, Settings
    from worker.sync.options import Options
    from worker.sync.run import PairContext, PlannedRun

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Keep the plan, for `migrate --plan FILE`."),
]


def plan(
    only: OnlyThose = None,
    adopt_by_name: AdoptByName = False,
    create_anyway: CreateAnyway = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Show what migrate would do, without doing it."""
    from worker.sync.options import Options, Trigger

    options = Options(Trigger.MIGRATION, only, adopt_by_name, create_anyway)
    if out is not None:
        require_writable(out)
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        looked = look_at(deployment, pairs, options)
        if out is not None:
            _keep(out, looked, options, deployment.settings)
        looked.show(deployment.settings, as_json=as_json)
    return looked.exit


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
    def exit(self) -> Exit:
        """A plan with changes is as good as one without."""
        return Exit.FAILED if self.errors else Exit.OK

    def as_json(self) -> dict[str, Any]:
        """The document of ``plan --json``."""
        from worker.cli.pair_run import projects_json

        together = zip(self.identities, self.results, strict=True)
        return projects_json([_project_json(*one) for one in together], self.errors)

    def show(self, settings: Settings, *, as_json: bool) -> None:
        """Print the plans."""

        def human(out: Console) -> None:
            for identity, result in zip(self.identities, self.results, strict=True):
                show_one(out, identity, result, settings)

        show(self.as_json(), human, as_json=as_json)


def look_at(deployment: Deployment, pairs: Sequence[ProjectPair], options: Options) -> Looked:
    """Plan every pair afresh, without a lock and without a write."""
    from worker.cli.session import each
    from worker.sync.run import preview

    def work(context: PairContext) -> PlannedRun:
        with reading(f"project {context.identity.testrail_project}"):
            return preview(context, options)

    results = each(deployment, pairs, work)
    return Looked([deployment.identity(pair) for pair in pairs], results)


def show_one(
    out: Console, identity: PairIdentity, result: PlannedRun | MilesyncError, settings: Settings
) -> None:
    """Print the plan of one pair, or why there is none."""
    out.print(render.title(identity.testrail_project, identity.testably_project), style="bold")
    if isinstance(result, MilesyncError):
        render.say_error(out, result)
    else:
        render.show_plan(out, result, settings.testably.rate_limit)


def _project_json(identity: PairIdentity, result: PlannedRun | MilesyncError) -> dict[str, Any]:
    from worker.sync.report import error_json, plan_json

    if not isinstance(result, MilesyncError):
        return plan_json(identity, result.plan, result.requests, result.minutes)
    return {
        "testrail_project": identity.testrail_project,
        "testably_project": identity.testably_project,
        "error": error_json(result),
    }


def places(settings: Settings) -> dict[str, Any]:
    """Where the plan is for: it must not be applied elsewhere."""
    return {"testrail_url": settings.testrail.url, "testably_url": settings.testably.url}


def _keep(file: Path, looked: Looked, options: Options, settings: Settings) -> None:
    """Write the plan that can be reviewed. Raises UsageError."""
    import json

    from worker.sync.reviewed_plan import reviewable

    if looked.errors:
        return
    document = reviewable(looked.as_json(), options, places(settings))
    try:
        write_private(file, json.dumps(document, indent=2, ensure_ascii=False))
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None
