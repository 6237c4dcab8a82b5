"""Every mouth that says whether a pair is in step, asked over the real commands and HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.testclient import TestClient

from tests.cli.conftest import Milesync
from worker.bootstrap import Deployment
from worker.sandbox.http_server import SandboxServer
from worker.sandbox.rules import Record
from worker.sandbox.server import Sandbox
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.settings import load_settings
from worker.web import create_app

PROJECT = "proj_abc123"
MAY = 1_777_593_600
JUNE = 1_780_272_000
"""Midnight in UTC of the first day of the month, 2026."""


@dataclass
class Stage:
    """One pair of sandbox servers with the commands that run against them."""

    sandbox: Sandbox
    milesync: Milesync
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def rail(self) -> TestRailModel:
        return self.sandbox.testrail.model

    @property
    def ably(self) -> TestablyModel:
        return self.sandbox.testably.model

    @property
    def server(self) -> SandboxServer[TestablyModel]:
        return self.sandbox.testably

    @property
    def writes(self) -> int:
        """How many requests could have changed something in Testably."""
        return self.server.count("POST") + self.server.count("PATCH")

    def add(self, name: str, parent: int | None = None, **more: object) -> int:
        """A new TestRail milestone with a start and a due date; its id."""
        done = more.pop("is_completed", False)
        body: Record = {"name": name, "parent_id": parent, "start_on": MAY, "due_on": JUNE, **more}
        made = int(str(self.rail.add(1, body)["id"]))
        if done:
            self.rail.update(made, {"is_completed": True})
        return made

    def target_of(self, testrail_id: int) -> str:
        """The id in Testably that milesync has linked to a milestone."""
        [project] = self.milesync("mappings", "--json").json["projects"]
        found = {one["testrail_id"]: one["testably_id"] for one in project["links"]}
        return str(found[testrail_id])

    def edit(self, testrail_id: int, body: Record) -> None:
        """What a person writes in Testably."""
        self.ably.update(PROJECT, self.target_of(testrail_id), body)

    def migrate(self, *more: str, code: int = 0) -> Any:
        """A migration that is expected to end so; its object of the one project."""
        ended = self.milesync("migrate", "--yes", "--json", *more)
        assert ended.code == code, ended.out + ended.err
        return ended.json["projects"][0]


@dataclass(frozen=True)
class Said:
    """What each mouth says of the one pair; True is in step."""

    verify: bool
    verify_exit: int
    status: bool | None
    needs: int
    held: int
    failures: list[dict[str, Any]]
    accepted: list[dict[str, Any]]
    page: str
    metrics: dict[str, float]
    differences: list[dict[str, Any]]

    @classmethod
    def by(cls, stage: Stage) -> Said:
        """Ask them all; `verify` comes last, since it may note what it found."""
        listed = stage.milesync("failures", "--json").json["projects"][0]
        status = stage.milesync("status", "--json").json["projects"][0]
        page, metrics = _web()
        verified = stage.milesync("verify", "--json")
        return cls(
            verified.json["in_step"],
            verified.code,
            status["in_step"],
            status["needs_a_person"],
            status["held"],
            listed["failures"],
            listed["accepted"],
            page,
            metrics,
            verified.json["projects"][0]["differences"],
        )

    def agrees_on(self, *, in_step: bool) -> Iterator[str]:
        """Each mouth that says otherwise, in words."""
        number = float(in_step)
        shown = "In step." if in_step else "Not in step."
        checks = {
            "verify": self.verify is in_step,
            "verify's exit code": self.verify_exit == (0 if in_step else 3),
            "status": self.status is in_step,
            "status counts what needs a person": self.needs == len(self.failures),
            "failures": (not self.failures) is in_step,
            "the page": shown in self.page and ("Not in step." in self.page) is not in_step,
            "the metric": self.metrics.get("milesync_pair_in_step") == number,
            "the metric of what needs a person": self.metrics["milesync_pair_needs_a_person"]
            == len(self.failures),
            "the metric of what is held": self.metrics["milesync_pair_held"] == self.held,
            "the metric of what is accepted": self.metrics["milesync_pair_accepted"]
            == len(self.accepted),
        }
        return (name for name, holds in checks.items() if not holds)


def _web() -> tuple[str, dict[str, float]]:
    """The status page's text, and the metrics of the pair that have no further label."""
    app = create_app(load_settings)
    try:
        web = TestClient(app, "http://localhost", client=("127.0.0.1", 50000))
        page, metrics = web.get("/").text, web.get("/metrics").text
    finally:
        app.state.service.close()
    found = re.findall(r'^(milesync_pair_\w+)\{pair="[^"]*"\} (\S+)$', metrics, re.MULTILINE)
    return page, {name: float(value) for name, value in found}


def proved_at() -> Any:
    """When the one pair was last proved in step, to the microsecond; None if never."""
    with Deployment(load_settings()) as deployment:
        return next((pair.proved_at for pair in deployment.store.all_pairs()), None)
