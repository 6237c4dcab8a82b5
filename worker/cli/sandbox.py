"""`milesync sandbox`: a TestRail-style and a Testably-style server to try things out on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from worker.cli.options import Json, NoConfig, readable
from worker.cli.output import Exit, show
from worker.cli.signals import EndedBySignal, ending, exit_code
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.cli.screen import Console
    from worker.sandbox.server import Sandbox
    from worker.sandbox.switches import Switches

_DOCUMENTED: Final = 60
"""Requests a minute that the real Testably allows."""

Host = Annotated[
    str,
    typer.Option("--host", metavar="HOST", help="The address to listen on.", callback=readable),
]
TestRailPort = Annotated[
    int,
    typer.Option(
        "--testrail-port", metavar="PORT", min=0, max=65535, help="TestRail's; 0 is any free one."
    ),
]
TestablyPort = Annotated[
    int,
    typer.Option(
        "--testably-port", metavar="PORT", min=0, max=65535, help="Testably's; 0 is any free one."
    ),
]
Count = Annotated[
    int, typer.Option("--count", metavar="N", min=0, help="How many milestones TestRail has.")
]
Switch = Annotated[
    list[str] | None,
    typer.Option(
        "--switch",
        metavar="NAME=VALUE",
        help="Behave otherwise, as instances may; may be given several times.",
    ),
]
Limit = Annotated[
    int, typer.Option("--rate", metavar="N", min=1, help="Requests a minute at Testably.")
]


def sandbox(
    host: Host = "127.0.0.1",
    testrail_port: TestRailPort = 8081,
    testably_port: TestablyPort = 8082,
    count: Count = 300,
    rate: Limit = _DOCUMENTED,
    switch: Switch = None,
    config: NoConfig = None,  # noqa: ARG001 - all commands take it
    as_json: Json = False,
) -> int:
    """Run both servers until Ctrl-C, and print the settings that reach them.

    Examples:
      milesync sandbox
      milesync sandbox --count 31 --rate 3000
      milesync sandbox --switch list_shape=array
    """
    from worker.sandbox.limit import ServerRate
    from worker.sandbox.server import run_sandbox

    both = run_sandbox(
        host=host,
        testrail_port=testrail_port,
        testably_port=testably_port,
        count=count,
        rate=ServerRate(rate, 60.0),
        switches=_switches(switch or ()),
        log=False,
    )
    try:
        with both as running:
            _announce(running, rate, as_json=as_json)
            ending.wait()
    except OSError as error:
        hint = "Choose other ones with --testrail-port and --testably-port; 0 is any free one."
        raise UsageError(f"The servers cannot listen: {error.strerror}.", hint) from None
    except EndedBySignal as ended:  # the usual way to end it; its document is printed already
        sys.stderr.write("\n")
        return exit_code(ended)
    return Exit.OK


def _switches(given: Sequence[str]) -> Switches:
    """How the servers behave. Raises UsageError for a switch that there is not."""
    from worker.sandbox.switches import parse_switches

    try:
        return parse_switches(given)
    except ValueError as error:
        raise UsageError(str(error), "`worker/sandbox/switches.py` explains each.") from None


def _announce(running: Sandbox, rate: int, *, as_json: bool) -> None:
    settings = dict(running.settings)
    if rate != _DOCUMENTED:  # or milesync would keep to what the real one allows
        settings["MILESYNC_TESTABLY_RATE_LIMIT"] = f"{rate}/60s"
    document = {"state": "running", "settings": settings}
    show(document, lambda out: _show(out, running, settings), as_json=as_json)


def _show(out: Console, running: Sandbox, settings: Mapping[str, str]) -> None:
    out.print(f"TestRail-style server: {running.testrail.url}")
    out.print(f"Testably-style server: {running.testably.url}")
    out.print("\nTo use them, paste this into another terminal (or, without export, a .env):\n")
    for name, value in settings.items():
        out.print(f"export {name}={value}")
    out.print("\nCtrl-C ends both; nothing is kept.")
