"""Slices of a run: one run in parts, what each part reads, what is done about each failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from mappings.deliveries import Deliveries, Hint
from mappings.rows import Pair
from mappings.run_record import RunRecord
from tests.service.stack import Stack, eventually
from tests.support.clock import FakeClock
from worker.background import enqueue_migration, follow
from worker.bootstrap import Deployment
from worker.errors import Busy, CredentialsRefused
from worker.sandbox.faults import FaultKind
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.switches import TestablySwitches
from worker.settings import ProjectPair
from worker.sync.options import Only, Options, Trigger
from worker.tasks import go_on, recall, use_settings
from worker.tasks.jobs import sync_project
from worker.tasks.paused import PAUSED_FOR, pause, to_try_again
from worker.tasks.slices import SLICE, Job, Next, Watch, options_of, work

NEVER: Callable[[], bool] = lambda: False  # noqa: E731


@pytest.fixture
def here(stack: Stack) -> Iterator[Deployment]:
    with stack.deployment as made:
        yield made


def job(here: Deployment, trigger: Trigger = Trigger.SCHEDULE, after: Next | None = None) -> Job:
    pair = here.settings.projects[0]
    return Job(pair, trigger, after.run if after else None, after.attempt if after else 0)


def pair_of(here: Deployment) -> Pair:
    return here.store.all_pairs()[0]


def latest(here: Deployment) -> RunRecord:
    return here.runs.latest(pair_of(here).id, 1)[0]


class After:
    """Over after so many items; a check is made once a second, so time is made to pass."""

    def __init__(self, here: Deployment, items: int) -> None:
        self.left = items
        real = here.clock.monotonic
        self.passed = 0.0

        def monotonic() -> float:
            self.passed += 1.0
            return real() + self.passed

        here.clock.monotonic = monotonic  # type: ignore[method-assign]

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_run_in_slices_is_one_run_that_lists_the_target_once(
    stack: Stack, here: Deployment
) -> None:
    """Its id, its counts and its requests go on; the continuation reads the source alone."""
    for number in range(9):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    stack.testably.model.create("proj_abc123", {"name": "M8"})
    after: Next | None = None
    lists = []
    with capture_logs() as told:
        for _ in range(20):
            after = work(here, job(here, after=after), NEVER, After(here, 3))
            lists.append(stack.testably.count("GET", "page="))
            if after is None:
                break
    assert len(lists) > 2
    assert set(lists) == {lists[0]}
    assert not [line for line in told if str(line["event"]).startswith("skipped")]
    run = latest(here)
    assert (run.state, run.counts["created"], run.counts["conflicts"]) == ("partial", 8, 1)
    assert run.requests["testably"] == len(stack.testably.requests)
    assert len(here.runs.latest(run.pair_id, 9)) == 1
    assert stack.doubled() == {}


def test_without_what_was_listed_the_target_is_listed_again(stack: Stack, here: Deployment) -> None:
    """A Redis that came back empty costs a listing, and no milestone is doubled."""
    stack.testably.model.create("proj_abc123", {"name": "M1"})
    for number in range(3):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    after = work(here, job(here), NEVER, After(here, 1))
    assert after is not None
    assert recall.find(here.redis, after.run or "") is not None
    stack.redis.flushall()
    assert work(here, job(here, after=after), NEVER) is None
    assert latest(here).counts["conflicts"] == 1


def test_a_tick_leaves_an_unfinished_run_alone(stack: Stack, here: Deployment) -> None:
    for number in range(3):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    after = work(here, job(here), NEVER, After(here, 1))
    assert after is not None
    assert work(here, job(here), NEVER) is None
    assert latest(here).state == "unfinished"
    assert work(here, job(here, after=after), NEVER) is None
    assert latest(here).state == "succeeded"


def test_refreshes_since_then_hide_no_unfinished_run(stack: Stack, here: Deployment) -> None:
    """However many there were: a tick leaves it alone, and a second migration is refused."""
    for number in range(3):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    migration = enqueue_migration(here, here.settings.projects[0], Options(Trigger.MIGRATION))
    for _ in range(25):
        refresh = here.runs.begin(
            migration.pair_id, "webhook", "refresher", here.clock.now(), exclusive=False
        )
        here.runs.change(refresh.id, state="succeeded")
    assert work(here, job(here), NEVER) is None
    assert stack.targets() == []
    with pytest.raises(Busy, match=migration.id):
        enqueue_migration(here, here.settings.projects[0], Options(Trigger.MIGRATION))


def test_a_message_that_comes_twice_does_nothing(stack: Stack, here: Deployment) -> None:
    """The run has come to its end; nothing is asked of either API."""
    stack.testrail.model.add(1, {"name": "M"})
    assert work(here, job(here), NEVER) is None
    before = len(stack.testrail.requests)
    done = Next(latest(here).id, 0, 0.0)
    assert work(here, job(here, after=done), NEVER) is None
    assert len(stack.testrail.requests) == before


def test_a_stopped_run_ends_where_it_is(stack: Stack, here: Deployment) -> None:
    """Between two slices too."""
    for number in range(3):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    after = work(here, job(here), NEVER, After(here, 1))
    assert after is not None
    here.runs.change(after.run or "", stop_requested=True)
    done = len(stack.targets())
    assert work(here, job(here, after=after), NEVER) is None
    assert latest(here).state == "aborted"
    assert len(stack.targets()) == done


@pytest.mark.parametrize(("side", "items"), [("TESTRAIL", 1), ("TESTRAIL", 6), ("TESTABLY", 6)])
def test_a_run_does_not_go_on_at_another_address(
    stack: Stack, here: Deployment, side: str, items: int
) -> None:
    """It is another pair (R5): neither what was read nor what was written is about it."""
    for number in range(9):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    run = enqueue_migration(here, here.settings.projects[0], Options(Trigger.MIGRATION))
    began = Next(run.id, 0, 0.0)
    after = work(here, job(here, Trigger.MIGRATION, began), After(here, items))
    assert after is not None
    before = stack.names()
    with serve_testrail() as testrail, serve_testably(rate=None) as testably:
        testrail.model.add(1, {"name": "real"})
        stack.extra[f"MILESYNC_{side}_URL"] = (testrail if side == "TESTRAIL" else testably).url
        with stack.deployment as moved, capture_logs() as told:
            assert work(moved, job(moved, Trigger.MIGRATION, after), NEVER) is None
            assert [pair.id for pair in moved.store.all_pairs() if moved.store.links(pair.id)] in (
                [],
                [run.pair_id],
            )
        assert (testrail.requests, testably.requests) == ([], [])
    assert stack.names() == before
    ended = here.runs.get(run.id)
    assert ended is not None
    assert (ended.state, (ended.error or {})["kind"]) == ("aborted", "settings")
    assert "MILESYNC_TESTABLY_URL was changed" in (ended.error or {})["message"]
    assert "Run it again" in (ended.error or {})["hint"]
    assert [line["run"] for line in told if line["event"] == "the run does not go on"] == [run.id]
    assert here.runs.overdue() == []


@pytest.mark.parametrize(
    ("left", "ends"),
    [("succeeded", "succeeded"), ("running", "running"), ("unfinished", "aborted")],
)
def test_a_late_message_of_a_pair_that_was_removed_closes_only_a_run_that_waits(
    stack: Stack, here: Deployment, monkeypatch: pytest.MonkeyPatch, left: str, ends: str
) -> None:
    """Neither one that has ended, nor one that a worker with the former settings is at."""
    pair = here.store.pair(here.identity(here.settings.projects[0]))
    run = here.runs.begin(pair.id, "schedule", "a worker", here.clock.now())
    here.runs.change(run.id, state=left)
    stack.extra["MILESYNC_PROJECTS"] = "2=proj_two"
    with stack.deployment as removed, monkeypatch.context() as patched:
        patched.setattr("worker.tasks.jobs.deployment", lambda: removed)
        sync_project(1, "proj_abc123", "schedule", run=run.id)
    found = here.runs.get(run.id)
    assert found is not None
    assert (found.state, found.error is not None) == (ends, ends == "aborted")


def test_refused_credentials_pause_this_pair_until_they_change(
    stack: Stack, here: Deployment
) -> None:
    """One refused request, then none; another token runs at once, and so does a person."""
    stack.extra["MILESYNC_TESTABLY_TOKEN"] = "wrong-token"
    with stack.deployment as wrong:
        assert work(wrong, job(wrong), NEVER) is None
        refused = stack.testably.count(status=401)
        assert refused == 1
        assert "401" in (pair_of(wrong).paused_because or "")
        assert "wrong-token" not in (pair_of(wrong).paused_because or "")
        assert work(wrong, job(wrong), NEVER) is None
        assert stack.testably.count(status=401) == refused
    assert work(here, job(here), NEVER) is None
    assert latest(here).state == "succeeded"
    assert pair_of(here).paused_because is None


def paused_for_an_hour(here: Deployment) -> ProjectPair:
    """The configured pair, recorded as paused for so long that its credentials are tried again."""
    configured = here.settings.projects[0]
    pair = here.store.pair(here.identity(configured))
    pause(here, configured, pair, CredentialsRefused("Testably", "Testably refused: 401.", hint=""))
    here.store.update_pair(pair.id, paused_at=here.clock.now() - PAUSED_FOR)
    assert to_try_again(here) == [configured]
    return configured


@pytest.mark.parametrize("why", ["a guard", "a server that is away"])
def test_a_try_that_asks_nobody_is_not_made_again_before_an_hour(
    stack: Stack, here: Deployment, why: str
) -> None:
    """Neither with credentials that have changed: the next one after the same time."""
    stack.testrail.model.add(1, {"name": "M"})
    assert work(here, job(here), NEVER) is None
    paused_for_an_hour(here)
    if why == "a guard":
        stack.extra["MILESYNC_TESTRAIL_TIMEZONE"] = "Europe/Berlin"
    else:
        stack.testrail.faults.rates = {FaultKind.SERVER_ERROR: 1.0}
    stack.extra["MILESYNC_TESTABLY_TOKEN"] = "another-token"
    with stack.deployment as other:
        other.clock.sleep = lambda seconds: None  # type: ignore[method-assign]  # noqa: ARG005
        assert to_try_again(other) == list(other.settings.projects)
        work(other, job(other), NEVER)
        assert latest(other).state != "succeeded"
        assert to_try_again(other) == []
        assert pair_of(other).paused_because is not None


def test_credentials_that_are_taken_end_the_pause_although_a_list_is_not_whole(
    stack: Stack, here: Deployment
) -> None:
    """Its runs go on by their schedule, and say what else is wrong."""
    stack.testrail.model.add(1, {"name": "M"})
    assert work(here, job(here), NEVER) is None
    stack.testably.model.switches = TestablySwitches(total="growing")
    paused_for_an_hour(here)
    assert work(here, job(here), NEVER) is None
    assert (latest(here).state, pair_of(here).paused_because) == ("partial", None)
    assert to_try_again(here) == []


def test_what_passes_is_tried_again_and_what_does_not_is_not(
    stack: Stack, here: Deployment
) -> None:
    """A busy pair: the schedule leaves it, a webhook comes back. An unknown project: once."""
    from mappings.locks import pair_lock

    stack.testrail.model.add(1, {"name": "M"})
    assert work(here, job(here), NEVER) is None
    with pair_lock(here.engine, pair_of(here).id):
        assert work(here, job(here), NEVER) is None
        again = work(here, job(here, Trigger.WEBHOOK), NEVER)
        assert again is not None
        assert (again.run, again.attempt) == (None, 1)
    stack.extra["MILESYNC_PROJECTS"] = "1=proj_unknown"
    with stack.deployment as elsewhere:
        assert work(elsewhere, job(elsewhere), NEVER) is None


def test_a_server_that_is_down_is_asked_again_later(stack: Stack) -> None:
    """The run stays one run, and the attempts come to an end."""
    stack.extra["MILESYNC_TESTRAIL_URL"] = "http://127.0.0.1:1"
    with stack.deployment as down:
        down.clock.sleep = lambda seconds: None  # type: ignore[method-assign]  # noqa: ARG005
        after: Next | None = None
        waits = []
        for _ in range(9):
            after = work(down, job(down, after=after), NEVER)
            if after is None:
                break
            waits.append(after.countdown)
    assert waits == [5, 10, 20, 40, 80]
    with stack.deployment as same:
        assert [run.state for run in same.runs.latest(1, 9)] == ["failed"]


def test_a_migration_is_handed_over_with_its_options(stack: Stack, here: Deployment) -> None:
    """The recorded run waits for a worker; a second one is refused; the slice runs as told."""
    pair = here.settings.projects[0]
    stack.testrail.model.add(1, {"name": "open"})
    closed = stack.testrail.model.add(1, {"name": "closed"})
    stack.testrail.model.update(int(str(closed["id"])), {"is_completed": True})
    options = Options(Trigger.MIGRATION, only=Only.OPEN, allow_mass_archive=True)
    run = enqueue_migration(here, pair, options)
    assert stack.redis.llen("migration") == 1
    assert options_of(run) == options
    with pytest.raises(Busy, match=run.id):
        enqueue_migration(here, pair, options)
    looks = follow(here, [run.id])
    assert [seen.state for seen in next(looks)] == ["unfinished"]
    assert work(here, job(here, Trigger.MIGRATION, Next(run.id, 0, 0.0)), NEVER) is None
    assert [seen.state for seen in list(looks)[-1]] == ["succeeded"]
    assert stack.names() == ["open"]


def test_a_slice_makes_room_for_a_refresh_that_finds_no_worker() -> None:
    """Not at once: three looks in a row, and not before it has done something."""
    waiting = iter([1, 1, 0, 1, 1, 1, 1])
    time = FakeClock().monotonic
    watch = Watch(lambda: False, lambda: next(waiting), SLICE, least=0.0, monotonic=time)
    assert [watch.gives_way() for _ in range(6)] == [False, False, False, False, False, True]
    assert Watch(lambda: True, lambda: 0, SLICE).is_over()
    assert Watch(lambda: False, lambda: 0, seconds=0.0).is_over()


@pytest.mark.parametrize(("reading", "writing"), [(0.0, 20), (10.0, 20), (60.0, 60)])
def test_a_slice_writes_for_as_long_as_it_has_read(reading: float, writing: int) -> None:
    """However many refreshes wait: else a large pair would be read again and again for nothing."""
    clock = FakeClock()
    watch = Watch(lambda: False, lambda: 1000, SLICE, monotonic=clock.monotonic)
    clock.sleep(reading)
    seconds = 0
    while not watch.gives_way():
        clock.sleep(1.0)
        seconds += 1
    assert seconds == writing


def test_a_continuation_that_comes_many_times_disturbs_nobody(stack: Stack) -> None:
    """To four processes at once: one does the slice, the others leave it and its run alone."""
    stack.extra["MILESYNC_TESTABLY_RATE_LIMIT"] = "20/2s"
    for number in range(30):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    with stack.deployment as here:
        after = work(here, job(here), NEVER, After(here, 3))
        assert after is not None
        run = latest(here)
        use_settings(stack.settings)
        for _ in range(8):
            go_on((1, "proj_abc123"), run)
        stack.worker("worker", 4)
        eventually(lambda: latest(here).state == "succeeded", 60, stack.logs("worker"))
        eventually(lambda: stack.log("worker").count(" succeeded in ") >= 8, 30)
        assert latest(here).state == "succeeded"
        assert (latest(here).counts["created"], stack.doubled()) == (30, {})
        assert latest(here).requests["testrail"] == 2
    assert "lost its pair" not in stack.log("worker")


def test_a_reading_of_many_pages_goes_on_from_slice_to_slice(stack: Stack) -> None:
    """Through real Celery, each slice of two seconds; no page is asked for in each of them."""
    stack.testably.model.switches = TestablySwitches(most_per_page=2)
    for number in range(60):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    with stack.deployment as here:
        assert work(here, job(here), NEVER) is None
        before = latest(here).id
    stack.testably.requests.clear()
    stack.extra |= {"MILESYNC_TESTABLY_RATE_LIMIT": "240/60s", "MILESYNC_DRIFT_CHECK": "always"}
    celery = ("tests.service.short_slices", "-A", "worker.tasks", "worker", "-c", "1")
    use_settings(stack.settings)
    with stack.deployment as here:
        sync_project.apply_async((1, "proj_abc123", "schedule"))
        stack.start("worker", *celery, "--without-gossip", "--without-mingle")
        eventually(lambda: latest(here).id != before, 60, stack.logs("worker"))
        eventually(lambda: latest(here).state == "succeeded", 60, stack.logs("worker"))
        run = latest(here)
        assert (run.counts["unchanged"], run.requests["testrail"]) == (60, 1)
        parts = [one["part"] for one in stack.records("worker") if "part" in one]
        assert parts == list(range(2, len(parts) + 2))
        assert len(parts) >= 2
        assert stack.testably.count("GET", "?page=") <= 31 + 2 * len(parts)


def test_a_delivery_that_came_after_the_source_was_read_waits_on(stack: Stack) -> None:
    """The reading of an earlier slice does not show it; the next run does."""
    stack.testably.model.switches = TestablySwitches(most_per_page=2)
    for number in range(12):
        stack.testrail.model.add(1, {"name": f"M{number}"})
    stack.extra["MILESYNC_DRIFT_CHECK"] = "always"
    with stack.deployment as here:
        deliveries = Deliveries(here.store.engine)
        assert work(here, job(here), NEVER) is None
        stack.testrail.requests.clear()
        after = work(here, job(here), After(here, 4))
        assert after is not None
        stack.testrail.model.add(1, {"name": "new"})
        deliveries.record("new", "milestone", Hint(1, 13, "new"), here.clock.now())
        while after is not None:
            after = work(here, job(here, after=after), NEVER)
        assert (stack.testrail.count("GET", "get_milestones"), deliveries.waiting()) == (1, 1)
        assert work(here, job(here, Trigger.WEBHOOK), NEVER) is None
        assert ("new" in stack.names(), deliveries.waiting()) == (True, 0)
