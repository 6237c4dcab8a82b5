"""Random lives of a project pair, with faults, crashes and people, and what must always hold."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import cast
from unittest.mock import patch

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

from mappings.footer import Footer, marked_id, marker_url, with_footer
from mappings.milestone import (
    ARCHIVED,
    COMPLETED,
    DATE_FIELDS,
    FIELDS,
    TargetMilestone,
    same_value,
)
from mappings.problem import WHOLE, Effect
from mappings.rows import Change, ChangeState
from tests.proofs.world import MIGRATION, TIMEOUT, FaultScript, World, Write
from tests.support.lanes import SteppedLanes
from tests.support.mortal import Boundaries, Died
from tests.support.world import IDENTITY, URL
from worker.clients.records import parse_target
from worker.errors import ApiError, MilesyncError
from worker.sandbox.faults import FaultKind
from worker.sandbox.rules import Problem, Record
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sandbox.testably_storage import stored
from worker.sync.context import preview
from worker.sync.options import OnSourceDelete, OnTargetEdit, Options, Policy, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.rebuild import rebuild
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

DAY = 86_400
UNSENT = (ChangeState.NOT_DONE, ChangeState.REFUSED)
NAMES = st.sampled_from(["Alpha", "Beta", " Beta ", "Größe ü", "A name that is much too long"])
DATES = st.sampled_from([None, 20_000 * DAY, 20_500 * DAY, 21_000 * DAY + 3600])
TARGET_DATES = st.sampled_from(["2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z"])
SOURCE_EDITS = st.one_of(
    st.fixed_dictionaries({"name": NAMES}),
    st.fixed_dictionaries({"start_on": DATES}),
    st.fixed_dictionaries({"due_on": DATES}),
    st.fixed_dictionaries({"is_completed": st.booleans()}),
    st.fixed_dictionaries({"is_started": st.booleans()}),
    st.fixed_dictionaries({"description": st.sampled_from([None, "", "Text", "Text \n\n---\nx"])}),
    st.fixed_dictionaries({"refs": st.sampled_from([None, "RF-1", "RF-1\nRF-2"])}),
)
TARGET_EDITS = st.one_of(
    st.fixed_dictionaries({"name": NAMES}),
    st.fixed_dictionaries({"start_date": TARGET_DATES}),
    st.fixed_dictionaries({"due_date": TARGET_DATES}),
    st.fixed_dictionaries({"status": st.sampled_from(["active", "completed", "archived"])}),
    st.fixed_dictionaries({"description": st.sampled_from(["Rewritten", ""])}),
)
FAULTS = st.lists(
    st.sampled_from(
        [
            None,
            FaultKind.SERVER_ERROR,
            FaultKind.SERVER_ERROR_AFTER,
            FaultKind.RATE_LIMITED,
            FaultKind.RATE_LIMITED_BARE,
            FaultKind.RESET,
            FaultKind.RESET_AFTER,
            FaultKind.CUT_BODY,
            FaultKind.HTML,
            FaultKind.TIMEOUT,
            FaultKind.TIMEOUT_AFTER,
            FaultKind.LATE,
        ]
    ),
    max_size=8,
)
READ_FAULTS = st.lists(
    st.sampled_from([None, None, None, FaultKind.SERVER_ERROR, FaultKind.TIMEOUT]), max_size=6
)
REFRESH = Options(Trigger.WEBHOOK)
POLICIES = st.builds(Policy, st.sampled_from(OnTargetEdit), st.sampled_from(OnSourceDelete))
INDEX = st.integers(0, 30)
RARELY = st.sampled_from([False, False, False, True])
LATE = st.integers(0, 10)
DIES_LATE = st.integers(0, 40)
TESTABLY = st.builds(
    TestablySwitches,
    list_holds_subs=st.booleans(),
    status_lists_hold_subs=st.booleans(),
    list_holds_completed=st.booleans(),
    list_holds_archived=st.booleans(),
    newest_first=st.booleans(),
    listing_delay=st.sampled_from([0.0, 2.0]),
    most_per_page=st.sampled_from([None, 3]),
    total=st.sampled_from(["exact", "missing", "too_small"]),
    null_clears=st.booleans(),
    refused_statuses=st.sampled_from([(), (), (), ("active",), ("completed",), ("archived",)]),
    status_alone=st.sampled_from([True, True, True, False]),
    status_words=st.sampled_from(["active", "lifecycle"]),
    archived_subs_lock_status=st.booleans(),
    parent_dates_read_only=st.booleans(),
    max_name_length=st.sampled_from([None, 20]),
    cuts_name_at=st.sampled_from([None, None, None, 15]),
    cuts_description_at=st.sampled_from([None, None, None, 20, 60]),
    trims_text=st.booleans(),
    dashes=RARELY,
    collapses_blank_lines=RARELY,
    paragraphs=RARELY,
    html_entities=RARELY,
    links_addresses=st.sampled_from(["no", "no", "markdown", "html"]),
    cuts_dates_to_day=RARELY,
    echo_differs=st.booleans(),
    unsteady=RARELY,
    clock_offset=st.sampled_from([0.0, -600.0, 600.0]),
    hides_created_at=RARELY,
    status_vocabulary=st.sampled_from(["active", "lifecycle"]),
    parent_key=st.sampled_from(["parent_id", "parent_milestone_id", "both"]),
    date_style=st.sampled_from(["Z", ".000Z", "+00:00"]),
    shows_date_mode=st.booleans(),
)
TESTRAIL = st.builds(
    TestRailSwitches, sub_milestones=st.sampled_from(["nested", "flat", "roots_only"])
)


class PairLife(RuleBasedStateMachine):
    """The life of one pair. Every invariant is looked at after every step."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.handmade: set[str] = set()
        self.copies: set[str] = set()
        self.revived: set[str] = set()
        self.had_subs: set[str] = set()
        self.named_adoption = False
        self.lost_database = False
        self.told: set[tuple[str, int]] = set()
        numbers = itertools.count()
        self.run_ids = patch("mappings.run_record.secrets")
        # of two runs within a second the ids say which is the later one: the same in each replay
        self.run_ids.start().token_hex = lambda _: f"{next(numbers):04x}"

    @initialize(
        rail=TESTRAIL,
        ably=TESTABLY,
        count=st.integers(1, 5),
        migrated=st.sampled_from([True, False]),
        at_once=st.sampled_from([1, 1, 3]),
        order=st.randoms(use_true_random=False),
    )
    def begin(
        self,
        rail: TestRailSwitches,
        ably: TestablySwitches,
        count: int,
        migrated: bool,
        at_once: int,
        order: Random,
    ) -> None:
        self.world = World(rail, ably)
        if at_once > 1:
            self.world.lanes = lambda: SteppedLanes(at_once, order.randrange)
        self.world.on_write = self._judge_write
        for number in range(count):
            parent = 1 if number in (3, 4) else None
            self.world.rail.add(1, {"name": f"Release {number}", "parent_id": parent})
        if migrated:
            self._hear(self.world.migrate())

    def teardown(self) -> None:
        self.run_ids.stop()
        if hasattr(self, "world"):
            self.world.close()

    # --- people at the source

    @rule(name=NAMES, start=DATES, due=DATES, parent=st.none() | INDEX)
    def add_source(self, name: str, start: int | None, due: int | None, parent: int | None) -> None:
        body: Record = {"name": name, "start_on": start, "due_on": due}
        if parent is not None:
            body["parent_id"] = self._source(parent)
        self._person(lambda: self.world.rail.add(1, body))

    @rule(which=INDEX, edit=SOURCE_EDITS)
    def edit_source(self, which: int, edit: Record) -> None:
        self._person(lambda: self.world.rail.update(self._source(which) or 0, edit))

    @rule(which=INDEX)
    def delete_source(self, which: int) -> None:
        self._person(lambda: self.world.rail.delete(self._source(which) or 0))

    @rule(which=INDEX, parent=st.none() | INDEX)
    def move_source(self, which: int, parent: int | None) -> None:
        new = None if parent is None else self._source(parent)
        self._person(lambda: self.world.rail.update(self._source(which) or 0, {"parent_id": new}))

    # --- people at the target

    @rule(which=INDEX, edit=TARGET_EDITS)
    def edit_target(self, which: int, edit: Record) -> None:
        chosen = self._target(which)
        if chosen is None:
            return
        if edit.get("status") in ("active", COMPLETED) and self.world.is_archived(chosen):
            self.revived.add(chosen)
        self._person(lambda: self.world.person_edits(chosen, edit))

    @rule(which=INDEX)
    def delete_target(self, which: int) -> None:
        chosen = self._target(which)
        if chosen is not None:
            self.world.ably.remove(chosen)

    @rule(name=NAMES, parent=st.none() | INDEX)
    def make_target(self, name: str, parent: int | None) -> None:
        above = None if parent is None else self._target(parent)

        def make() -> None:
            self.handmade.add(self.world.make_target({"name": name, "parent_id": above}))

        self._person(make)

    @rule(which=INDEX, really=RARELY)
    def copy_marker(self, which: int, really: bool) -> None:
        source = self._source(which)
        if source is None or not really:
            return
        text = with_footer("A copy", Footer(marker_url(URL, source)))
        self.copies.add(self.world.make_target({"name": "Copy", "description": text}))

    @rule(seconds=st.sampled_from([1, 20, 4000]))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.sleep(seconds)

    # --- milesync

    @rule(
        trigger=st.sampled_from(Trigger),
        policy=POLICIES,
        writes=FAULTS,
        reads=READ_FAULTS,
        late_by=LATE,
        dies_at=st.none() | st.integers(1, 60),
        dies_late_by=st.none() | DIES_LATE,
        refresh=st.none() | INDEX,
        list_target=st.booleans(),
    )
    def troubled_run(
        self,
        trigger: Trigger,
        policy: Policy,
        writes: list[FaultKind | None],
        reads: list[FaultKind | None],
        late_by: int,
        dies_at: int | None,
        dies_late_by: int | None,
        refresh: int | None,
        list_target: bool,
    ) -> None:
        """A run of any kind, with faults, that may die."""
        context = self.world.context(
            policy,
            point=Boundaries(dies_at),
            faults=FaultScript(writes, reads, late_by),
            dies_late_by=dies_late_by,
        )
        with contextlib.suppress(Died):
            self._hear(run_pair(context, Options(trigger), self._scope(refresh, list_target)))

    @rule(
        trigger=st.sampled_from(Trigger),
        policy=POLICIES,
        refresh=st.none() | INDEX,
        list_target=st.booleans(),
        adopt_by_name=st.sampled_from([False, False, False, True]),
        create_anyway=st.booleans(),
    )
    def clean_run_twice(
        self,
        trigger: Trigger,
        policy: Policy,
        refresh: int | None,
        list_target: bool,
        adopt_by_name: bool,
        create_anyway: bool,
    ) -> None:
        """The second of two clean runs makes no write, and the two after it say the same.

        It may be the third that writes nothing, where the target's text becomes another without
        an answer that shows it: that may have been a person, so the second sends that text once
        more (R3), and only it.
        """
        self.world.calm_down()
        self.named_adoption |= adopt_by_name
        options = Options(trigger, adopt_by_name=adopt_by_name, create_anyway=create_anyway)
        scope = self._scope(refresh, list_target)
        first = run_pair(self.world.context(policy), options, scope)
        self._hear(first)
        assert first.state in (State.SUCCEEDED, State.PARTIAL), first
        if not scope.list_target and "not_found" in {told["kind"] for told in first.problems}:
            return  # somebody deleted a target since the last listing, which the first run trusted
        if self._changes_in_secret:
            self._settle_texts(policy, options, scope)
        self.world.clock.sleep(5)
        before = len(self.world.writes)
        second = run_pair(self.world.context(policy), options, scope)
        assert second.state in (State.SUCCEEDED, State.PARTIAL), second
        assert self.world.writes[before:] == [], (first.as_json(), second.as_json())
        third, fourth = (run_pair(self.world.context(policy), options, scope) for _ in range(2))
        assert self.world.writes[before:] == []
        assert _said(third) == _said(fourth)  # what they read is what a quiet run has read

    def _settle_texts(self, policy: Policy, options: Options, scope: Scope) -> None:
        """A run that may send texts once more, and nothing else."""
        self.world.clock.sleep(5)
        before = len(self.world.writes)
        settling = run_pair(self.world.context(policy), options, scope)
        self._hear(settling)
        assert settling.state in (State.SUCCEEDED, State.PARTIAL), settling
        assert all(set(write.body) == {"description"} for write in self.world.writes[before:])

    @rule(
        policy=POLICIES,
        writes=FAULTS,
        late_by=LATE,
        at=st.integers(1, 60),
        refresh=INDEX,
        edit=SOURCE_EDITS,
        edited=INDEX,
        target_edit=TARGET_EDITS,
        delete=st.booleans(),
    )
    def run_while_others_work(
        self,
        policy: Policy,
        writes: list[FaultKind | None],
        late_by: int,
        at: int,
        refresh: int,
        edit: Record,
        edited: int,
        target_edit: Record,
        delete: bool,
    ) -> None:
        """In the middle of a full run people edit both sides, and a refresh goes beside it."""

        def meanwhile() -> None:
            self.edit_source(refresh, edit)
            self.edit_target(edited, target_edit)
            if delete:
                self.delete_target(edited + 1)
                self.delete_source(refresh + 1)
            self._refresh(refresh, policy)

        point = Boundaries(meanwhile_at=at, meanwhile=meanwhile)
        context = self.world.context(policy, point=point, faults=FaultScript(writes, (), late_by))
        self._hear(run_pair(context, MIGRATION, Scope()))

    @rule(dies_at=st.none() | st.integers(1, 30), reads=READ_FAULTS)
    def verify_now(self, dies_at: int | None, reads: list[FaultKind | None]) -> None:
        """Verifying writes nothing, whatever it finds; what was sent before may still arrive."""
        before = len(self.world.writes) - self.world.arrived
        faults = FaultScript((), reads)
        with contextlib.suppress(Died, ApiError):
            verify(self.world.context(point=Boundaries(dies_at), faults=faults))
        assert len(self.world.writes) - self.world.arrived == before

    @rule(
        which=INDEX,
        writes=FAULTS,
        late_by=LATE,
        dies_at=st.none() | st.integers(1, 40),
        force=st.booleans(),
    )
    def undo_a_run(
        self,
        which: int,
        writes: list[FaultKind | None],
        late_by: int,
        dies_at: int | None,
        force: bool,
    ) -> None:
        """An undo of some run, which may fail or die in the middle."""
        runs = self.world.context().runs.latest(self._pair_id(), 100)
        if not runs:
            return
        context = self.world.context(
            point=Boundaries(dies_at), faults=FaultScript(writes, (), late_by)
        )
        with contextlib.suppress(Died, ApiError):
            self._hear(undo(context, runs[which % len(runs)].id, force=force))

    @rule(really=RARELY)
    def lose_the_database(self, really: bool) -> None:
        """`rebuild` on an empty database writes nothing at the target."""
        if not really:
            return
        self.world.calm_down()
        self.world.lose_database()
        self.lost_database = True
        before = len(self.world.writes)
        self._hear(rebuild(self.world.context()))
        assert len(self.world.writes) == before

    @rule()
    def retry(self) -> None:
        """A person lets go of what is in quarantine."""
        self._retry()

    @rule()
    def accept(self) -> None:
        """A person lives with every difference that is listed now."""
        pair, now = self._pair_id(), self.world.clock.now()
        for link in self.world.store.links_with_problems(pair):
            known = dict(link.field_problems)
            if link.is_held:
                known.setdefault(WHOLE, link.whole_accepted(now.isoformat()))
            taken = {name: one.decided(accepted=True) for name, one in known.items()}
            self.world.store.save(pair, link.deciding(taken), now)

    @rule(policy=POLICIES)
    def one_truth(self, policy: Policy) -> None:
        """At any time, once the faults have stopped."""
        self.world.calm_down()
        if self.world.store.find_pair(IDENTITY) is not None:
            self._has_one_truth(policy)

    @rule(policy=st.sampled_from(OnSourceDelete))
    def settle(self, policy: OnSourceDelete) -> None:
        """After the faults stop, clean migrations bring both sides to agree."""
        self.world.calm_down()
        self._retry()
        rules = Policy(on_source_delete=policy)
        for _ in range(3):
            report = run_pair(self.world.context(rules), MIGRATION, Scope())
            self._hear(report)
            assert report.state in (State.SUCCEEDED, State.PARTIAL), report
            self.world.clock.sleep(5)
        assert preview(self.world.context(rules), Options()).plan.writes == 0
        self._has_one_truth(rules)

    # --- what must always hold

    @invariant()
    def never_doubled(self) -> None:
        """No source milestone has two living targets that milesync made."""
        doubles = {
            owner: ids
            for owner, ids in (self.world.doubles() if hasattr(self, "world") else {}).items()
            if len(set(ids) - self.revived) > 1
        }
        assert doubles == {}

    @invariant()
    def every_value_is_explained(self) -> None:
        """What milesync wrote to the target stands in the history."""
        if not hasattr(self, "world") or self.world.store.find_pair(IDENTITY) is None:
            return
        by_target: dict[str, list[Change]] = {}
        by_source: dict[int, list[Change]] = {}
        for change in self.world.store.journal.changes(self._pair_id()):
            if change.testably_id is None:
                by_source.setdefault(change.testrail_id, []).append(change)
            else:
                by_target.setdefault(change.testably_id, []).append(change)
        subs = {row["parent_id"] for row in self._rows()}
        posted = {write.body.get("parent_id") for write in self.world.writes}
        self.had_subs |= {str(parent) for parent in subs | posted if parent}
        links = self.world.store.links(self._pair_id()).values()
        linked = {link.testably_id for link in links}
        for row in self._rows():
            id_ = str(row["id"])
            if id_ not in linked and marked_id(cast(str, row["description"]), URL) is None:
                continue  # a person took the marker away before milesync knew the target
            made_for = self.world.made_by_us.get(id_, 0)
            history = by_target.get(id_, []) + by_source.get(made_for, [])
            history.sort(key=lambda change: -(change.id or 0))
            for name in FIELDS:
                if self.world.authors.get((id_, name)) != "milesync":
                    continue
                derived = name in ("status", *DATE_FIELDS)
                if derived and id_ in subs:
                    continue
                if derived and id_ in self.had_subs:
                    # What was written while it had them, the target may not have stored.
                    history = [_maybe(change) for change in history]
                value = cast(str | None, row.get(name))
                assert self._is_explained(name, value, history), (id_, name, row, history)

    def _judge_write(self, write: Write) -> None:
        """At the moment of a write: is it one that milesync may make?"""
        body = write.body
        if write.testably_id in self.handmade:
            assert self.named_adoption, f"a person's milestone was changed: {write}"
        if body.get("status") == ARCHIVED and self._journaled_as(write) == "archive":
            owner = self.world.made_by_us.get(write.testably_id)
            assert owner not in self.world.source_ids(), f"archived, but it is there: {write}"

    def _journaled_as(self, write: Write) -> str:
        """The kind of the change that tells of this write."""
        history = self.world.store.journal.changes(self._pair_id(), testably_id=write.testably_id)
        return [k.kind for k in history if k.after.get("status") == write.body["status"]][-1]

    def _has_one_truth(self, policy: Policy) -> bool:
        """Every mouth says the same of the pair; whether that is that both sides agree (R10).

        `verify` is in step, if and only if a plan from the same readings pushes nothing,
        `failures` is empty and a sync ends without anything for a person.
        """
        found = verify(self.world.context(policy))
        plan = preview(self.world.context(policy), Options()).plan
        listed = self.world.store.links_with_problems(self._pair_id())
        open_problems = sum(not one.accepted for link in listed for one in link.failures)
        nameless = [action for action in plan.actions if not action.testrail_id]
        quiet = plan.writes == 0 and not open_problems and not nameless
        assert found.in_step == quiet, (found, plan.writes, open_problems, plan.actions)
        report = run_pair(self.world.context(policy), Options(Trigger.MANUAL), Scope())
        self._hear(report)
        if plan.writes == 0:
            assert (report.state is State.SUCCEEDED) == quiet, (report, found)
        return quiet

    def _is_explained(self, name: str, value: str | None, history: list[Change]) -> bool:
        """Whether the newest write of the field that may have been carried out gives this value.

        A target may store what it was sent otherwise, and may show it so to no answer at all.
        """
        newest_done = None
        for change in history:
            if name not in change.after or change.state in UNSENT:
                continue
            maybe = change.state in (ChangeState.INTENDED, ChangeState.AMBIGUOUS)
            late = newest_done is None or (newest_done - change.at).total_seconds() < TIMEOUT + 30
            if newest_done is None or (maybe and late):
                sent = change.after[name]
                told = {sent, stored({name: sent}, self.world.ably.switches)[name]}
                told.add((change.echo or change.after).get(name))
                if any(same_value(name, value, cast(str | None, one)) for one in told):
                    return True
            if not maybe and newest_done is None:
                newest_done = change.at
        return False

    # --- small things

    def _hear(self, report: RunReport) -> None:
        """Read a report; no run may end with an error that is a fault of milesync."""
        assert report.error is None or type(report.error) is not MilesyncError, report.error
        self.told |= {(told["kind"], told["testrail_id"]) for told in report.problems}

    @property
    def _changes_in_secret(self) -> bool:
        """Whether a text becomes another without an answer to a write of it that shows that.

        It is another at each reading; or more is stored than was sent, that is cut off in its
        middle, and the answer shows what was sent.
        """
        ably = self.world.ably.switches
        adds = ably.links_addresses != "no" or ably.paragraphs or ably.html_entities
        cut_in_its_middle = adds and ably.cuts_description_at is not None
        return ably.unsteady or (ably.echo_differs and cut_in_its_middle)

    def _rows(self) -> list[Record]:
        return [_plain_row(row) for row in self.world.rows()]

    def _pair_id(self) -> int:
        return self.world.store.pair(IDENTITY).id

    def _source(self, which: int) -> int | None:
        ids = self.world.source_ids()
        return ids[which % len(ids)] if ids else None

    def _target(self, which: int) -> str | None:
        ids = self.world.target_ids()
        return ids[which % len(ids)] if ids else None

    def _person(self, work: Callable[[], object]) -> None:
        """People are slow, and may be refused as well."""
        self.world.clock.sleep(2)
        with contextlib.suppress(Problem):
            work()
        self.world.clock.sleep(2)

    def _scope(self, refresh: int | None, list_target: bool) -> Scope:
        """What is read; a refresh of what has no target yet becomes a full run."""
        source = None if refresh is None else self._source(refresh)
        if source is None:
            return Scope((), list_target)
        link = self.world.store.links(self._pair_id()).get(source)
        return Scope((source,)) if link is not None and link.has_target else Scope()

    def _refresh(self, which: int, policy: Policy) -> None:
        """A webhook's refresh, which does not hold the pair; only of what is linked."""
        scope = self._scope(which, list_target=True)
        if not scope.whole:
            mode = RunMode(exclusive=False)
            self._hear(run_pair(self.world.context(policy), REFRESH, scope, mode=mode))

    def _retry(self) -> None:
        store = self.world.store
        for link in store.links(self._pair_id()).values():
            effect = None if link.problem is None else link.problem.kind.effect
            if effect in (Effect.BLOCKS, Effect.RESTS):
                store.save(self._pair_id(), link.retried(), self.world.clock.now())


def _maybe(change: Change) -> Change:
    """The same, where the answer does not say whether the target has stored it."""
    done = change.state is ChangeState.DONE
    return replace(change, state=ChangeState.AMBIGUOUS) if done else change


def _plain_row(row: Record) -> Record:
    read = parse_target(row)
    assert isinstance(read, TargetMilestone)
    return {"id": read.id, "parent_id": read.parent_id, **read.values}


def test_a_short_life() -> None:
    """What must always hold does, in some dozens of lives."""
    run_state_machine_as_test(PairLife, settings=settings(max_examples=30, stateful_step_count=20))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("group", range(20))
def test_many_long_lives(group: int) -> None:
    """What must always hold does, in thousands of longer lives; in groups, for every core."""
    del group  # each draws lives of its own
    run_state_machine_as_test(PairLife, settings=settings(max_examples=200, stateful_step_count=40))


def _said(report: RunReport) -> tuple[object, ...]:
    """What a run says of both sides."""
    return report.state, report.counts, report.not_exact, report.verified
