"""The table of commands, and ``main``: from arguments to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from io import TextIOWrapper
from typing import Annotated, Final, cast

import typer
from typer.main import get_command

from mappings.errors import MilesyncError
from worker.cli import check, demo, migrate, plan, records, repair, sandbox, setup, up, verify
from worker.cli.output import Exit, failure, print_json, print_text, silence
from worker.cli.signals import ending, exit_code, told
from worker.errors import SettingsError, UsageError
from worker.say import say_error

COMMANDS: Final[Mapping[str, Sequence[Callable[..., int]]]] = {
    "Begin": (demo.demo, setup.init, check.check),
    "Move, and keep in step": (plan.plan, migrate.migrate, migrate.sync, verify.verify),
    "Look": (records.status, records.mappings, records.failures, records.history),
    "Put right": (repair.retry, repair.undo, repair.rebuild, repair.stop),
    "Operate": (up.up, sandbox.sandbox),
}
"""Each command by the heading under which `milesync --help` shows it. To add one, add it here."""

_COMPLETION_VARIABLE: Final = "_MILESYNC_COMPLETE"
"""Set by a shell that asks what may stand next on the command line."""

_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])
"""Click's class for all that is wrong with arguments; newer Typers have a Click of their own."""


def build() -> typer.Typer:
    """The app with all its commands."""
    app = typer.Typer(
        help="Mirrors TestRail milestones into Testably.",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_common)
    for heading, functions in COMMANDS.items():
        for function in functions:
            app.command(rich_help_panel=heading)(function)
    database = typer.Typer(help="The database.")
    database.command("upgrade")(setup.upgrade)
    database.callback()(lambda: None)
    app.add_typer(database, name="db", rich_help_panel="Operate")
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print_text(f"milesync {version('milesync')}\n")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_say_version, is_eager=True, help="Show the version and end."
    ),
]


def _common(version: Version = False) -> None:
    """Mirrors TestRail milestones into Testably."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (without the program's name) ask for: its exit code."""
    args = behind_command(list(sys.argv[1:] if argv is None else argv))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(args or ["--help"])
    except MilesyncError as error:
        return _failed(args, error)
    except BrokenPipeError:  # whoever read our output has seen enough
        silence(sys.stdout)
        return Exit.OK
    except KeyboardInterrupt as ended:
        if (interrupted := told(ended)) is not None:
            _failed(args, interrupted, "aborted")
        return exit_code(ended)
    except Exception as error:
        return _failed(args, _unexpected(error))


def behind_command(args: list[str]) -> list[str]:
    """The arguments with those common options that stand before the command behind it."""
    common = 0
    while common < len(args) and args[common].startswith(("--json", "--config", "--project")):
        common += 1 if "=" in args[common] or args[common] == "--json" else 2
    return [*args[common : common + 1], *args[:common], *args[common + 1 :]]


def _run(args: list[str]) -> int:
    command = get_command(build())
    if _COMPLETION_VARIABLE in os.environ:
        command.main(prog_name="milesync")  # answers the shell and exits
    try:
        with command.make_context("milesync", args) as context:
            ending.check()
            return int(command.invoke(context) or Exit.OK)
    except typer.Exit as ended:
        return ended.exit_code
    except _UsageError as error:
        context_of = getattr(error, "ctx", None)
        path = context_of.command_path if context_of else "milesync"
        raise UsageError(error.format_message(), f"See `{path} --help`.") from None


def _failed(args: list[str], error: MilesyncError, state: str = "failed") -> int:
    if "--json" in args:
        print_json(failure(error, state))
    else:
        say_error(error)
    return Exit.USAGE if isinstance(error, SettingsError | UsageError) else Exit.FAILED


class _Unexpected(MilesyncError):
    kind = "unexpected"
    default_hint = (
        "This is a fault of milesync. MILESYNC_LOG_LEVEL=debug shows where; please report it."
    )


def _unexpected(error: Exception) -> _Unexpected:
    import structlog

    from worker.log import Redactor

    if structlog.is_configured():
        structlog.get_logger(__name__).debug("unexpected", exc_info=error)
    text = Redactor().text(" ".join(str(error).split())[:300])
    return _Unexpected(f"{type(error).__name__}: {text}")
