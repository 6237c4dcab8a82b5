"""The commands in what people are told. Pure."""

from __future__ import annotations

import re

_COMMAND = re.compile(
    r"`milesync (?:accept|check|failures|history|migrate|plan|retry|runs|status|sync|verify)\b[^`]*"
)


def for_project(text: str, project: int | None) -> str:
    """The text with its commands for one TestRail project, where a command has to name one."""
    if project is None:
        return text
    return _COMMAND.sub(
        lambda found: found[0] if "--project" in found[0] else f"{found[0]} --project {project}",
        text,
    )
