"""`milesync verify`: the proof that both sides agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mappings.commands import for_project
from mappings.errors import MilesyncError
from worker.cli import render
from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.progress import reading
from worker.cli.session import each, opened, pairs_to_call
from worker.facts import stays, words

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.pair_run import Naming
    from worker.cli.screen import Console
    from worker.settings import ProjectPair
    from worker.sync.context import PairContext
    from worker.sync.verify import Found, Verification


def verify(config: Config = None, as_json: Json = False, projects: Projects = None) -> int:
    """Read both sides afresh and prove that they agree.

    Examples:
      milesync verify
      milesync verify --project 1 --json
    """
    with opened(config) as deployment:
        pairs = pairs_to_call(deployment.settings, projects)
        found = verifications(deployment, pairs)
        headings = [_heading(deployment, *both) for both in zip(pairs, found, strict=True)]
        named = [deployment.project_to_name(pair.testrail) for pair in pairs]

    def human(out: Console) -> None:
        for heading, one, project in zip(headings, found, named, strict=True):
            _show_one(out, heading, one, project)

    document = _document(pairs, found, deployment.project_to_name)
    show(document, human, as_json=as_json)
    return _exit(found)


def verifications(
    deployment: Deployment, pairs: Sequence[ProjectPair]
) -> list[Verification | MilesyncError]:
    """What a verification of each pair finds, or what kept it from being done."""
    from worker.sync.verify import verify as verify_pair

    def work(context: PairContext) -> Verification:
        with reading(f"project {context.identity.testrail_project}"):
            return verify_pair(context)

    return each(deployment, pairs, work)


def _exit(found: Sequence[Verification | MilesyncError]) -> Exit:
    if any(isinstance(one, MilesyncError) for one in found):
        return Exit.FAILED
    return Exit.OK if _all_in_step(found) else Exit.PARTIAL


def _all_in_step(found: Sequence[Verification | MilesyncError]) -> bool:
    return all(not isinstance(v, MilesyncError) and v.in_step for v in found)


def _document(
    pairs: Sequence[ProjectPair], found: Sequence[Verification | MilesyncError], name: Naming
) -> dict[str, Any]:
    from worker.cli.pair_run import projects_json

    projects = [_project_json(*one) for one in zip(pairs, found, strict=True)]
    return {"in_step": _all_in_step(found), **projects_json(projects, name)}


def _project_json(pair: ProjectPair, one: Verification | MilesyncError) -> dict[str, Any]:
    from worker.sync.report import error_json

    if not isinstance(one, MilesyncError):
        return one.as_json()
    where = {"testrail_project": pair.testrail, "testably_project": pair.testably}
    return {**where, "in_step": False, "error": error_json(one)}


def _heading(deployment: Deployment, pair: ProjectPair, one: Verification | MilesyncError) -> str:
    if isinstance(one, MilesyncError):  # the database may be what failed
        return render.title(pair.testrail, pair.testably)
    return render.title_of(deployment, deployment.identity(pair))


def _show_one(
    out: Console, where: str, one: Verification | MilesyncError, project: int | None
) -> None:
    if isinstance(one, MilesyncError):
        out.print(where, style="bold")
        render.say_error(out, one, project)
        return
    word = "in step" if one.in_step else "not in step"
    out.print(f"{where}: {word}, {one.compared} compared.", style="bold")
    rows = [*_difference_rows(one), *_other_rows(one)]
    if rows:
        columns = ("TestRail", "Testably", "What", "TestRail says", "Testably has")
        out.print(render.table(*columns, rows=rows[: render.SHOWN]))
        render.say_more(out, len(rows), "milesync verify --json")
    for line in _beside(one):
        out.print(f"  {line}")
    for advice in _advice(one):
        out.print(f"  {for_project(advice, project)}")
    if one.in_step and not one.guards:
        out.print("  `milesync sync` keeps them in step, `milesync up` does so by itself.")


def _difference_rows(one: Verification) -> list[tuple[object, ...]]:
    return [
        (
            d.testrail_id,
            d.testably_id,
            *_values(d),
        )
        for d in one.differences
    ]


def _values(one: Found) -> tuple[str, str, str]:
    """The field with both values; what is held as a whole has none."""
    if one.is_whole:
        return words.verdict(one.kind), "", ""
    return words.field_called(one.field), render.short(one.expected), render.short(one.actual)


def _other_rows(one: Verification) -> list[tuple[object, ...]]:
    missing = [(m.testrail_id, "", "missing", m.name, "") for m in one.missing]
    extra = [("", e.testably_id, "extra", "", e.name) for e in one.extra]
    return [*missing, *extra]


def _beside(one: Verification) -> list[str]:
    """What is compared by nobody, left by a setting, or lived with, in one line."""
    kept, accepted = ({found.testrail_id for found in some} for some in (one.kept, one.accepted))
    left = stays.left_alone(len(kept), len(accepted))
    parts = [text for text in (stays.of_parents(one.exempt or {}), left) if text]
    return [f"Not counted: {'; '.join(parts)}."] if parts else []


_WAITS = "waits"
_ADVICE = {
    "push": "`milesync sync` brings in step what changed since the last run.",
    _WAITS: "What waits for you is not written before: `milesync failures` says what to do.",
    "rejected": "Testably refuses some values: `milesync failures` says what to do.",
    "altered": "Testably stores some values otherwise: `milesync failures` says what to do.",
    "immovable": "Move by hand in Testably what hangs under another parent; its API cannot.",
    "held": "`milesync migrate` releases what an undo holds.",
}
_EXTRA_ADVICE = {
    **_ADVICE,
    "push": "`milesync sync` archives in Testably what is gone in TestRail.",
    "in_use": "People work in what is gone in TestRail: `milesync failures` says what to do.",
    "second_target": "Archive in Testably what carries the address of another one's milestone.",
}


def _advice(one: Verification) -> list[str]:
    """What really helps, for each kind of difference that there is.

    Where a guard would stop what pushes, what the guard asks for comes in its place.
    """
    kinds = {_WAITS if found.waits else found.kind for found in one.differences}
    kinds |= {found.kind for found in one.missing}
    advice = [text for kind, text in _ADVICE.items() if kind in kinds]
    if any(not found.kind for found in one.missing):
        advice.append("`milesync plan` says why something is missing.")
    kinds = {_WAITS if found.waits and found.kind == "push" else found.kind for found in one.extra}
    advice += [text for kind, text in _EXTRA_ADVICE.items() if kind in kinds]
    if one.guards:
        stopped = {_ADVICE["push"], _EXTRA_ADVICE["push"]}
        stopped_by = [f"{guard.message} {guard.hint}" for guard in one.guards]
        advice = [*stopped_by, *(text for text in advice if text not in stopped)]
    return list(dict.fromkeys(advice))
