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


def read_env_file(file: Path, prefix: str) -> tuple[Mapping[str, str], list[str]]:
    """The variables with this prefix, and a warning for each that others read as another value.

    A value is taken as it stands: a "${" in a secret is no reference to another variable. Without
    the file there are none. Raises OSError, UnicodeDecodeError.
    """
    if not file.is_file():
        return {}, []
    with file.open(encoding="utf-8-sig") as lines:
        found = [line for line in parse_stream(lines) if (line.key or "").startswith(prefix)]
    return (
        {str(line.key): line.value for line in found if line.value is not None},
        [_warning(line, file) for line in found if _is_ambiguous(line)],
    )


def _is_ambiguous(line: Binding) -> bool:
    name, _, written = line.original.string.strip().partition("=")
    quote = written.strip()[:1]
    special = _READ_DIFFERENTLY.get(quote, _READ_DIFFERENTLY[""])
    return name.strip() != line.key or any(char in special for char in line.value or "")


def _warning(line: Binding, file: Path) -> str:
    return (
        f"{line.key} ({file}, line {line.original.line}) is another value for docker compose or "
        "honcho. Put it in single quotes, with nothing before the name."
    )
