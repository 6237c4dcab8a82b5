"""Both tools in memory, a database file and a clock: a whole pair to run again and again."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from mappings.dates import moment_of
from mappings.footer import marked_id
from mappings.link import Link
from mappings.milestone import MappingRules, TargetMilestone, Values
from mappings.rows import Change, Pair, PairIdentity
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import FakeClock
from tests.support.in_memory import InMemorySource, InMemoryTarget
from tests.support.mortal import Boundaries, MortalRunLog, MortalStore
from worker.sandbox.faults import Fault, Faults
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sandbox.testably_model import TestablyModel
from worker.sandbox.testrail_model import TestRailModel
from worker.sync.context import PairContext, PlannedRun, preview
from worker.sync.options import Options, Policy, RunMode, Trigger
from worker.sync.ports import NO_TARGET_KNOWN, SourceListing, TargetListing
from worker.sync.read.answers import Answers
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport
from worker.sync.run import run_pair

NEVER = 3600.0
"""Seconds between two heartbeats: a thread of its own would make the boundaries come anyhow."""
PROJECT = "proj_abc123"
URL = "https://example.testrail.io"
IDENTITY = PairIdentity(URL, 1, "https://api.testably.app", PROJECT)


class Recorder:
    """Writes down every request before it may fail."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda _method, _what: None

    def __call__(self, method: str, what: str) -> Fault | None:
        self.requests.append((method, what))
        self.before(method, what)
        return self.faults(method, what)

    def count(self, method: str = "", contains: str = "") -> int:
        """How many requests of this method had this text in their address."""
        return sum(method in (m, "") and contains in what for m, what in self.requests)

    @property
    def writes(self) -> dict[str, int]:
        """How many requests there were of each writing method."""
        return dict(Counter(method for method, _ in self.requests if method != "GET"))


class Source(InMemorySource):
    """A source whose list may come incomplete."""

    incomplete = False

    def read_project(self, project_id: int, **how: Any) -> SourceListing:
        listing = super().read_project(project_id, **how)
        if not self.incomplete:
            return listing
        return replace(listing, complete=False, incomplete_because="A page was missing.")

    def repeats(self, digests: Mapping[str, str]) -> bool:
        return not self.incomplete and super().repeats(digests)


class Target(InMemoryTarget):
    """A target whose lists may come incomplete, and that may act between request and answer."""

    incomplete = False
    after: Callable[[str], None] = staticmethod(lambda _method: None)

    def list_all(
        self,
        project_id: str,
        status: str | None = None,
        known: Mapping[str, str] = NO_TARGET_KNOWN,
    ) -> TargetListing:
        listing = super().list_all(project_id, status, known)
        return replace(listing, complete=False) if self.incomplete else listing

    def repeats(self, digests: Mapping[str, str]) -> bool:
        return not self.incomplete and super().repeats(digests)

    def create(self, project_id: str, values: Values, parent_id: str | None) -> TargetMilestone:
        made = super().create(project_id, values, parent_id)
        self.after("POST")
        return made

    def update(self, project_id: str, milestone_id: str, values: Values) -> TargetMilestone:
        changed = super().update(project_id, milestone_id, values)
        self.after("PATCH")
        return changed


@dataclass
class World:
    """One project pair. ``to_rail`` and ``to_ably`` hold the requests of the last run."""

    engine: Engine
    clock: FakeClock = field(default_factory=FakeClock)
    policy: Policy = field(default_factory=Policy)
    rules: MappingRules = field(default_factory=lambda: MappingRules(URL))
    drift_check: timedelta | None = timedelta(hours=1)

    def __post_init__(self) -> None:
        self.rail = TestRailModel(clock=self.clock, url=URL, ids=itertools.count(1))
        self.ably = TestablyModel([PROJECT], clock=self.clock)
        self.to_rail, self.to_ably = Recorder(), Recorder()
        self.answers = Answers()
        self.source = Source(self.rail, self.to_rail, self.answers)
        self.target = Target(self.ably, self.clock, self.to_ably, answers=self.answers)
        self.store = Store(self.engine)
        self.identity = IDENTITY

    # --- the outside

    def behave(
        self, rail: TestRailSwitches | None = None, ably: TestablySwitches | None = None
    ) -> None:
        """Set what the documents leave open."""
        self.rail.switches = rail or self.rail.switches
        self.ably.switches = ably or self.ably.switches

    def add(self, name: str, parent: int | None = None, **more: Any) -> int:
        """A new TestRail milestone; its id. ``is_completed`` may be among ``more``."""
        later = {name: more.pop(name) for name in ("is_completed", "is_started") if name in more}
        body = {"name": name, "parent_id": parent, "start_on": 1_772_323_200, **more}
        made = self.rail.add(1, body)["id"]
        assert isinstance(made, int)
        if later:
            self.rail.update(made, later)
        return made

    def edit(self, testrail_id: int, **fields: Any) -> None:
        """Change a TestRail milestone."""
        self.rail.update(testrail_id, fields)

    def edit_target(self, testrail_id: int, **fields: Any) -> None:
        """Change a milestone in Testably, as a person would, a while later."""
        self.clock.sleep(60)
        self.ably.update(PROJECT, self.id_of(testrail_id), fields)

    # --- runs

    def context(self) -> PairContext:
        return PairContext(
            self.identity,
            self.rules,
            self.policy,
            self.source,
            self.target,
            self.store,
            RunLog(self.engine),
            self.clock,
            "a test",
            self.drift_check,
            answers=self.answers,
        )

    def mortal(self, point: Boundaries) -> PairContext:
        """A process that can die at each of its writes to Testably and at each commit."""

        def before(method: str, _what: str) -> None:
            if method != "GET":
                point(f"before {method}")

        target = Target(self.ably, self.clock, before)
        target.after = lambda method: point(f"after {method}")
        return replace(
            self.context(),
            target=target,
            store=MortalStore(self.engine, point),
            runs=MortalRunLog(self.engine, point),
            heartbeat_every=NEVER,
        )

    def run(
        self, trigger: Trigger = Trigger.MANUAL, scope: Scope | None = None, **options: Any
    ) -> RunReport:
        """One run, a minute after whatever was before."""
        self._forget_requests()
        mode = RunMode(exclusive=trigger is not Trigger.WEBHOOK)
        return run_pair(self.context(), Options(trigger=trigger, **options), scope, mode=mode)

    def preview(self, **options: Any) -> PlannedRun:
        """The dry run."""
        self._forget_requests()
        return preview(self.context(), Options(**options))

    def _forget_requests(self) -> None:
        self.clock.sleep(60)
        self.to_rail.requests.clear()
        self.to_ably.requests.clear()

    # --- what has come of it

    @property
    def pair(self) -> Pair:
        return self.store.pair(self.identity)

    @property
    def links(self) -> dict[int, Link]:
        return self.store.links(self.pair.id)

    @property
    def changes(self) -> list[Change]:
        return self.store.journal.changes(self.pair.id)

    def id_of(self, testrail_id: int) -> str:
        """The Testably id that a TestRail milestone is linked to."""
        found = self.links[testrail_id].testably_id
        assert found is not None
        return found

    def in_target(self, testrail_id: int) -> Record:
        """The one living target milestone that carries this id's marker."""
        (found,) = self.marked().get(testrail_id, []) or [{}]
        return found

    def marked(self) -> dict[int, list[Record]]:
        """The living target milestones by the TestRail id in their marker."""
        found: dict[int, list[Record]] = {}
        for row in self.ably.live(PROJECT):
            testrail_id = marked_id(str(row["description"]), URL)
            if testrail_id is not None:
                found.setdefault(testrail_id, []).append(row)
        return found

    def differences(self) -> list[str]:
        """Where the target is not what TestRail says, read without any of the code under test.

        Statuses and dates of parents are Testably's own and not compared.
        """
        marked = self.marked()
        rows = {row["id"]: row for row in self.rail.everything(1)}
        parents = {row["parent_id"] for row in rows.values()}
        wrong = [f"extra {id_}" for id_ in marked if id_ not in rows]
        for id_, row in rows.items():
            found = marked.get(id_, [])  # type: ignore[call-overload]
            if len(found) != 1:
                wrong.append(f"{id_}: {len(found)} targets")
                continue
            wrong += [
                f"{id_} {name}: {is_} instead of {should}"
                for name, should, is_ in self._compared(row, found[0], id_ in parents)
                if should != is_
            ]
        return wrong

    def _compared(
        self, row: Record, found: Record, is_parent: bool
    ) -> list[tuple[str, object, object]]:
        above = row["parent_id"]
        parent = self.in_target(above)["id"] if isinstance(above, int) else None
        pairs: list[tuple[str, object, object]] = [
            ("name", str(row["name"]).strip(), str(found["name"]).strip()),
            ("parent", parent, found.get("parent_id", found.get("parent_milestone_id"))),
        ]
        text = str(found["description"]).partition(f"---\nTestRail: {URL}")[0].strip()
        pairs.append(("description", str(row["description"] or "").strip(), text))
        if not is_parent:
            done = "completed" if row["is_completed"] else "active"
            open_words = {"upcoming": "active", "started": "active", "past_due": "active"}
            status = str(found["status"])
            pairs.append(("status", done, open_words.get(status, status)))
            pairs += [
                (name, _day(stamp), str(found[name])[:10] if found[name] else None)
                for name, stamp in (
                    ("start_date", _start(row)),
                    ("due_date", row["due_on"]),
                )
            ]
        return pairs


def _start(row: Record) -> object:
    """What was planned, or when it was started: where it is started, the earlier of both."""
    both = [stamp for name in ("start_on", "started_on") if isinstance(stamp := row[name], int)]
    return min(both) if len(both) == 2 and row["is_started"] else next(iter(both), None)


def _day(stamp: object) -> str | None:
    return moment_of(stamp)[:10] if isinstance(stamp, int) else None
