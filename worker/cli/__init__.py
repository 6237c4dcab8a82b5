"""The commands. `worker.cli.app` lists them; each is a plain function in one of the modules here.

app        the table of commands, and ``main``: from arguments to an exit code
options    the options that several commands take
session    settings, logging and database of one command
signals    how SIGINT, SIGTERM and SIGHUP end a command
output     what goes to stdout and stderr; exit codes
streams    standard output and error that are closed or full
render     results as tables for people
progress   how far a run is
pair_run   one pair's part of a command
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

from worker.cli.signals import ending
from worker.cli.streams import open_closed

__all__ = ["main"]

_FEW_COLLECTIONS = 50_000
"""Objects made between two looks for garbage. The usual 700 cost a seventh of a short command,
most of it while modules are imported, which leave no garbage."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments (without the program's name) ask for: its exit code."""
    gc.set_threshold(_FEW_COLLECTIONS)
    open_closed()
    with ending.caught():
        # only now, so that a signal during the imports is noted too
        from worker.cli.app import main as run

        code = run(argv)
    if argv is None:
        gc.freeze()  # the process ends: what it holds need not be searched for garbage once more
    return code
