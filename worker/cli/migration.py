"""The runs of several pairs together, as a command that writes does them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mappings.errors import MilesyncError
from worker.cli.progress import progress, reading
from worker.cli.reviewed import require_reviewed
from worker.cli.session import consent

if TYPE_CHECKING:
    from worker.bootstrap import Deployment
    from worker.cli.pair_run import PairRun
    from worker.cli.plan import Looked
    from worker.settings import ProjectPair
    from worker.sync.options import Options
    from worker.sync.report import RunReport
    from worker.sync.reviewed_plan import Document


class Migration:
    """The runs of the chosen pairs, together; each fails on its own."""

    def __init__(
        self, deployment: Deployment, pairs: Sequence[ProjectPair], options: Options
    ) -> None:
        from worker.cli.pair_run import PairRun

        self.deployment = deployment
        self.options = options
        self.runs = [PairRun(deployment, pair, options) for pair in pairs]
        self.is_declined = False
        self._stack = ExitStack()

    @property
    def reports(self) -> list[RunReport]:
        """How each run ended."""
        return [run.report for run in self.runs]

    def plan(self, reviewed: Document | None = None) -> None:
        """Take and plan every pair. Raises GuardTripped if that is not what was reviewed."""
        for run in self.runs:
            _plan(run)
        if reviewed is not None:
            require_reviewed(reviewed, _looked(self.runs), self.options, self.deployment)

    def run(self, *, yes: bool, as_json: bool) -> None:
        """Show the plans, ask unless ``yes``, and apply them."""
        if not (yes and as_json):
            self._show_plans(as_json=as_json)
        self.is_declined = not yes and self._something_to_ask() and not consent("Go on?")
        if not self.is_declined:
            for run in self.runs:
                self._apply(run)

    def one_by_one(self) -> None:
        """Plan and apply each pair before the next."""
        for run in self.runs:
            _plan(run)
            self._apply(run)

    def _something_to_ask(self) -> bool:
        plans = [run.planned.plan for run in self.runs if run.planned is not None]
        return any(plan.changes and not plan.guards for plan in plans)

    def _show_plans(self, *, as_json: bool) -> None:
        import sys

        from worker.cli.output import console
        from worker.cli.plan import show_one

        out = console(sys.stderr if as_json else sys.stdout)
        looked = _looked(self.runs)
        for identity, result in zip(looked.identities, looked.results, strict=True):
            if not isinstance(result, MilesyncError):  # an error is told with the run's end
                show_one(out, identity, result, self.deployment)

    def _apply(self, run: PairRun) -> None:
        if run.planned is not None:
            name = f"Project {run.pair.testrail}"
            with progress(self.deployment, name, run.planned.plan.writes) as on_outcome:
                run.apply(on_outcome)

    def __enter__(self) -> Migration:
        for run in self.runs:
            self._stack.enter_context(run)
        return self

    def __exit__(self, *ended: Any) -> None:
        self._stack.__exit__(*ended)


@contextmanager
def interruptible(migration: Migration) -> Iterator[list[KeyboardInterrupt]]:
    """Open the runs; gives the signal that ended them, if one does, for their report."""
    interrupts: list[KeyboardInterrupt] = []
    try:
        with migration:
            yield interrupts
    except KeyboardInterrupt as ended:
        interrupts.append(ended)


def _plan(run: PairRun) -> None:
    with reading(f"project {run.pair.testrail}"):
        run.plan()


def _looked(runs: Sequence[PairRun]) -> Looked:
    """What the runs have planned so far, as `milesync plan` shows it."""
    from worker.cli.plan import Looked

    results = [run.planned or run.report.error for run in runs]
    return Looked([run.identity for run in runs], results)  # type: ignore[arg-type]
