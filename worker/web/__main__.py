"""``python -m worker.web``: the web process, where MILESYNC_LISTEN says."""

import socket
import sys

import uvicorn

from mappings.errors import MilesyncError
from worker.say import say_error
from worker.settings.values import Listen
from worker.tasks import process_settings
from worker.web.connections import BoundedProtocol, backlog


class CannotListenError(MilesyncError):
    """The address is somebody else's, or none of this machine's."""

    kind = "listen"
    default_hint = "End what listens there, or set MILESYNC_LISTEN to another address."


def main() -> int:
    """Serve until SIGTERM or an interrupt; 2 for wrong settings, 1 where it cannot listen."""
    from worker.web import app

    listen = process_settings().web.listen
    try:
        _require_free(listen)
    except CannotListenError as error:
        say_error(error)
        return 1
    uvicorn.run(
        app,
        host=listen.host,
        port=listen.port,
        http=BoundedProtocol,
        ws="none",
        backlog=backlog(),
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
    )
    return 0


def _require_free(listen: Listen) -> None:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise CannotListenError(f"Nothing can listen at {listen}: {why}.") from error


if __name__ == "__main__":
    sys.exit(main())
