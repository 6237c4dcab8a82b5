"""What a person agreed to with `migrate --background` is what the workers do, or nothing (R5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from mappings.run_record import RunRecord
from tests.service.stack import Stack
from tests.service.test_slices import NEVER, After, job, latest
from worker.background import enqueue_migration
from worker.bootstrap import Deployment
from worker.sync.options import Options, Trigger
from worker.tasks.slices import Next, work

ON_THE_FIRST = 1772319600
"""2026-02-28T23:00:00Z, which is midnight in Berlin."""
OTHERS = [
    ("TESTRAIL_TIMEZONE", "Europe/Berlin", "another time zone (none where it was agreed to, "),
    ("DESCRIPTION_FOOTER", "false", "the footer switched on or off (True where it was agreed"),
    ("ON_SOURCE_DELETE", "keep", "another MILESYNC_ON_SOURCE_DELETE (archive where it was"),
    ("ON_TARGET_EDIT", "target", "another MILESYNC_ON_TARGET_EDIT (source where it was"),
    ("TESTRAIL_SUBMILESTONES", "each", "another MILESYNC_TESTRAIL_SUBMILESTONES (auto where it"),
]


@pytest.fixture
def here(stack: Stack) -> Iterator[Deployment]:
    """Where the person agrees; the workers are `elsewhere`."""
    stack.extra["MILESYNC_CONCURRENCY"] = "1"
    for number in range(6):
        dates = {"start_on": ON_THE_FIRST, "due_on": ON_THE_FIRST}
        stack.testrail.model.add(1, {"name": f"M{number}", **dates})
    with stack.deployment as made:
        yield made


def hand_over(here: Deployment) -> RunRecord:
    return enqueue_migration(here, here.settings.projects[0], Options(Trigger.MIGRATION))


def go_on(at: Deployment, run: RunRecord, is_over: Callable[[], bool] = NEVER) -> RunRecord:
    """One slice of the run; how it stands then."""
    work(at, job(at, Trigger.MIGRATION, Next(run.id, 0, 0.0)), is_over)
    found = at.runs.get(run.id)
    assert found is not None
    return found


def once_written(stack: Stack, here: Deployment, count: int) -> Callable[[], bool]:
    """Says that a slice is over as soon as so many milestones are written."""
    After(here, 0)  # makes time pass, so that it is asked at every item
    return lambda: len(stack.targets()) >= count


def elsewhere(stack: Stack, name: str, value: str) -> Deployment:
    stack.extra[f"MILESYNC_{name}"] = value
    return stack.deployment


def written(stack: Stack) -> Counter[tuple[str, bool]]:
    """The dates that Testably has, and whether there is a footer, each with how often."""
    return Counter(
        (str(one["due_date"]), "TestRail:" in str(one["description"])) for one in stack.targets()
    )


AGREED = ("2026-02-28T23:00:00Z", True)


@pytest.mark.parametrize(("name", "value", "said"), OTHERS)
def test_a_worker_with_other_settings_does_nothing_of_what_was_handed_over(
    stack: Stack, here: Deployment, name: str, value: str, said: str
) -> None:
    """It ends with the guard; with the settings that were agreed to, it is done once more."""
    run = hand_over(here)
    asked = len(stack.testrail.requests)
    with elsewhere(stack, name, value) as other:
        ended = go_on(other, run)
    error = ended.error or {}
    assert (ended.state, error["kind"]) == ("aborted", "guard")
    assert said in error["message"]
    assert f"{value if value != 'false' else 'False'} at the worker)." in error["message"]
    assert "the same `milesync migrate` again" in error["hint"]
    assert (stack.targets(), len(stack.testrail.requests)) == ([], asked)
    assert go_on(here, hand_over(here)).state == "succeeded"
    assert written(stack) == {AGREED: 6}


@pytest.mark.parametrize(("count", "phase"), [(2, "applying"), (6, "proving")])
def test_what_was_begun_does_not_go_on_under_other_settings(
    stack: Stack, here: Deployment, count: int, phase: str
) -> None:
    """Neither what is left to write nor, where all is written, the proof that could push more."""
    with capture_logs(processors=[merge_contextvars]) as told:
        run = go_on(here, hand_over(here), once_written(stack, here, count))
    assert run.state == "unfinished"
    assert [line["phase"] for line in told if line["event"] == "run ended"] == [phase]
    before, asked = written(stack), len(stack.testably.requests)
    with elsewhere(stack, "TESTRAIL_TIMEZONE", "Europe/Berlin") as other:
        ended = go_on(other, run)
    assert (ended.state, ended.counts["created"]) == ("aborted", before.total())
    assert (written(stack), len(stack.testably.requests)) == (before, asked)
    ended = go_on(here, hand_over(here))
    assert (ended.state, ended.counts["created"]) == ("succeeded", 6 - before.total())
    assert written(stack) == {AGREED: 6}


def test_a_restart_with_the_same_settings_goes_on(stack: Stack, here: Deployment) -> None:
    run = go_on(here, hand_over(here), once_written(stack, here, 2))
    assert run.state == "unfinished"
    with stack.deployment as again:
        assert go_on(again, run).state == "succeeded"


def test_a_run_of_a_version_that_kept_no_agreement_goes_on(stack: Stack, here: Deployment) -> None:
    run = hand_over(here)
    kept = {name: value for name, value in run.options.items() if name != "agreed"}
    here.runs.change(run.id, options=kept)
    with elsewhere(stack, "ON_SOURCE_DELETE", "keep") as other:
        assert go_on(other, run).state == "succeeded"


def test_the_schedule_does_not_do_what_the_run_was_kept_from(
    stack: Stack, here: Deployment
) -> None:
    """Nothing was written yet, and a first sync of a pair would wait for nobody."""
    run = hand_over(here)
    with elsewhere(stack, "DESCRIPTION_FOOTER", "false") as other:
        go_on(other, run)
        assert work(other, job(other), NEVER) is None
        assert latest(other).state == "aborted"
    assert stack.targets() == []


def test_a_pair_in_step_is_kept_in_step_after_a_migration_with_wrong_settings(
    stack: Stack, here: Deployment
) -> None:
    """Of what the workers keep in step, nothing was agreed to be otherwise and then done."""
    assert work(here, job(here), NEVER) is None
    with elsewhere(stack, "DESCRIPTION_FOOTER", "false") as other:
        run = hand_over(other)
    assert go_on(here, run).state == "aborted"
    assert work(here, job(here), NEVER) is None
    assert (latest(here).trigger, latest(here).state) == ("schedule", "succeeded")
    assert written(stack) == {AGREED: 6}
