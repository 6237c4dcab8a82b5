"""`milesync demo`: a migration from beginning to end against sandbox servers, in half a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mappings.errors import MilesyncError, as_sentences
from worker.cli import render
from worker.cli.files import write_private
from worker.cli.migration import Migration
from worker.cli.options import Json, NoConfig
from worker.cli.output import Exit, failure, show
from worker.cli.plan import look_at, show_one
from worker.cli.verify import verifications
from worker.facts import words

if TYPE_CHECKING:
    from worker.cli.screen import Console
    from worker.sandbox.server import Sandbox
    from worker.sync.report import RunReport

COUNT = 300
EDITED = 10
A_MINUTE = 1500
"""The rate that the demo's Testably allows; the real one allows 60, and takes 25 times as long."""


def demo(config: NoConfig = None, as_json: Json = False) -> int:  # noqa: ARG001
    """See it work: 300 milestones of a made-up company, in half a minute, without any account.

    Examples:
      milesync demo
    """
    from worker.sandbox.limit import ServerRate
    from worker.sandbox.server import run_sandbox

    folder = Path(tempfile.mkdtemp(prefix="milesync-demo-"))
    with run_sandbox(count=COUNT, rate=ServerRate(A_MINUTE, 60.0), log=False) as sandbox:
        say = _quiet if as_json else _aloud
        demonstration = _Demo(sandbox, folder, say)
        demonstration.play()
    steps = [step.as_json() for step in demonstration.steps]
    error = demonstration.error
    ok = error is None
    ended = {"state": "succeeded"} if error is None else failure(error)
    document = {**ended, "folder": str(folder), "steps": steps}
    show(document, lambda out: _farewell(out, folder, ok), as_json=as_json)
    return Exit.OK if ok else Exit.FAILED


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the demo: whether it went as it should, and its facts."""

    name: str
    ok: bool
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The step in the document."""
        return {
            "step": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            **self.facts,
        }


Tell = Callable[[Callable[["Console"], None]], None]
Act = Callable[[], tuple[bool, dict[str, Any]]]
"""Does one step: whether it went as it should, and its facts."""


def _aloud(what: Callable[[Console], None]) -> None:
    show({}, what, as_json=False)


def _quiet(what: Callable[[Console], None]) -> None:
    """For JSON, where the one document comes at the end."""


class _Demo:
    def __init__(self, sandbox: Sandbox, folder: Path, tell: Tell) -> None:
        self.steps: list[Step] = []
        self.error: MilesyncError | None = None
        self._sandbox = sandbox
        self._folder = folder
        self._tell = tell

    def play(self) -> None:
        from worker.cli.session import deployment_of, start_logging
        from worker.settings import load_settings

        # the demo must not reach what the person's own environment points at
        settings = load_settings(_written(self._folder, self._sandbox), environ={})
        start_logging(settings)
        with deployment_of(settings) as deployment:
            self._deployment = deployment
            for name, says, act in self._acts():
                self._say(f"\n{len(self.steps) + 1}. {says}")
                if not self._step(name, act):
                    break

    def _acts(self) -> list[tuple[str, str, Act]]:
        slower = A_MINUTE // 60
        migrating = (
            f"Migrating {COUNT} milestones at {A_MINUTE} requests a minute. "
            f"(Testably's real limit is 60: there it takes {slower} times as long.)"
        )
        return [
            ("migrate", migrating, self._migrate),
            ("again", "Once more: what is in step is left alone.", self._again),
            ("plan", "People edit TestRail. What would a sync do about it?", self._edit_and_plan),
            ("sync", "Doing that.", self._sync),
            ("verify", "Reading both sides afresh, to prove that they agree.", self._verify),
        ]

    def _step(self, name: str, act: Act) -> bool:
        clock = self._deployment.clock
        started = clock.monotonic()
        try:
            ok, facts = act()
        except MilesyncError as error:
            ok, facts, self.error = False, {"error": error.message}, error
            self._say(f"   {as_sentences(error.message, error.hint)}")
        self.steps.append(Step(name, ok, clock.monotonic() - started, facts))
        self._say("   As it should be." if ok else "   This is not as it should be.")
        if not ok and self.error is None:
            self.error = MilesyncError(f"The step {name} did not end as it should.")
        return ok

    def _say(self, text: str) -> None:
        self._tell(lambda out: out.print(text))

    # --- the steps

    def _migrate(self) -> tuple[bool, dict[str, Any]]:
        report = self._run(by_person=True)
        return report.counts.get("created") == COUNT, _facts(report)

    def _again(self) -> tuple[bool, dict[str, Any]]:
        report = self._run(by_person=True)
        return report.counts.get("unchanged") == COUNT, _facts(report)

    def _edit_and_plan(self) -> tuple[bool, dict[str, Any]]:
        from worker.sandbox.seed import edit_some
        from worker.sync.options import Options, Trigger

        edited = edit_some(self._sandbox.testrail.model, 1, EDITED)
        settings = self._deployment.settings
        looked = look_at(self._deployment, settings.projects, Options(Trigger.MIGRATION))
        [identity], [result] = looked.identities, looked.results
        if isinstance(result, MilesyncError):
            raise result
        self._tell(lambda out: show_one(out, identity, result, self._deployment))
        changes = [action.testrail_id for action in result.plan.changes]
        return 0 < len(changes) <= EDITED and set(changes) <= set(edited), {"changes": changes}

    def _sync(self) -> tuple[bool, dict[str, Any]]:
        report = self._run(by_person=False)
        counts = report.counts
        return 0 < counts.get("updated", 0) + counts.get("created", 0) <= EDITED, _facts(report)

    def _verify(self) -> tuple[bool, dict[str, Any]]:
        [verdict] = verifications(self._deployment, self._deployment.settings.projects)
        if isinstance(verdict, MilesyncError):
            raise verdict
        self._say(f"   {verdict.compared} milestones compared, field by field.")
        return verdict.in_step, verdict.as_json()

    def _run(self, *, by_person: bool) -> RunReport:
        from worker.sync.options import Options, Trigger
        from worker.sync.report import State

        options = Options(Trigger.MIGRATION if by_person else Trigger.MANUAL)
        pairs = self._deployment.settings.projects
        with Migration(self._deployment, pairs, options) as migration:
            migration.one_by_one()
        [report] = migration.reports
        self._tell(lambda out: render.show_run(out, report))
        if report.error is not None:
            raise report.error
        if report.state is not State.SUCCEEDED:
            raise MilesyncError(f"The run ended as {words.run_state(report.state.value)}.")
        return report


def _facts(report: RunReport) -> dict[str, Any]:
    return {"report": report.as_json()}


def _written(folder: Path, sandbox: Sandbox) -> Path:
    """The settings for the sandbox as files, which can be used and read afterwards."""
    lines = {**sandbox.settings, "MILESYNC_TESTABLY_RATE_LIMIT": f"{A_MINUTE}/60s"}
    lines |= {"MILESYNC_TESTRAIL_RATE_LIMIT": f"{A_MINUTE}/60s", "MILESYNC_LOG_LEVEL": "warning"}
    write_private(folder / ".env", "".join(f"{name}={value}\n" for name, value in lines.items()))
    file = folder / "milesync.toml"
    write_private(file, 'database_url = "sqlite:///milesync.db"\n')
    return file


def _farewell(out: Console, folder: Path, ok: bool) -> None:
    out.print("\nThat was all." if ok else "\nThe demo ended early.")
    out.print(f"Settings and database are in {folder}; the servers have ended. To look around:")
    for command in ("runs", "mappings", "history 1"):
        out.print(f"  milesync {command} --config {folder}/milesync.toml")
    out.print("For your own: `milesync init`, then `milesync check` and `milesync plan`.")
