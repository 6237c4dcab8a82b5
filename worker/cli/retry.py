"""`milesync retry`: what failed is tried again, and what a create has left is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.options import Config, Json, Projects
from worker.cli.output import Exit, show
from worker.cli.records import recorded
from worker.cli.session import opened
from worker.errors import UsageError

if TYPE_CHECKING:
    from mappings.link import Link
    from mappings.rows import Pair
    from worker.bootstrap import Deployment
    from worker.cli.screen import Console

Milestones = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID...]", help="Ids in TestRail or Testably; without, what failed."),
]


def retry(
    milestones: Milestones = None,
    config: Config = None,
    as_json: Json = False,
    projects: Projects = None,
) -> int:
    """Let the next run try again what failed.

    What a person has accepted only where it is named. A create of which a person has to tell what
    it left behind is decided where it is named, or some of what it can be was archived.

    Examples:
      milesync retry
      milesync retry 4711 ms_8a2f
    """
    chosen = frozenset(milestones or ())
    with opened(config) as deployment:
        pairs = deployment.settings.require_projects(projects)
        found = [pair for pair in (recorded(deployment, one) for one in pairs) if pair]
        links = {pair.id: _named(deployment, pair, chosen) for pair in found}
        _require_known(chosen, links)
        asked = sum(link.awaits_person for some in links.values() for link in some)
        named = bool(chosen)
        cleared = sum(_clear(deployment, id_, some, named=named) for id_, some in links.items())
    show(
        {"state": "succeeded", "cleared": cleared},
        lambda out: _say_retried(out, cleared, 0 if named else asked),
        as_json=as_json,
    )
    return Exit.OK


def _say_retried(out: Console, cleared: int, asked: int) -> None:
    if not cleared:
        out.print("Nothing is there to try again; `milesync migrate` releases what an undo holds.")
        return
    noun = "milestone is" if cleared == 1 else "milestones are"
    out.print(f"{cleared} {noun} tried again by the next run: `milesync sync`.")
    if asked:
        whose = "1 create that a person was" if asked == 1 else f"{asked} creates that people were"
        out.print(
            f"Of {whose} asked about, what is left counts as its own where something was archived;"
            " else each is decided by its id: `milesync failures`."
        )


def _named(deployment: Deployment, pair: Pair, ids: frozenset[str]) -> list[Link]:
    """Those with these ids; without ids what failed, and not what is wholly accepted."""
    if ids:
        every = deployment.store.links(pair.id).values()
        return [link for link in every if {str(link.testrail_id), link.testably_id} & ids]
    listed = deployment.store.links_with_problems(pair.id)
    return [link for link in listed if not all(one.accepted for one in link.failures)]


def _require_known(ids: frozenset[str], links: dict[int, list[Link]]) -> None:
    every = [link for some in links.values() for link in some]
    known = {name for link in every for name in (str(link.testrail_id), link.testably_id)}
    if unknown := sorted(ids - known):
        hint = "`milesync mappings` lists the ids."
        raise UsageError(f"No milestone {', '.join(unknown)} is recorded.", hint)


def _clear(deployment: Deployment, pair_id: int, links: list[Link], *, named: bool) -> int:
    """Forget what failed; a link that a run is writing at this moment stays as it is.

    What counts again makes both sides differ until a run or a proof says otherwise.
    """
    now = deployment.clock.now()
    marked = [link.retried(named=named) for link in links if link.can_be_retried]
    cleared = len(deployment.store.save_many(pair_id, marked, now))
    if cleared:
        deployment.store.update_pair(pair_id, drifted_at=now)
    return cleared
