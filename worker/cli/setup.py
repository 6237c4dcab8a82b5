"""`milesync init` and `milesync db upgrade`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened
from worker.errors import UsageError

Overwrite = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]


def init(force: Overwrite = False, config: Config = None, as_json: Json = False) -> int:
    """Write a commented milesync.toml."""
    from worker.settings import settings_template
    from worker.settings.load import FILE_NAME

    file = (config or Path(FILE_NAME)).expanduser()
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(settings_template())
    except FileExistsError:
        raise UsageError(f"{file} is there already.", "Give --force to overwrite it.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.") from None
    show(
        {"state": "succeeded", "file": str(file.resolve())},
        lambda out: out.print(f"Wrote {file}. Fill it in, then run `milesync check`."),
        as_json=as_json,
    )
    return Exit.OK


def upgrade(config: Config = None, as_json: Json = False) -> int:
    """Bring the tables to the newest revision."""
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
