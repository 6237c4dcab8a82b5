"""`milesync db upgrade`."""

from __future__ import annotations

from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened


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
