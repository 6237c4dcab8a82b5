"""`milesync verify`: the proof that both sides agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.progress import reading
from worker.cli.session import each, opened, pairs_to_call

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.run import PairContext
    from worker.sync.verify import Verdict


def verify(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """Read both sides afresh and prove that they agree.

    Examples:
      milesync verify
      milesync verify --project 1 --json
    """
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        verdicts = verdicts_on(deployment, pairs)

    def human(out: Console) -> None:
        for pair, verdict in zip(pairs, verdicts, strict=True):
            _show_one(out, pair, verdict)

    show(_document(pairs, verdicts), human, as_json=as_json)
    return _exit(verdicts)


def verdicts_on(
    deployment: Deployment, pairs: Sequence[ProjectPair]
) -> list[Verdict | MilesyncError]:
    """What a verification of each pair finds, or what kept it from being done."""
    from worker.sync.verify import verify as verify_pair

    def work(context: PairContext) -> Verdict:
        with reading(f"project {context.identity.testrail_project}"):
            return verify_pair(context)

    return each(deployment, pairs, work)


def _exit(verdicts: Sequence[Verdict | MilesyncError]) -> Exit:
    if any(isinstance(verdict, MilesyncError) for verdict in verdicts):
        return Exit.FAILED
    return Exit.OK if _all_in_step(verdicts) else Exit.PARTIAL


def _all_in_step(verdicts: Sequence[Verdict | MilesyncError]) -> bool:
    return all(not isinstance(v, MilesyncError) and v.in_step for v in verdicts)


def _document(
    pairs: Sequence[ProjectPair], verdicts: Sequence[Verdict | MilesyncError]
) -> dict[str, Any]:
    from worker.cli.pair_run import projects_json

    errors = [verdict for verdict in verdicts if isinstance(verdict, MilesyncError)]
    projects = [_project_json(*one) for one in zip(pairs, verdicts, strict=True)]
    return {"in_step": _all_in_step(verdicts), **projects_json(projects, errors)}


def _project_json(pair: ProjectPair, verdict: Verdict | MilesyncError) -> dict[str, Any]:
    from worker.sync.report import error_json

    if not isinstance(verdict, MilesyncError):
        return verdict.as_json()
    where = {"testrail_project": pair.testrail, "testably_project": pair.testably}
    return {**where, "in_step": False, "error": error_json(verdict)}


def _show_one(out: Console, pair: ProjectPair, verdict: Verdict | MilesyncError) -> None:
    where = render.title(pair.testrail, pair.testably)
    if isinstance(verdict, MilesyncError):
        out.print(where, style="bold")
        render.say_error(out, verdict)
        return
    word = "in step" if verdict.in_step else "not in step"
    out.print(f"{where}: {word}, {verdict.compared} compared.", style="bold")
    rows = [*_difference_rows(verdict), *_other_rows(verdict)]
    if rows:
        columns = ("TestRail", "Testably", "What", "TestRail says", "Testably has")
        out.print(render.table(*columns, rows=rows[: render.SHOWN]))
        render.say_more(out, len(rows), "milesync verify --json")
        out.print(
            "  `milesync sync` brings them in step; `milesync failures` shows what cannot be."
        )


def _difference_rows(verdict: Verdict) -> list[tuple[object, ...]]:
    return [
        (d.testrail_id, d.testably_id, d.field, render.short(d.expected), render.short(d.actual))
        for d in verdict.differences
    ]


def _other_rows(verdict: Verdict) -> list[tuple[object, ...]]:
    missing = [(one.testrail_id, "", "missing", one.name, "") for one in verdict.missing]
    extra = [("", one.testably_id, "extra", "", one.name) for one in verdict.extra]
    return [*missing, *extra]
