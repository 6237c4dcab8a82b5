"""What a person agreed to when a run was handed to the workers: kept with it, and held to (R5)."""

from __future__ import annotations

from mappings.rows import Pair
from mappings.run_record import RunRecord
from worker.bootstrap import Deployment
from worker.errors import GuardTripped
from worker.settings import ProjectPair
from worker.sync.decide.guards import agreed_guard
from worker.sync.report import error_json
from worker.tasks.given_up import give_up


def deciding_settings(deployment: Deployment, pair: ProjectPair) -> dict[str, str]:
    """The settings that decide what is done about the milestones of a pair, by their names."""
    settings = deployment.settings
    return {
        "rules": deployment.rules(pair.timezone).fingerprint,
        "on_target_edit": settings.sync.on_target_edit,
        "on_source_delete": settings.sync.on_source_delete,
        "submilestones": settings.testrail.submilestones,
    }


def is_as_agreed(
    deployment: Deployment, configured: ProjectPair, pair: Pair, run: RunRecord
) -> bool:
    """Whether the settings here do what was agreed to with a run, if anything was; else it ends.

    A pair that no run has written yet then keeps the rules that were agreed to, so that the
    schedule does not do at once what the run was kept from. Raises StoreError.
    """
    agreed = run.options.get("agreed", {})
    guard = agreed_guard(agreed, deciding_settings(deployment, configured))
    if guard is None:
        return True
    if pair.rules is None:
        deployment.store.update_pair(pair.id, rules=agreed["rules"])
    give_up(deployment, run.id, error_json(GuardTripped(guard.message, guard.hint)))
    return False
