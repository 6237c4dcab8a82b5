"""`milesync notify`: whether notices reach people."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mappings.errors import MilesyncError
from worker.cli.options import Config, Json
from worker.cli.output import Exit, failure, show
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
    document: dict[str, Any] = {"state": "succeeded"}
    if not sent:
        error = MilesyncError("Not every address took the notice.", "The log says which, and why.")
        said, document = f"{error.message} {error.hint}", failure(error)
    document |= {"addresses": addresses, "sent": sent}
    show(document, lambda out: out.print(said), as_json=as_json)
    return Exit.OK if sent else Exit.FAILED
