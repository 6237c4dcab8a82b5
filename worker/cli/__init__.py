"""The commands. `worker.cli.app` lists them; each is a plain function in one of the modules here.

app        the table of commands, and ``main``: from arguments to an exit code
options    the options that several commands take
session    settings, logging and database of one command
output     what goes to stdout and stderr; exit codes
render     results as tables for people
progress   how far a run is
pair_run   one pair's part of a command
"""

from worker.cli.app import main

__all__ = ["main"]
