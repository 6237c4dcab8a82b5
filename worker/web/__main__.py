"""``python -m worker.web``: the web process, where MILESYNC_LISTEN says."""

import uvicorn

from worker.tasks import process_settings
from worker.web.connections import BoundedProtocol, backlog


def main() -> None:
    """Serve until SIGTERM or an interrupt; wrong settings end it with code 2."""
    from worker.web import app

    listen = process_settings().web.listen
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


if __name__ == "__main__":
    main()
