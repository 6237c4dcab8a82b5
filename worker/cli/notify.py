"""`milesync notify`: whether notices reach people."""

from __future__ import annotations

from typing import Annotated

import typer

from worker.cli.options import Config, Json
from worker.cli.output import Exit, show
from worker.cli.session import opened
from worker.errors import UsageError

Test = Annotated[bool, typer.Option("--test", help="Send one notice to every address.")]


def notify(test: Test = False, config: Config = None, as_json: Json = False) -> int:
    """Try the addresses to which notices go (MILESYNC_NOTIFY).

    Examples:
      milesync notify --test
    """
    if not test:
        raise UsageError("Say --test: notices are sent by themselves.", "`milesync notify --test`.")
    from worker.bootstrap import require_usable_addresses

    with opened(config) as deployment:
        addresses = len(deployment.settings.sync.notify)
        if not addresses:
            raise UsageError("MILESYNC_NOTIFY names no address.", "Set it, then try again.")
        require_usable_addresses(deployment.settings)
        sent = deployment.send_test_notice()
    noun = "address" if addresses == 1 else "addresses"
    said = f"One notice was sent to {addresses} {noun}."
    if not sent:
        said = "Not every address took the notice; the log says which, and why."
    show(
        {"state": "succeeded" if sent else "failed", "addresses": addresses, "sent": sent},
        lambda out: out.print(said),
        as_json=as_json,
    )
    return Exit.OK if sent else Exit.FAILED
