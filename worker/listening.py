"""The address of the web process: whether it is free, and whether somebody answers there."""

from __future__ import annotations

import socket
from typing import Final

from mappings.errors import MilesyncError
from worker.settings.values import Listen

_PATIENCE: Final = 1.0
"""Seconds for one connection to this very machine."""


class CannotListen(MilesyncError):
    """The address is somebody else's, or none of this machine's."""

    kind = "listen"
    default_hint = "End what listens there, or set MILESYNC_LISTEN to another address."


def require_free(listen: Listen) -> None:
    """Raises CannotListen if nothing can listen at the address now."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise CannotListen(f"Nothing can listen at {listen}: {why}.") from error


def is_answered(listen: Listen) -> bool:
    """Whether somebody listens at the address; at any free one nobody can tell, and so it is."""
    if listen.port == 0:
        return True
    try:
        socket.create_connection((listen.host, listen.port), _PATIENCE).close()
    except OSError:
        return False
    return True
