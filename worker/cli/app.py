"""The table of commands, and ``main``: from arguments to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated, Final, cast

import typer
from typer.main import get_command

from mappings.errors import MilesyncError
from worker.cli import help as help_text
from worker.cli.output import Exit, failure, one_document, print_json, print_text
from worker.cli.signals import ending, exit_code, interruption_of
from worker.cli.streams import OutputLost, silence
from worker.errors import SettingsError, UsageError
from worker.say import say_error

PURPOSE: Final = "Mirrors TestRail milestones into Testably."
COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Begin": {"demo": "demo", "init": "init", "check": "check", "projects": "projects"},
    "Move, and keep in step": {
        "plan": "plan",
        "migrate": "migrate",
        "sync": "migrate",
        "verify": "verify",
    },
    "Look": {
        "status": "status",
        "runs": "runs",
        "show": "runs",
        "report": "runs",
        "mappings": "records",
        "failures": "failures",
        "history": "records",
    },
    "Put right": {
        "accept": "failures",
        "retry": "retry",
        "undo": "repair",
        "rebuild": "repair",
        "stop": "repair",
    },
    "Operate": {
        "up": "up",
        "sandbox": "sandbox",
        "db upgrade": "setup",
        "db prune": "setup",
        "notify": "notify",
    },
}
"""By the heading under which `milesync --help` shows it: each command, and the module here in
which its function is. The function is called like the command, or like its last word."""

_GROUPS: Final = [
    name.split()[:1] for commands in COMMANDS.values() for name in commands if " " in name
]
"""The first words of the commands that have two."""
_COMPLETION_VARIABLE: Final = "_MILESYNC_COMPLETE"
"""Set by a shell that asks what may stand next on the command line."""

_UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])
"""Click's class for all that is wrong with arguments; newer Typers have a Click of their own."""


def functions() -> dict[str, dict[str, Callable[..., int]]]:
    """Every command's function, by heading and name."""
    return {
        heading: {name: _function(name, module) for name, module in commands.items()}
        for heading, commands in COMMANDS.items()
    }


def _function(name: str, module: str) -> Callable[..., int]:
    found = getattr(import_module(f"worker.cli.{module}"), name.rsplit(maxsplit=1)[-1])
    return cast(Callable[..., int], found)


def build(first: str = "") -> typer.Typer:
    """The app with the command that ``first`` begins; if there is none such, with all.

    Only what is asked for is imported: the rest takes longer than most commands.
    """
    app = typer.Typer(
        help=PURPOSE,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_common)
    database = typer.Typer(help="The database.", rich_markup_mode=None)
    database.callback()(lambda: None)
    every = {name: module for commands in COMMANDS.values() for name, module in commands.items()}
    asked = {name: module for name, module in every.items() if name.split()[0] == first}
    for name, module in (asked or every).items():
        group = database if name.startswith("db ") else app
        group.command(cls=help_text.CommandWithHelp)(_function(name, module))
    if database.registered_commands:
        app.add_typer(database, name="db")
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
    one_document.is_printed = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(args)
    except MilesyncError as error:
        return _failed(args, error)
    except BrokenPipeError:  # whoever read our output has seen enough
        silence(sys.stdout)
        return Exit.OK
    except KeyboardInterrupt as ended:
        if (interrupted := interruption_of(ended)) is not None:
            _failed(args, interrupted, "aborted")
        return exit_code(ended)
    except Exception as error:
        return _failed(args, _unexpected(error))


def behind_command(args: list[str]) -> list[str]:
    """The arguments with those common options that stand before or in the command behind it."""
    words: list[str] = []
    common: list[str] = []
    left = list(args)
    while left and (not words or words in _GROUPS):
        if left[0].startswith(("--json", "--config", "--project")):
            number = 1 if "=" in left[0] or left[0] == "--json" else 2
            common += left[:number]
            del left[:number]
        else:
            words.append(left.pop(0))
    return [*words, *common, *left]


def _run(args: list[str]) -> int:
    if _COMPLETION_VARIABLE in os.environ:
        get_command(build()).main(prog_name="milesync")  # answers the shell and exits
    if args in ([], ["-h"], ["--help"]):
        print_text(help_text.of_program(PURPOSE, functions()))
        return Exit.OK
    command = get_command(build(args[0]))
    try:
        with command.make_context("milesync", args) as context:
            ending.check()
            return int(command.invoke(context) or Exit.OK)
    except typer.Exit as ended:
        return ended.exit_code
    except _UsageError as error:
        context_of = getattr(error, "ctx", None)
        path = context_of.command_path if context_of else "milesync"
        message = error.format_message().replace("Value error, ", "")
        raise UsageError(message, f"See `{path} --help`.") from None


def _failed(args: list[str], error: MilesyncError, state: str = "failed") -> int:
    """Tell of the error, as the document unless stdout has one already: the exit code."""
    stdout_is_done = one_document.is_printed or isinstance(error, OutputLost)
    if "--json" in args and not stdout_is_done:
        with suppress(OutputLost):  # the exit code is all that is left to tell it by
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
