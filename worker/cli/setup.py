"""`milesync db upgrade` and `milesync db prune`."""

from __future__ import annotations

from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened
from worker.facts import words


def upgrade(config: Config = None, as_json: Json = False) -> int:
    """Bring the tables to the newest revision.

    SQLite is upgraded by itself; PostgreSQL by this command.

    Examples:
      milesync db upgrade
    """
    from mappings.database import revisions, upgrade

    with opened(config) as deployment:
        before, _ = revisions(deployment.engine)
        upgrade(deployment.engine)
        after, _ = revisions(deployment.engine)
    said = f"is at revision {after}" + ("" if before == after else f" (was {before or 'empty'})")
    show(
        {"state": "succeeded", "before": before, "revision": after},
        lambda out: out.print(f"The database {said}."),
        as_json=as_json,
    )
    return Exit.OK


def prune(config: Config = None, as_json: Json = False) -> int:
    """Delete runs that ended longer ago than MILESYNC_RETENTION, with their changes.

    Links and TestRail's raw records stay. The service does this by itself, once a day.

    Examples:
      milesync db prune
    """
    from mappings.retention import prune as prune_runs

    with opened(config) as deployment:
        gone = prune_runs(deployment.engine, deployment.settings.sync.kept_for)
    found = {"runs": gone.runs, "changes": gone.changes, "folded": gone.folded}
    show(
        {"state": "succeeded", **found},
        lambda out: out.print(
            f"{words.number_of(gone.runs, 'run', 'runs')} with "
            f"{words.number_of(gone.changes, 'change', 'changes')} deleted; "
            f"{words.number_of(gone.folded, 'run', 'runs')} without changes now in a later row."
        ),
        as_json=as_json,
    )
    return Exit.OK
