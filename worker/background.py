"""Migrations that the workers do: handing one over, and reading how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from mappings.errors import Busy, MilesyncError
from mappings.locks import pair_lock
from mappings.run_record import RUNNING, UNFINISHED, RunRecord
from worker.bootstrap import Deployment
from worker.errors import SettingsError
from worker.redis_causes import redis_words
from worker.settings import ProjectPair
from worker.sync.options import Options
from worker.sync.report import error_json
from worker.tasks import go_on, use_settings
from worker.tasks.agreed import deciding_settings

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the recorded runs."""


class BrokerAway(MilesyncError):
    """The migration could not be handed over."""

    kind = "broker"


def enqueue_migration(deployment: Deployment, pair: ProjectPair, options: Options) -> RunRecord:
    """Hand a migration to the workers: its recorded run, which `follow` and `status` show.

    Raises SettingsError without Redis, Busy if the pair is being run, BrokerAway, StoreError.
    """
    if deployment.redis is None:
        raise SettingsError(
            "MILESYNC_REDIS_URL is not set, so there are no workers.",
            "Set it where the workers have it, or start `milesync up`.",
        )
    run = _recorded(deployment, pair, options)
    use_settings(deployment.shared_settings)
    try:
        go_on((pair.testrail, pair.testably), run)
    except Exception as error:
        # whatever the broker's client raises: nobody may take this run up
        said, hint = redis_words(error)
        away = BrokerAway(
            f"The broker did not answer: {said}.", f"{hint} Or migrate without --background."
        )
        deployment.runs.abort_waiting(run.id, error_json(away))
        raise away from error
    return run


def _recorded(deployment: Deployment, configured: ProjectPair, options: Options) -> RunRecord:
    """The run, waiting for a worker; of several that are asked for at once, one."""
    pair = deployment.store.pair(deployment.identity(configured))
    _require_idle(deployment, pair.id)
    with pair_lock(deployment.store.engine, pair.id):
        _require_idle(deployment, pair.id)
        deployment.store.update_pair(pair.id, paused_because=None)  # a person tries again
        return deployment.runs.begin(
            pair.id,
            options.trigger.value,
            "the workers",
            deployment.clock.now(),
            {
                **asdict(options),
                "trigger": options.trigger.value,
                "background": True,
                "by": deployment.holder,
                "agreed": deciding_settings(deployment, configured),
            },
            exclusive=False,
            state=UNFINISHED,
        )


def _require_idle(deployment: Deployment, pair_id: int) -> None:
    for run in deployment.runs.open(pair_id):
        if deployment.runs.is_alive(run):
            raise Busy(
                f"Run {run.id} ({run.trigger}) of this project pair is running: {run.holder}.",
                f"Wait until it has ended, or stop it with `milesync stop {run.id}`.",
            )
        if run.options.get("background"):
            raise Busy(
                f"Run {run.id} of this project pair is with the workers already.",
                f"`milesync status` shows it, `milesync stop {run.id}` stops it.",
            )


def is_open(run: RunRecord) -> bool:
    """Whether the workers still have something to do in this run."""
    return run.state in (RUNNING, UNFINISHED)


def follow(deployment: Deployment, run_ids: Sequence[str]) -> Iterator[list[RunRecord]]:
    """The runs as they are recorded, about once a second until all have ended; the last look too.

    Only looks: a caller that stops looking leaves them running.
    """
    while True:
        found = [run for run_id in run_ids if (run := deployment.runs.get(run_id))]
        yield found
        if not any(is_open(run) for run in found):
            return
        deployment.clock.sleep(LOOK_EVERY)
