"""`milesync sandbox`: a TestRail-style and a Testably-style server to try things out on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.options import Json, NoConfig
from worker.cli.output import Exit, show
from worker.cli.signals import EndedBySignal, ending, exit_code
from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.cli.screen import Console
    from worker.sandbox.server import Sandbox

Host = Annotated[str, typer.Option("--host", help="The address to listen on.")]
TestRailPort = Annotated[int, typer.Option("--testrail-port", min=0, max=65535)]
TestablyPort = Annotated[int, typer.Option("--testably-port", min=0, max=65535)]
Count = Annotated[int, typer.Option("--count", min=0, help="How many milestones TestRail has.")]
Switch = Annotated[
    list[str] | None,
    typer.Option("--switch", help="NAME=VALUE: behave otherwise, as instances may; repeatable."),
]
Limit = Annotated[int, typer.Option("--rate", min=1, help="Requests a minute at Testably.")]


def sandbox(
    host: Host = "127.0.0.1",
    testrail_port: TestRailPort = 8081,
    testably_port: TestablyPort = 8082,
    count: Count = 300,
    rate: Limit = 60,
    switch: Switch = None,
    config: NoConfig = None,  # noqa: ARG001 - all commands take it
    as_json: Json = False,
) -> int:
    """Run both servers until Ctrl-C, and print the settings that reach them."""
    from worker.sandbox.limit import ServerRate
    from worker.sandbox.server import serve
    from worker.sandbox.switches import parse_switches

    def announce(running: Sandbox) -> None:
        document = {"state": "running", "settings": dict(running.settings)}
        show(document, lambda out: _show(out, running), as_json=as_json)

    limit = ServerRate(rate, 60.0)
    try:
        switches = parse_switches(switch or ())
    except ValueError as error:
        raise UsageError(str(error), "`worker/sandbox/switches.py` explains each.") from None
    try:
        serve(
            host,
            testrail_port,
            testably_port,
            announce=announce,
            until=ending.wait,
            count=count,
            rate=limit,
            switches=switches,
        )
    except OSError as error:
        hint = "Choose other ones with --testrail-port and --testably-port; 0 is any free one."
        raise UsageError(f"The servers cannot listen: {error.strerror}.", hint) from None
    except EndedBySignal as ended:
        # the usual way to end it, and its document is printed already
        sys.stderr.write("\n")
        return exit_code(ended)
    return Exit.OK


def _show(out: Console, running: Sandbox) -> None:
    out.print(f"TestRail-style server: {running.testrail.url}")
    out.print(f"Testably-style server: {running.testably.url}")
    out.print("\nTo use them, paste this into another terminal (or, without export, a .env):\n")
    for name, value in running.settings.items():
        out.print(f"export {name}={value}")
    out.print("\nCtrl-C ends both; nothing is kept.")
