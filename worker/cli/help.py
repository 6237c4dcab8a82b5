"""What `--help` prints: made from the docstrings and the declared options of the commands.

A command's docstring says in its first line what the command does, and ends with a paragraph
"Examples:" whose lines are printed as they stand.
"""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final, cast, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

Command = Callable[..., int]
Row = tuple[str, str]
"""What stands on the left, and its explanation."""

_WIDEST: Final = 100
_LEFT: Final = 30
"""A longer text on the left has its explanation on the next line."""
_HELP_OPTION: Final = ("-h, --help", "Show this and end.")
_END_OF_RUN: Final = re.compile(r"-(\d{6}-)?[0-9a-f]{4}")
"""An end of a run's id that looks like an option."""


class CommandWithHelp(typer.core.TyperCommand):
    """A command that explains itself with `of_command`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; an end of a run's id may begin with the dash that is in it."""
        if "--" not in args and any(param.name == "run" for param in self.params):
            ends = [one for one in args if _END_OF_RUN.fullmatch(one)]
            args = [*(one for one in args if one not in ends), "--", *ends]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the function that this command was made from."""
        formatter.write(of_command(ctx.command_path, inspect.unwrap(cast(Command, self.callback))))


def of_program(purpose: str, commands: Mapping[str, Mapping[str, Command]]) -> str:
    """The help of milesync itself: each command with what it does, under its heading."""
    parts = ["Usage: milesync COMMAND [OPTIONS]", purpose]
    for heading, functions in commands.items():
        parts.append(_section(heading, [(n, _purpose(f)) for n, f in functions.items()], left=12))
    options = (
        _HELP_OPTION,
        ("--version", "Show the version and end."),
        ("--install-completion", "Let the shell complete commands and options."),
    )
    parts += [_section("Options", options), "`milesync COMMAND --help` shows examples of each."]
    return "\n\n".join(parts) + "\n"


def of_command(path: str, function: Command) -> str:
    """The help of one command, which is called by ``path``: as in ``milesync db upgrade``."""
    arguments, options = _parameters(function)
    names = "".join(f" {name}" for name, _ in arguments)
    prose, _, examples = inspect.cleandoc(function.__doc__ or "").partition("Examples:\n")
    parts = [f"Usage: {path}{names} [OPTIONS]", _wrapped(prose)]
    if examples:
        parts.append(f"Examples:\n{textwrap.indent(textwrap.dedent(examples), '  ')}".rstrip())
    if arguments:
        parts.append(_section("Arguments", arguments))
    parts.append(_section("Options", [*options, _HELP_OPTION]))
    return "\n\n".join(parts) + "\n"


# --- what a command takes ---------------------------------------------------------------------


def _parameters(function: Command) -> tuple[list[Row], list[Row]]:
    """The arguments and the options that are shown."""
    hints = get_type_hints(function, include_extras=True)
    rows: tuple[list[Row], list[Row]] = ([], [])
    for name, parameter in inspect.signature(function).parameters.items():
        kind, *metadata = get_args(hints[name])
        for info in metadata:
            if isinstance(info, OptionInfo | ArgumentInfo) and not info.hidden:
                row = (_left(name, kind, info), _explained(info, parameter.default))
                rows[isinstance(info, OptionInfo)].append(row)
    return rows


def _left(name: str, kind: object, info: OptionInfo | ArgumentInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return info.metavar or name.upper()
    # inside of Annotated, what stands first is a name and no default
    given = [text for text in (info.default, *(info.param_decls or ())) if isinstance(text, str)]
    names = ", ".join(sorted(given, key=len)) or "--" + name.replace("_", "-")
    value = "" if kind is bool else info.metavar or _choices(kind)
    return f"{names} {value}".rstrip()


def _choices(kind: object) -> str:
    kinds = [one for one in (kind, *get_args(kind)) if isinstance(one, type)]
    enums = [one for one in kinds if issubclass(one, Enum)]
    return "|".join(str(member.value) for one in enums for member in one)


def _explained(info: OptionInfo | ArgumentInfo, default: object) -> str:
    said = info.help or ""
    is_set = default not in (None, False, inspect.Parameter.empty)
    return f"{said} Without it: {default}.".strip() if is_set else said


# --- as text ----------------------------------------------------------------------------------


def _purpose(function: Command) -> str:
    return inspect.cleandoc(function.__doc__ or "").partition("\n")[0]


def _width() -> int:
    return min(shutil.get_terminal_size().columns, _WIDEST)


def _wrapped(prose: str) -> str:
    paragraphs = prose.strip().split("\n\n")
    return "\n\n".join(textwrap.fill(one, _width(), break_on_hyphens=False) for one in paragraphs)


def _section(heading: str, rows: Sequence[Row], left: int = 0) -> str:
    fitting = [len(name) for name, _ in rows if len(name) <= _LEFT]
    column = max([left, *fitting]) + 2
    return "\n".join([f"{heading}:", *(line for row in rows for line in _lines(row, column))])


def _lines(row: Row, column: int) -> Iterator[str]:
    name, said = row
    room = max(_width() - column - 2, 20)
    first, *rest = textwrap.wrap(said, room, break_on_hyphens=False) or [""]
    if len(name) + 2 > column:
        yield f"  {name}"
        rest = [first, *rest]
    else:
        yield f"  {name:{column}}{first}".rstrip()
    yield from (" " * (column + 2) + line for line in rest)
