"""Random lives of creates in doubt: equal sources, targets that store text otherwise, people
who make milestones of the same names meanwhile, and processes that die.
"""

from __future__ import annotations

import contextlib
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mappings.errors import MilesyncError
from mappings.footer import marked_id
from mappings.link import Link
from mappings.milestone import ARCHIVED
from tests.proofs.world import FaultScript, World, Write
from tests.support.mortal import Boundaries, Died
from tests.support.world import IDENTITY, PROJECT, URL
from worker.sandbox.faults import FaultKind
from worker.sandbox.rules import Problem
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Options, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair

DAY = 86_400
MIGRATION = Options(trigger=Trigger.MIGRATION, create_anyway=True, verify=False)
NAMES = st.sampled_from(
    ["Alpha", " Alpha ", "Alpha & Beta", "Alpha 2", "Alpha: a much longer name"]
)
STARTS = st.sampled_from([20_000 * DAY, 20_000 * DAY + 3600])
TEXTS = st.sampled_from([None, "Text", "What this release brings <to> everybody.\n\n" * 3])
FAULTS = st.lists(
    st.sampled_from(
        [
            None,
            FaultKind.SERVER_ERROR,
            FaultKind.SERVER_ERROR_AFTER,
            FaultKind.RESET,
            FaultKind.RESET_AFTER,
            FaultKind.TIMEOUT,
            FaultKind.TIMEOUT_AFTER,
            FaultKind.REDIRECT_AFTER,
            FaultKind.LATE,
            FaultKind.CUT_BODY,
        ]
    ),
    max_size=6,
)
READ_FAULTS = st.lists(st.sampled_from([None, None, None, FaultKind.SERVER_ERROR]), max_size=6)
TESTABLY = st.builds(
    TestablySwitches,
    list_holds_subs=st.booleans(),
    status_lists_hold_subs=st.booleans(),
    list_holds_completed=st.booleans(),
    list_holds_archived=st.booleans(),
    newest_first=st.booleans(),
    listing_delay=st.sampled_from([0.0, 2.0]),
    most_per_page=st.sampled_from([None, 2]),
    total=st.sampled_from(["exact", "missing"]),
    cuts_name_at=st.sampled_from([None, None, 12]),
    cuts_description_at=st.sampled_from([None, None, 60, 10]),
    trims_text=st.booleans(),
    dashes=st.booleans(),
    collapses_blank_lines=st.booleans(),
    paragraphs=st.booleans(),
    html_entities=st.booleans(),
    links_addresses=st.sampled_from(["no", "markdown", "html"]),
    cuts_dates_to_day=st.booleans(),
    echo_differs=st.booleans(),
    unsteady=st.sampled_from([False, False, True]),
    clock_offset=st.sampled_from([0.0, -600.0, 600.0]),
    hides_created_at=st.sampled_from([False, False, True]),
    parent_key=st.sampled_from(["parent_id", "parent_milestone_id", "both"]),
    date_style=st.sampled_from(["Z", ".000Z", "+00:00"]),
)


class CreatesInDoubt(RuleBasedStateMachine):
    """Sources are added, and people make milestones of the same names in Testably."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.handmade: set[str] = set()
        self.asked: set[int] = set()

    @initialize(ably=TESTABLY)
    def begin(self, ably: TestablySwitches) -> None:
        self.world = World(ably=ably)
        self.world.on_write = self._judge_write

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()

    # --- people

    @rule(name=NAMES, start=STARTS, text=TEXTS, below=st.booleans(), count=st.integers(1, 3))
    def add_sources(self, name: str, start: int, text: str | None, below: bool, count: int) -> None:
        """Several that are equal; those below a parent hang below the first one."""
        ids = self.world.source_ids()
        parent = ids[0] if ids and below else None
        body = {"name": name, "start_on": start, "description": text, "parent_id": parent}
        for _ in range(count):
            with contextlib.suppress(Problem):
                self.world.rail.add(1, body)

    @rule(name=NAMES, text=st.sampled_from([None, "By hand"]), below=st.booleans())
    def make_target(self, name: str, text: str | None, below: bool) -> None:
        """A person makes one with the date that the sources have."""
        living = [row for row in self.world.ably.live(PROJECT) if not _parent(row)]
        parent = str(living[0]["id"]) if living and below else None
        body = {"name": name, "start_date": "2024-10-04T00:00:00Z", "parent_id": parent}
        self.world.clock.sleep(1)
        self.handmade.add(self.world.make_target({**body, "description": text}))
        self.world.clock.sleep(1)

    @rule(seconds=st.sampled_from([1, 30, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.sleep(seconds)

    # --- milesync

    @rule(
        writes=FAULTS,
        reads=READ_FAULTS,
        late_by=st.integers(0, 9),
        dies_at=st.none() | st.integers(1, 60),
        dies_late_by=st.none() | st.integers(0, 39),
        meanwhile_at=st.integers(1, 60),
        meanwhile=st.none() | NAMES,
        below=st.booleans(),
    )
    def troubled_run(
        self,
        writes: list[FaultKind | None],
        reads: list[FaultKind | None],
        late_by: int,
        dies_at: int | None,
        dies_late_by: int | None,
        meanwhile_at: int,
        meanwhile: str | None,
        below: bool,
    ) -> None:
        """A migration with faults, beside which a person works, and that may die."""
        point = Boundaries(dies_at)
        if meanwhile is not None:
            point.meanwhile_at = meanwhile_at
            point.meanwhile = lambda: self.make_target(meanwhile, "By hand", below)
        context = self.world.context(
            point=point, faults=FaultScript(writes, reads, late_by), dies_late_by=dies_late_by
        )
        with contextlib.suppress(Died):
            report = run_pair(context, MIGRATION, Scope())
            assert report.error is None or type(report.error) is not MilesyncError, report.error
        self.asked = {id_ for id_, link in self._links().items() if link.awaits_person}

    @rule()
    def decide(self) -> None:
        """A person archives what people made, and says `retry`; then every source arrives."""
        self.world.calm_down()
        for _ in range(3):
            self._put_away()
            report = run_pair(self.world.context(), MIGRATION, Scope())
            assert report.state in (State.SUCCEEDED, State.PARTIAL), report
            self.world.clock.sleep(5)
        links = self._links()
        living = {str(row["id"]) for row in self.world.ably.live(PROJECT)}
        lost = [id_ for id_ in self.world.source_ids() if not self._has_arrived(links, id_, living)]
        assert lost == [], (lost, report.as_json())
        self.asked = set()

    def _put_away(self) -> None:
        living = self.world.ably.live(PROJECT)
        for row in sorted(living, key=lambda row: not _parent(row)):  # sub-milestones first
            if row["id"] in self.handmade:
                self._put_one_away(str(row["id"]))
        for link in self._links().values():
            if link.can_be_retried:
                self.world.store.save(self._pair_id(), link.retried(), self.world.clock.now())
        self.asked = set()

    def _put_one_away(self, id_: str) -> None:
        """Archived, or deleted where its sub-milestones say its status: those are gone by then."""
        try:
            self.world.ably.update(PROJECT, id_, {"status": ARCHIVED})
        except Problem:
            self.world.ably.remove(id_)

    def _has_arrived(self, links: dict[int, Link], id_: int, living: set[str]) -> bool:
        return id_ in links and links[id_].testably_id in living

    # --- what must always hold

    @invariant()
    def never_doubled(self) -> None:
        """No source has two living targets that milesync made."""
        if not hasattr(self, "world"):
            return
        target_of = {id_: k.testably_id for id_, k in self._links().items() if k.testably_id}
        owners: dict[int, list[str]] = {}
        for row in self.world.ably.live(PROJECT):
            id_ = str(row["id"])
            if id_ in self.world.made_by_us:
                owners.setdefault(self._owner(id_, target_of), []).append(id_)
        assert {owner: ids for owner, ids in owners.items() if len(ids) > 1} == {}

    def _owner(self, made: str, target_of: dict[int, str]) -> int:
        """The source whose target it is, or would be: what equal creates left may be exchanged.

        Where its own source was given the target of another one, it stands in for that one's.
        """
        linked = {target: source for source, target in target_of.items()}
        owner, passed = linked.get(made, self.world.made_by_us[made]), set[int]()
        while made not in linked and owner in target_of and owner not in passed:
            passed.add(owner)
            owner = self.world.made_by_us.get(target_of[owner], owner)
        return owner

    @invariant()
    def nothing_that_people_made_is_taken(self) -> None:
        """No link has a target that a person made."""
        if hasattr(self, "world"):
            taken = {k.testably_id for k in self._links().values()} & self.handmade
            assert taken == set()

    def _judge_write(self, write: Write) -> None:
        """Nothing is created while a person has to tell what became of the last create."""
        assert write.testably_id not in self.handmade, f"a person's milestone was changed: {write}"
        if write.method == "POST":
            owner = marked_id(cast("str | None", write.body.get("description")), URL)
            assert owner not in self.asked, f"created, although a person has to decide: {write}"

    # --- small things

    def _links(self) -> dict[int, Link]:
        if self.world.store.find_pair(IDENTITY) is None:
            return {}
        return self.world.store.links(self._pair_id())

    def _pair_id(self) -> int:
        return self.world.store.pair(IDENTITY).id


def _parent(row: dict[str, object]) -> object:
    return row.get("parent_id") or row.get("parent_milestone_id")


def test_a_short_life_of_creates_in_doubt() -> None:
    """What must always hold does, in some dozens of lives."""
    run_state_machine_as_test(
        CreatesInDoubt, settings=settings(max_examples=40, stateful_step_count=12)
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_many_lives_of_creates_in_doubt() -> None:
    """What must always hold does, in thousands of lives."""
    run_state_machine_as_test(
        CreatesInDoubt, settings=settings(max_examples=3000, stateful_step_count=15)
    )
