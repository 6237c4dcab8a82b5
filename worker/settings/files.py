"""Reading a file of settings, and who else on the machine may read or write it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from worker.errors import SettingsError

MOST_BYTES: Final = 1024 * 1024
"""Of a file of settings: five thousand pairs, each with options of its own, take less."""
_GROUP: Final = stat.S_IRGRP | stat.S_IWGRP


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file of settings as it was read."""

    path: Path
    text: str
    others_read: bool
    """Whether somebody else than its owner may read it."""

    def warnings(self, secrets: Iterable[SecretStr]) -> list[str]:
        """What to say of it: others may read it, and one of these secrets stands in it."""
        if not self.others_read or not any(one.get_secret_value() in self.text for one in secrets):
            return []
        return [f"{self.path} holds secrets and others may read it: `chmod 600 {self.path}`."]


def read_settings_file(path: Path) -> SettingsFile:
    """The file's text. Raises SettingsError if it cannot be read, or others may write it.

    So it does for one that is too long to be read in a moment.
    """
    try:
        with path.open("rb") as file:
            others = _for_others(os.fstat(file.fileno()))
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror or type(error).__name__}."
        ) from None
    if others & (stat.S_IWGRP | stat.S_IWOTH):
        raise SettingsError(
            f"{path} is not used: others may write it, and could send your credentials anywhere.",
            f"Look at what stands in it, then `chmod 600 {path}`.",
        )
    if len(content) > MOST_BYTES:
        raise too_long(path, MOST_BYTES)
    return SettingsFile(path, _decoded(content, path), bool(others & (stat.S_IRGRP | stat.S_IROTH)))


def too_long(path: Path, most: int) -> SettingsError:
    """The error for a file of settings that has more bytes than any would."""
    message = f"{path} is not read: it has more than {most // 1024:,} KiB."
    return SettingsError(message, "Look at what stands in it: settings take a few KiB.")


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise SettingsError(
        f"{path}, line {line}, cannot be read: it is not UTF-8.", "Save it in UTF-8."
    )


def _for_others(found: os.stat_result) -> int:
    """The permissions that somebody else has; a group of the owner alone is nobody else."""
    mode = stat.S_IMODE(found.st_mode)
    return mode & ~_GROUP if _is_private(found.st_uid, found.st_gid) else mode


def _is_private(owner: int, group: int) -> bool:
    """Whether a group is the owner's own, by name, as Linux makes one for each user."""
    try:
        named = grp.getgrgid(group)
        user = pwd.getpwuid(owner).pw_name
    except KeyError:  # in a container neither may have a name
        return owner == group
    return named.gr_name == user and set(named.gr_mem) <= {user}
