"""Laws of the pure modules, for any situation that Hypothesis can think of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.links import Links
from mappings.milestone import (
    DATE_FIELDS,
    FIELDS,
    SourceMilestone,
    TargetMilestone,
    Values,
    desired_values,
    same_value,
)
from mappings.problem import Problem, ProblemKind
from tests.support.build import RULES, bad, link, snapshot, source, target
from worker.sync.decide.action import Kind
from worker.sync.decide.differences import Comparison, Sides, compare
from worker.sync.decide.plan import make_plan
from worker.sync.decide.snapshot import Snapshot
from worker.sync.options import Only, OnSourceDelete, OnTargetEdit, Options, Policy, Trigger

# --- situations

IDS = st.integers(1, 7)
NAMES = st.sampled_from(["A", "B", " A ", "É", "E\u0301", "long name"])
STAMPS = st.none() | st.sampled_from([0, 1_767_225_600, 1_769_904_000, 1_769_911_234])
SOURCES = st.builds(
    SourceMilestone,
    id=IDS,
    name=NAMES,
    description=st.none() | st.sampled_from(["", "text", "a\r\nb ", "---\nTestRail: x"]),
    start_on=STAMPS,
    due_on=STAMPS,
    is_started=st.booleans(),
    is_completed=st.booleans(),
    parent_id=st.none() | st.integers(1, 8),
)
EDITS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES,
        "description": st.none() | st.just("by hand"),
        "due_date": st.none() | st.just("2026-01-05T00:00:00Z"),
        "status": st.sampled_from(["active", "completed", "archived"]),
        "updated_at": st.none() | st.just("later"),
        "parent_id": st.none() | st.sampled_from(["ms_1", "ms_2"]),
    },
)
TROUBLES = st.none() | st.sampled_from(ProblemKind)
POLICIES = st.builds(Policy, st.sampled_from(OnTargetEdit), st.sampled_from(OnSourceDelete))
OPTIONS = st.builds(
    Options,
    trigger=st.sampled_from(Trigger),
    only=st.none() | st.sampled_from(Only),
    adopt_by_name=st.booleans(),
    create_anyway=st.booleans(),
)


@st.composite
def links(draw: st.DrawFn, of: SourceMilestone) -> Link:
    """A link of the milestone in any state, as it may have been left by an earlier run."""
    state = draw(st.sampled_from(LinkState))
    kind = draw(TROUBLES)
    problem = Problem(kind, "reason") if kind else None
    if state in (LinkState.UNLINKED, LinkState.CREATING):
        in_flight = (
            desired_values(of, RULES, has_children=False) if state is LinkState.CREATING else None
        )
        return Link(of.id, state=state, problem=problem, in_flight=in_flight, version=1)
    known = link(of, target(of), state=state, problem=problem)
    forgotten = draw(st.sets(st.sampled_from(FIELDS)))
    last_applied = {n: v for n, v in known.last_applied.items() if n not in forgotten}
    return replace(
        known, last_applied=last_applied, in_flight=draw(st.none() | st.just({"name": "A"}))
    )


@st.composite
def scenes(draw: st.DrawFn) -> Snapshot:
    """Anything: circles, unknown parents, half-known links, edits, markers without links."""
    sources = {one.id: one for one in draw(st.lists(SOURCES, max_size=6))}
    targets: list[TargetMilestone] = []
    known: list[Link] = []
    for one in [*sources.values(), source(8, "Gone")]:
        if draw(st.booleans()):
            there: Any = replace(target(one), **draw(EDITS))
            targets.append(there)
        if draw(st.booleans()):
            known.append(draw(links(one)))
    if draw(st.booleans()):
        targets.append(replace(target(source(3)), id="ms_x"))
    return snapshot(
        sources.values(),
        targets,
        known,
        problems=draw(st.sampled_from([(), (bad(9),), (bad(None), bad("x"))])),
        source_complete=draw(st.booleans()),
        options=draw(OPTIONS),
        policy=draw(POLICIES),
        gone=draw(st.frozensets(IDS | st.just(8))),
        whole_project=draw(st.booleans()),
        view={
            "listed": draw(st.booleans()),
            "complete": draw(st.booleans()),
            "gone": draw(st.frozensets(st.sampled_from(["ms_1", "ms_2", "ms_3"])))
            - {one.id for one in targets},
        },
    )


@given(scenes())
def test_planning_is_deterministic(situation: Snapshot) -> None:
    """The same scene gives the same plan, in whatever order its parts were read."""
    shuffled = replace(
        situation,
        source=replace(
            situation.source, milestones=dict(reversed(list(situation.source.milestones.items())))
        ),
        links=Links(dict(reversed(list(situation.links.items())))),
        target=replace(
            situation.target, milestones=dict(reversed(list(situation.target.milestones.items())))
        ),
    )
    first, second, third = make_plan(situation), make_plan(situation), make_plan(shuffled)
    assert first == second
    assert [(a.kind, a.testrail_id, a.push) for a in first.actions] == [
        (a.kind, a.testrail_id, a.push) for a in third.actions
    ]


@given(scenes())
def test_every_milestone_in_scope_has_exactly_one_action(situation: Snapshot) -> None:
    """None is left out and none is counted twice; without a filter that is all of them."""
    acted = [a.testrail_id for a in make_plan(situation).actions if a.testrail_id]
    assert len(acted) == len(set(acted))
    scope = situation.options.only
    chosen = {
        id_ for id_, one in situation.source.milestones.items() if scope is None or scope.takes(one)
    }
    assert chosen <= set(acted)


@given(scenes())
def test_children_never_come_before_their_parents(situation: Snapshot) -> None:
    """Whatever is to get a target comes after the action of its parent."""
    order = [a.testrail_id for a in make_plan(situation).actions if a.kind is not Kind.ARCHIVE]
    for action in make_plan(situation).actions:
        if action.kind in (Kind.CREATE, Kind.ADOPT) and action.parent_id in order:
            assert order.index(action.parent_id) < order.index(action.testrail_id)


@given(scenes())
def test_no_two_milestones_are_given_one_target(situation: Snapshot) -> None:
    """Whatever carries which name or marker: one target, one milestone."""
    given_ids = [a.testably_id for a in make_plan(situation).actions if a.testably_id]
    linked = [k.testably_id for k in situation.links.values()]
    assert len([i for i in given_ids if i not in linked]) == len(
        {i for i in given_ids if i not in linked}
    )
    adopted = {a.testably_id for a in make_plan(situation).actions if a.kind is Kind.ADOPT}
    assert not adopted & ({*linked} - situation.target.gone)


@given(scenes())
def test_nothing_is_archived_without_a_proof(situation: Snapshot) -> None:
    """Only a linked milestone that TestRail denies, only in a whole run, only if that is wanted."""
    for action in make_plan(situation).actions:
        if action.kind is Kind.ARCHIVE:
            assert action.testrail_id in situation.gone
            assert action.testrail_id not in situation.source.milestones
            assert situation.whole_project
            assert situation.policy.on_source_delete is OnSourceDelete.ARCHIVE


@given(scenes())
def test_nothing_is_created_before_the_target_is_known(situation: Snapshot) -> None:
    """A list that did not come whole serves for updates and for nothing else."""
    kinds = {action.kind for action in make_plan(situation).actions}
    if not (situation.target.listed and situation.target.complete):
        assert not kinds & {Kind.CREATE, Kind.ADOPT}


@given(scenes())
def test_no_value_is_pushed_that_is_there_already(situation: Snapshot) -> None:
    """A field is never pushed when the source's value equals the target's."""
    for action in make_plan(situation).actions:
        actual = situation.target.milestones.get(action.testably_id or "")
        for name, value in action.push.items() if actual else ():
            assert actual is not None
            assert not same_value(name, value, actual.values[name])


@given(st.lists(SOURCES, max_size=6), POLICIES)
def test_what_is_in_step_takes_no_write(found: list[SourceMilestone], policy: Policy) -> None:
    """Under any policy, one skip for each."""
    sources = [replace(one, parent_id=None) for one in {one.id: one for one in found}.values()]
    targets = [target(one) for one in sources]
    known = [link(*pair) for pair in zip(sources, targets, strict=True)]
    plan = make_plan(snapshot(sources, targets, known, policy=policy))
    assert plan.writes == 0
    assert [action.kind for action in plan.actions] == [Kind.SKIP] * len(sources)


# --- targets that do with values what they like

VALUES: st.SearchStrategy[Values] = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["A", "B", "C"]),
        "description": st.none() | st.sampled_from(["A", "B"]),
        "start_date": st.none() | st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        "due_date": st.none() | st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        "status": st.sampled_from(["active", "completed", "archived"]),
    }
)
TABLES: st.SearchStrategy[dict[str | None, str | None]] = st.dictionaries(
    st.none() | st.sampled_from(["A", "B", "C"]), st.none() | st.sampled_from(["A", "B", "Z"])
)
LINKED_VALUES = st.builds(
    lambda last_applied, observed, sent, in_flight: Link(
        1,
        "ms_1",
        LinkState.LINKED,
        last_applied=last_applied,
        observed=observed,
        observed_at="0",
        sent={name: Sent(value, 1) for name, value in sent.items()},
        in_flight=in_flight,
        version=1,
    ),
    VALUES | st.just({}),
    VALUES | st.just({}),
    VALUES | st.just({}),
    st.none() | VALUES,
)


def decided(known: Link, wanted: Values, shown: TargetMilestone, *given_: Any) -> Comparison:
    derived, policy = given_
    own = frozenset({"status", *DATE_FIELDS} if derived else ())
    return compare(Sides(known, wanted, shown, policy, "2026-03-01", own))


@given(LINKED_VALUES, VALUES, VALUES, st.booleans(), st.sampled_from(OnTargetEdit))
def test_deciding_is_idempotent(
    known: Link, wanted: Values, now: Values, derived: bool, policy: OnTargetEdit
) -> None:
    """If the target takes the push exactly, the next decision pushes nothing."""
    shown: Any = {**now, "updated_at": "1"}
    decision = decided(known, wanted, TargetMilestone("ms_1", **shown), derived, policy)
    taken: Any = {**shown, **decision.push, "updated_at": "2"}
    answer = TargetMilestone("ms_1", **taken)
    after = decision.link
    if decision.push:
        after = after.updated(decision.push, answer, "2026-03-01")
    again = decided(after, wanted, answer, derived, policy)
    assert again.push == {}
    assert again.kept == decision.kept


class Stubborn:
    """A target that makes of each value what its table says, and answers as it likes."""

    def __init__(self, table: dict[str | None, str | None], *, honest: bool) -> None:
        self._table = table
        self._honest = honest
        self._writes = 0
        self.stored: dict[str, str | None] = {}

    def write(self, values: Values) -> TargetMilestone:
        """Store the values, each in its own way; the answer may show them as they were sent."""
        self._writes += 1
        self.stored |= {n: self._made_of(n, v) for n, v in values.items()}
        shown: Any = self.stored if self._honest else {**self.stored, **values}
        return TargetMilestone("ms_1", **shown, updated_at=str(self._writes))

    def read(self) -> TargetMilestone:
        stored: Any = self.stored
        return TargetMilestone("ms_1", **stored, updated_at=str(self._writes))

    def _made_of(self, name: str, value: str | None) -> str | None:
        if name == "name":
            return self._table.get(value, value) or "?"
        return self._table.get(value, value) if name == "description" else value


@given(TABLES, VALUES, st.lists(VALUES, max_size=3), st.booleans(), st.sampled_from(OnTargetEdit))
def test_no_run_repeats_a_write_that_cannot_converge(
    table: dict[str | None, str | None],
    first: Values,
    later: list[Values],
    honest: bool,
    policy: OnTargetEdit,
) -> None:
    """Whatever the target makes of a value, it is pushed at most twice and then never again."""
    there = Stubborn(table, honest=honest)
    start = {**first, "status": "active"}
    posted = {name: value for name, value in start.items() if name != "status"}
    known = Link(1, in_flight=posted).created(there.write(start), None, "2026-03-01")
    for wanted in [first, *later]:
        pushes, known = _runs(5, known, wanted, there, policy)
        assert not any(pushes[2:])


def _runs(
    count: int, known: Link, wanted: Values, there: Stubborn, policy: OnTargetEdit
) -> tuple[list[Values], Link]:
    """What each of so many runs pushes that all want the same, and the link after them."""
    pushes = []
    for _ in range(count):
        decision = decided(known, wanted, there.read(), False, policy)
        known = decision.link
        if decision.push:
            known = known.updated(decision.push, there.write(decision.push), "2026-03-01")
        pushes.append(decision.push)
    return pushes, known
