"""The ``.env`` beside the settings, which docker compose and honcho read as well; its quotes.

The three agree on a plain value and on one in single quotes. Elsewhere they differ: honcho drops
blanks that are not in quotes and ends a value at any ``#``, compose replaces ``$NAME``, and each
has rules of its own for backslashes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from typing import Final

from dotenv.parser import Binding, parse_stream

from worker.errors import SettingsError
from worker.settings.files import SettingsFile, too_long

_READ_DIFFERENTLY: Final = {"'": "'\\", '"': '"$\\`', "": "\"'$\\# \t"}
"""By the quote that a value is written in: the characters that the readers disagree about."""
_OF_COMPOSE: Final = ("POSTGRES_PASSWORD",)
"""What the compose file takes from there beside our own variables."""
_LONGEST: Final = 256 * 1024
"""Characters of a ``.env``."""
MOST_BLANKS: Final = 1000
_MANY_BLANKS: Final = re.compile(rf"[^\S\r\n]{{{MOST_BLANKS}}}")
_IN_QUOTES: Final = re.compile(r"(['\"])((?:(?!\1).)+)\1", re.DOTALL)
_QUOTED: Final = "Write NAME='value' on one line, with both quotes."


def read_env_file(file: SettingsFile, prefix: str) -> tuple[Mapping[str, str], list[str]]:
    """The variables with this prefix, and a warning for each line that others read otherwise.

    A value is taken as it stands: a "${" in a secret is no reference to another variable.
    Raises SettingsError for a line that cannot be read and may be one of ours, and for a file that
    would take long to read.
    """
    _require_quick(file)
    ours = (prefix, *_OF_COMPOSE)
    values, warnings = {}, []
    for line in parse_stream(StringIO(file.text)):
        place = f"{file.path}, line {_number(line)}"
        if line.error:
            if any(name in line.original.string for name in ours):
                raise SettingsError(f"{place}, cannot be read.", _QUOTED)
            warnings.append(f"{place}, cannot be read and is ignored. {_QUOTED}")
        elif (line.key or "").startswith(ours) and _is_ambiguous(line):
            warnings.append(
                f"{line.key} ({place}) is another value for docker compose or honcho. "
                "Put it in single quotes, with nothing before the name."
            )
        if line.key and line.key.startswith(prefix) and line.value is not None:
            values[line.key] = line.value
    return values, warnings


def _require_quick(file: SettingsFile) -> None:
    """The parser takes a while for each line, and the square of the blanks in a row."""
    if len(file.text) > _LONGEST:
        raise too_long(file.path, _LONGEST)
    if blanks := _MANY_BLANKS.search(file.text):
        line = file.text.count("\n", 0, blanks.start()) + 1
        raise SettingsError(
            f"{file.path}, line {line}, is not read: it has {MOST_BLANKS:,} blanks in a row.",
            "Take them out.",
        )


def _number(line: Binding) -> int:
    """The number of the line, counted from 1; the parser's own may be that of a blank before it."""
    text = line.original.string
    return line.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def without_quotes(environ: Mapping[str, str], prefix: str) -> tuple[Mapping[str, str], list[str]]:
    """The variables with this prefix, without quotes around a whole value; a warning for each.

    `docker run --env-file` hands a quoted value over with its quotes, other than everybody else.
    """
    values, warnings = {}, []
    for name, text in environ.items():
        if not name.startswith(prefix):
            continue
        quoted = _IN_QUOTES.fullmatch(text.strip())
        values[name] = quoted[2] if quoted else text
        if quoted:
            warnings.append(
                f"{name} (environment) came with quotes around it, which were taken off:"
                " `docker run --env-file` leaves them there."
            )
    return values, warnings


def _is_ambiguous(line: Binding) -> bool:
    name, _, written = line.original.string.strip().partition("=")
    quote = written.strip()[:1]
    special = _READ_DIFFERENTLY.get(quote, _READ_DIFFERENTLY[""])
    return name.strip() != line.key or any(char in special for char in line.value or "")
