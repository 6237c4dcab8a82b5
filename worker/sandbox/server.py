"""The two sandbox servers, one by one for the tests or as a seeded pair for the demo.

with serve_testrail() as testrail, serve_testably() as testably:
    testrail.model.add(1, {"name": "Release 24.3"})
    testably.faults.script("reset_after", method="POST")
    ...
    assert testably.count("POST") == 1
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from worker.clock import Clock
from worker.sandbox.faults import FaultKind, Faults
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.limit import ServerRate
from worker.sandbox.seed import seed as plant_seed
from worker.sandbox.switches import Switches, TestablySwitches, TestRailSwitches
from worker.sandbox.testably_app import DOCUMENTED_RATE, TOKEN, create_testably_app
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_app import API_KEY, USER, create_testrail_app
from worker.sandbox.testrail_model import TestRailModel
from worker.settings.network import clear_text_host

PROJECT_NAME: Final = "Webshop"
"""What the made-up company calls its project, in both tools."""


def serve_testrail(
    model: TestRailModel | None = None,
    *,
    switches: TestRailSwitches | None = None,
    user: str = USER,
    api_key: str = API_KEY,
    subdir: str = "",
    rate: ServerRate | None = None,
    faults: Faults | None = None,
    clock: Clock | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    log: bool = True,
) -> SandboxServer[TestRailModel]:
    """A TestRail-style server, to be entered with ``with``; by default empty, with project 1."""
    model = model or TestRailModel(clock=clock, switches=switches)
    app = create_testrail_app(
        model, user=user, api_key=api_key, subdir=subdir, rate=rate, clock=clock
    )
    return SandboxServer(
        app, model, host=host, port=port, path=subdir, faults=faults, clock=clock, log=log
    )


def serve_testably(
    model: TestablyModel | None = None,
    *,
    switches: TestablySwitches | None = None,
    tokens: Mapping[str, Collection[str] | None] | None = None,
    rate: ServerRate | None = DOCUMENTED_RATE,
    faults: Faults | None = None,
    clock: Clock | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    log: bool = True,
) -> SandboxServer[TestablyModel]:
    """A Testably-style server, to be entered with ``with``; by default empty, with proj_abc123."""
    model = model or TestablyModel(clock=clock, switches=switches)
    app = create_testably_app(model, tokens=tokens, rate=rate, clock=clock)
    return SandboxServer(app, model, host=host, port=port, faults=faults, clock=clock, log=log)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Both servers, running; ``settings`` is how to reach them, as MILESYNC_* variables."""

    testrail: SandboxServer[TestRailModel]
    testably: SandboxServer[TestablyModel]

    @property
    def settings(self) -> Mapping[str, str]:
        project = min(self.testrail.model.projects)
        servers = (self.testrail, self.testably)
        hosts = {host for server in servers if (host := clear_text_host(server.url)) is not None}
        return {
            "MILESYNC_TESTRAIL_URL": self.testrail.url,
            "MILESYNC_TESTRAIL_USER": USER,
            "MILESYNC_TESTRAIL_API_KEY": API_KEY,
            "MILESYNC_TESTABLY_URL": self.testably.url,
            "MILESYNC_TESTABLY_TOKEN": TOKEN,
            "MILESYNC_PROJECTS": f"{project}={min(self.testably.model.projects)}",
            **({"MILESYNC_ALLOW_HTTP": ",".join(sorted(hosts))} if hosts else {}),
        }


@contextmanager
def run_sandbox(
    *,
    host: str = "127.0.0.1",
    testrail_port: int = 0,
    testably_port: int = 0,
    count: int = 300,
    seed: int = 1,
    rate: ServerRate | None = DOCUMENTED_RATE,
    faults: Mapping[str, float] | None = None,
    switches: Switches | None = None,
    log: bool = True,
) -> Iterator[Sandbox]:
    """Both servers, with ``count`` seeded milestones in TestRail project 1 and an empty Testably.

    ``rate`` is Testably's; ``faults`` maps kinds to probabilities, on both sides; ``switches`` are
    how the two behave, TestRail first.
    """
    rail, ably = switches or (None, None)
    rates = {FaultKind(kind): share for kind, share in (faults or {}).items()}
    first, second = Faults(rates, seed=seed), Faults(rates, seed=seed + 1)
    how: dict[str, Any] = {"host": host, "log": log}
    with (
        serve_testrail(port=testrail_port, switches=rail, faults=first, **how) as testrail,
        serve_testably(
            port=testably_port, switches=ably, rate=rate, faults=second, **how
        ) as testably,
    ):
        testrail.model.url = testrail.url
        testrail.model.project_names[1] = PROJECT_NAME
        testably.model.project_names[min(testably.model.projects)] = PROJECT_NAME
        plant_seed(testrail.model, 1, count=count, seed=seed)
        yield Sandbox(testrail, testably)
