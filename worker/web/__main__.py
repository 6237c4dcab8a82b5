"""``python -m worker.web``: the web process, where MILESYNC_LISTEN says."""

import uvicorn

from worker.tasks import process_settings


def main() -> None:
    """Serve until SIGTERM or an interrupt; wrong settings end it with code 2."""
    from worker.web import app

    listen = process_settings().web.listen
    uvicorn.run(app, host=listen.host, port=listen.port, access_log=False, log_config=None)


if __name__ == "__main__":
    main()
