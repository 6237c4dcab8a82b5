"""The options that several commands take, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worker.errors import UsageError
from worker.sync.options import Only, Options, Trigger

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; else ./milesync.toml."),
]
NoConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", hidden=True),
]
"""For a command that brings settings of its own: taken, so that all commands take it."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Projects = Annotated[
    list[int] | None,
    typer.Option(
        "--project", metavar="ID", help="Only this TestRail project; may be given several times."
    ),
]


def readable(text: str) -> str:
    """A name as it was typed. Raises BadParameter for what is no text, and so names nothing."""
    if text.isprintable():
        return text
    raise typer.BadParameter("it holds something that is no text.")


RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Its id, or any beginning or end of it that no other run has.",
        callback=readable,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

# --- what shapes a plan -----------------------------------------------------------------------

OnlyThose = Annotated[
    Only | None, typer.Option("--only", help="Narrow it to milestones in this state.")
]
AdoptByName = Annotated[
    bool,
    typer.Option(
        "--adopt-by-name", help="Link to a milestone of the same name that is there already."
    ),
]
CreateAnyway = Annotated[
    bool,
    typer.Option("--create-anyway", help="Create beside a milestone of the same name."),
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
May = tuple[bool, bool, bool, bool, bool]
"""What a person allows with these five, in the order of the fields of `Options`."""


def options_of(only: Only | None, may: May, *, verify: bool = True) -> Options:
    """What a plan or a migration is asked for. Raises UsageError for what contradicts itself."""
    options = Options(Trigger.MIGRATION, only, *may, verify)
    if options.adopt_by_name and options.create_anyway:
        raise UsageError(
            "--adopt-by-name and --create-anyway cannot go together.",
            "Give the one that is meant; with --project, each project can have its own.",
        )
    return options
