"""`milesync init` and `milesync db upgrade`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.files import write_private
from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.cli.screen import Console

_SUGGESTED: Final = ("MILESYNC_WEBHOOK_SECRET", "MILESYNC_WEB_TOKEN")
Overwrite = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]


def init(force: Overwrite = False, config: Config = None, as_json: Json = False) -> int:
    """Write a commented milesync.toml."""
    from worker.settings import settings_template
    from worker.settings.load import FILE_NAME

    file = config or Path(FILE_NAME)
    try:
        file = file.expanduser()
        if not force and os.path.lexists(file):
            raise UsageError(f"{file} is there already.", "Give --force to overwrite it.")
        write_private(file, settings_template())
    except (OSError, RuntimeError) as error:  # the latter for a home that is not there
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{file} cannot be written: {why}.") from None
    suggested = {name: token_urlsafe(24) for name in _SUGGESTED}
    show(
        {"state": "succeeded", "file": str(file.resolve()), "suggested": suggested},
        lambda out: _say_written(out, file, suggested),
        as_json=as_json,
    )
    return Exit.OK


def _say_written(out: Console, file: Path, suggested: Mapping[str, str]) -> None:
    out.print(f"Wrote {file}. Fill it in, then run `milesync check`.")
    out.print("For the service, two secrets made at random just now, for your .env:")
    for name, secret in suggested.items():
        out.print(f"{name}={secret}")


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
