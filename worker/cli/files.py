"""The files that a command writes: for their owner only, never through a link, whole or not."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from worker.errors import UsageError

_ELSEWHERE: Final = "Name a file in a folder where this account may write."
_HINTS: Final[Mapping[int, str]] = {
    errno.ELOOP: "Name the file that the link leads to, or remove the link.",
    errno.EINVAL: "Name a file that is not there, or a plain one.",
    errno.ENOENT: "Make its folder first.",
    errno.ENOTDIR: "Name a file in a folder.",
    errno.ENOSPC: "Make room there, or name a file elsewhere.",
    errno.EDQUOT: "Make room there, or name a file elsewhere.",
    errno.ENAMETOOLONG: "Give it a shorter name.",
}


def require_writable(file: Path, what: str, endings: Sequence[str]) -> None:
    """Raises UsageError, before anything else is done, if `write_private` could not write it.

    So it does for a file whose ending does not say in which form to write ``what`` is asked for.
    """
    if file.suffix.lower() not in endings:
        ways = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise UsageError(f"{file}: the name of {what} ends in {ways}, which says its form.")
    try:
        with _beside(file):
            pass
    except OSError as error:
        raise cannot_be_written(file, error) from None


def cannot_be_written(file: Path, error: OSError) -> UsageError:
    """The error that a person reads, with what to do about its cause."""
    message = f"{file} cannot be written: {error.strerror or error}."
    return UsageError(message, _HINTS.get(error.errno or 0, _ELSEWHERE))


def write_private(file: Path, text: str) -> None:
    """Write the file, or put it in the place of the one that is there. Raises OSError."""
    with _beside(file) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        part.replace(file)


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """A new file in the same folder, which only its owner can read; gone afterwards."""
    _require_plain(file)
    handle, name = tempfile.mkstemp(prefix=".milesync-", dir=file.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _require_plain(file: Path) -> None:
    """Raises OSError for what must not be replaced: a link, a folder, a device."""
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "It is a link")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is no plain file")
