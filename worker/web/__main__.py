"""``python -m worker.web``: the web process, where MILESYNC_LISTEN says."""

import sys

import uvicorn

from worker.listening import CannotListen, require_free
from worker.say import say_error
from worker.tasks import process_settings
from worker.web.connections import BoundedProtocol, backlog


def main() -> int:
    """Serve until SIGTERM or an interrupt; 2 for wrong settings, 1 where it cannot listen."""
    from worker.web import app

    listen = process_settings().web.listen
    try:
        require_free(listen)
    except CannotListen as error:
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


if __name__ == "__main__":
    sys.exit(main())
