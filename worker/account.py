"""The account that runs this process: who it was that wanted a run."""

from __future__ import annotations

import getpass
import os


def account() -> str:
    """Its name; in a container it may have a number alone."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"account {os.getuid()}"
