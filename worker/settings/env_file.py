"""The ``.env`` beside the settings, which docker compose and honcho read as well.

The three agree on a plain value and on one in single quotes. Elsewhere they differ: honcho drops
blanks that are not in quotes and ends a value at any ``#``, compose replaces ``$NAME``, and each
has rules of its own for backslashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv.parser import Binding, parse_stream

_READ_DIFFERENTLY: Final = {"'": "'\\", '"': '"$\\`', "": "\"'$\\# \t"}
"""By the quote that a value is written in: the characters that the readers disagree about."""
_OF_COMPOSE: Final = ("POSTGRES_PASSWORD",)
"""What the compose file takes from there beside our own variables."""


def read_env_file(file: Path, prefix: str) -> tuple[Mapping[str, str], list[str]]:
    """The variables with this prefix, and a warning for each line that others read otherwise.

    A value is taken as it stands: a "${" in a secret is no reference to another variable. Without
    the file there are none. Raises OSError, UnicodeDecodeError.
    """
    if not file.is_file():
        return {}, []
    with file.open(encoding="utf-8-sig") as text:
        lines = list(parse_stream(text))
    values, warnings = {}, []
    for line in lines:
        place = f"{file}, line {line.original.line}"
        if line.error:
            warnings.append(f"{place}, cannot be read and is ignored. Put the value in quotes.")
        elif (line.key or "").startswith((prefix, *_OF_COMPOSE)) and _is_ambiguous(line):
            warnings.append(
                f"{line.key} ({place}) is another value for docker compose or honcho. "
                "Put it in single quotes, with nothing before the name."
            )
        if line.key and line.key.startswith(prefix) and line.value is not None:
            values[line.key] = line.value
    return values, warnings


def _is_ambiguous(line: Binding) -> bool:
    name, _, written = line.original.string.strip().partition("=")
    quote = written.strip()[:1]
    special = _READ_DIFFERENTLY.get(quote, _READ_DIFFERENTLY[""])
    return name.strip() != line.key or any(char in special for char in line.value or "")
