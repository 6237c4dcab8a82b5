"""The web process, ``python -m worker.web``: webhook intake, health, metrics, status pages.

Another server can run `app`; it then has to bound its connections itself. With uvicorn:
``uvicorn worker.web:app --http worker.web.connections:BoundedProtocol --ws none
--no-server-header``.

``connections``  how long a caller may take, and how many there may be
``edge``         which callers get to an endpoint, and the headers of every answer
``service``      the parts that the endpoints share, opened at the first request
``intake``       POST /webhooks/testrail
``hook``         what one call says, as values
``health``       /healthz and /readyz
``metrics``      /metrics
``pages``        / and all that people read
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from worker.bootstrap import require_usable_store
from worker.say import starting
from worker.settings import Settings
from worker.tasks import process_settings
from worker.web import health, intake, metrics, pages
from worker.web.edge import Edge
from worker.web.service import Service


def create_app(read_settings: Callable[[], Settings] = process_settings) -> Starlette:
    """The ASGI application. Its settings are read at startup, or with the first request."""
    service = Service(read_settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.set_up_logging()
        yield
        service.close()

    routes = [
        Route("/webhooks/testrail", intake.receive, methods=["POST"]),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", metrics.show),
        *pages.ROUTES,
    ]
    made = Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={404: pages.frame.not_found}
    )
    made.router.redirect_slashes = False  # it would redirect to whatever host the caller named
    # around all of Starlette's own, whose answer to an error needs the headers as well
    made.middleware_stack = Edge(made.build_middleware_stack(), service)
    made.state.service = service
    return made


app: Starlette
"""The application of this process, for an ASGI server."""


def __getattr__(name: str) -> Starlette:
    """Makes `app` when a server asks for it, and ends the process if it cannot serve."""
    if name != "app":
        raise AttributeError(name)
    with starting():
        process_settings().web.require_strong_secrets()
        require_usable_store(process_settings())
    made = create_app()
    globals()["app"] = made
    return made
