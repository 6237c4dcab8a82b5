"""What is pruned, and what never is."""

from __future__ import annotations

from datetime import timedelta

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.overview import overview
from mappings.retention import KEPT_SINGLY, Pruned, prune
from mappings.rows import Change, ChangeState
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import identity

YEAR = timedelta(days=365)
OLD = NOW - 3 * YEAR


def ended(run_log: RunLog, pair_id: int, days: float, **more: object) -> str:
    """A run that ended so many days before the database's time would call it old."""
    at = OLD + timedelta(days=days)
    run = run_log.begin(pair_id, str(more.pop("trigger", "manual")), "ann on host", at)
    run_log.change(run.id, **{"state": "succeeded", "finished_at": at, **more})
    return run.id


def wrote(store: Store, pair_id: int, run_id: str, link: Link, kind: str = "update") -> Link:
    """A change of that run, done, that the link names."""
    change = Change(run_id, link.testrail_id, link.testably_id, kind, {}, {}, OLD)
    leased = store.journal.lease(pair_id, link, change, None)
    assert leased is not None
    saved = store.journal.settle(pair_id, *leased, ChangeState.DONE, OLD)
    assert saved is not None
    return saved


def left(run_log: RunLog, pair_id: int) -> set[str]:
    return {run.id for run in run_log.latest(pair_id, 1000)}


def test_an_old_run_goes_with_its_changes(store: Store, run_log: RunLog, pair_id: int) -> None:
    """The link stays, with everything that is known of both sides."""
    first = ended(run_log, pair_id, 1)
    second, newest = ended(run_log, pair_id, 2), ended(run_log, pair_id, 3)
    link = wrote(store, pair_id, first, Link(1, "ms_1", LinkState.LINKED, raw={"id": 1}))
    link = wrote(store, pair_id, second, link)
    assert prune(store.engine, YEAR) == Pruned(runs=1, changes=1)
    assert left(run_log, pair_id) == {second, newest}
    assert store.links(pair_id)[1].raw == {"id": 1}


def test_the_run_that_made_a_living_target_stays(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """An undo of it would still mean something; once the target is archived it goes."""
    made, later = ended(run_log, pair_id, 1), ended(run_log, pair_id, 2)
    ended(run_log, pair_id, 3)
    link = wrote(store, pair_id, made, Link(1, "ms_1", LinkState.LINKED), "create")
    link = wrote(store, pair_id, later, link)
    assert prune(store.engine, YEAR) == Pruned()
    store.save(pair_id, link.archived(), NOW)
    assert prune(store.engine, YEAR) == Pruned(runs=1, changes=1)


def test_a_run_with_an_open_change_stays(store: Store, run_log: RunLog, pair_id: int) -> None:
    """What became of it is not known."""
    cut_off = ended(run_log, pair_id, 1)
    ended(run_log, pair_id, 2)
    change = Change(cut_off, 1, None, "create", {}, {}, OLD)
    leased = store.journal.lease(pair_id, Link(1), change, None)
    assert leased is not None
    store.save(pair_id, leased[0].leased(None, 0), NOW)
    assert prune(store.engine, YEAR) == Pruned()


def test_nothing_is_pruned_that_is_young_or_to_be_kept_for_ever(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """Neither by the time, nor where the setting says never."""
    for days in (1, 2):
        ended(run_log, pair_id, days)
    assert prune(store.engine, None) == Pruned()
    assert prune(store.engine, 100 * YEAR) == Pruned()


def test_a_stretch_of_runs_without_changes_becomes_one_row(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """The newest stands for all of them; a run that wrote ends the stretch."""
    quiet = [ended(run_log, pair_id, n, trigger="schedule") for n in range(5)]
    writer = ended(run_log, pair_id, 5)
    wrote(store, pair_id, writer, Link(1, "ms_1", LinkState.LINKED))
    more = [ended(run_log, pair_id, 6 + n, trigger="schedule") for n in range(3)]
    newest = [ended(run_log, pair_id, 20 + n, trigger="schedule") for n in range(KEPT_SINGLY)]
    assert prune(store.engine, None) == Pruned(folded=6)
    assert left(run_log, pair_id) == {quiet[-1], writer, more[-1], *newest}
    stands = run_log.get(quiet[-1])
    assert stands is not None
    assert stands.options["stands_for"] == 5
    assert prune(store.engine, None) == Pruned()


def test_runs_that_told_the_same_each_time_are_a_stretch(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """A conflict that waits, then a server that is away: two stretches, and one run between."""
    conflict = {"state": "partial", "problems": [{"testrail_id": 7, "kind": "name_taken"}]}
    away = {"state": "failed", "error": {"kind": "unreachable", "message": "No.", "hint": ""}}
    told = [conflict] * 3 + [away] * 2 + [{}] + [away]
    ids = [ended(run_log, pair_id, n, trigger="schedule", **one) for n, one in enumerate(told)]
    newest = [ended(run_log, pair_id, 20 + n, trigger="schedule") for n in range(KEPT_SINGLY)]
    assert prune(store.engine, None) == Pruned(folded=3)
    assert left(run_log, pair_id) == {ids[2], ids[4], ids[5], ids[6], *newest}
    assert run_log.first_began(pair_id) == OLD
    kept = run_log.get(ids[2])
    assert kept is not None
    assert kept.problems == conflict["problems"]


def test_refreshes_without_changes_do_not_end_a_stretch(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """A webhook between every two scheduled runs: one row of each; by hand nothing is folded."""
    ways = ["schedule", "webhook"] * 4 + ["manual", "manual", "schedule"]
    ids = [ended(run_log, pair_id, n, trigger=way) for n, way in enumerate(ways)]
    newest = [ended(run_log, pair_id, 20 + n, trigger="schedule") for n in range(KEPT_SINGLY)]
    assert prune(store.engine, None) == Pruned(folded=6)
    assert left(run_log, pair_id) == {*ids[6:], *newest}


def test_refreshes_stand_for_no_run_of_the_whole_pair(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """Both come from webhooks; when the pair was last synced, and how, stays known."""
    whole = ended(run_log, pair_id, 1, trigger="webhook")
    for number in range(KEPT_SINGLY + 3):
        ended(run_log, pair_id, 1.1 + number / 100, trigger="webhook", exclusive=False)
    [pair] = store.all_pairs()
    before = overview(store.engine, [pair])[pair_id]
    assert before.synced_at is not None
    for keep, pruned in ((None, Pruned(folded=2)), (YEAR, Pruned(runs=KEPT_SINGLY))):
        assert prune(store.engine, keep) == pruned
        assert overview(store.engine, [pair])[pair_id] == before
        assert whole in left(run_log, pair_id)


def test_stretches_of_different_pairs_and_open_runs_are_left_apart(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """What goes on or waits for its next part is no run without changes yet."""
    other = store.pair(identity(2)).id
    waits = [ended(run_log, pair_id, n, trigger="schedule", state="unfinished") for n in range(2)]
    one, two = (ended(run_log, pair, 5, trigger="schedule") for pair in (pair_id, other))
    newest = [ended(run_log, pair_id, 20 + n, trigger="schedule") for n in range(KEPT_SINGLY)]
    assert prune(store.engine, None) == Pruned()
    assert left(run_log, pair_id) == {*waits, one, *newest}
    assert left(run_log, other) == {two}


def test_runs_of_a_part_stand_for_no_run_of_the_whole_pair(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """When the pair was last synced, and how, stays known, however often a part was since."""
    whole = ended(run_log, pair_id, 1)
    for number in range(KEPT_SINGLY + 3):
        ended(run_log, pair_id, 2 + number, options={"only": "open"})
    [pair] = store.all_pairs()
    before = overview(store.engine, [pair])[pair_id]
    assert before.synced_at is not None
    assert prune(store.engine, YEAR) == Pruned(runs=KEPT_SINGLY + 2)
    assert overview(store.engine, [pair])[pair_id] == before
    assert whole in left(run_log, pair_id)
