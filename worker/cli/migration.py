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
        self._show_plans(self.runs, yes=yes, as_json=as_json)
        self.is_declined = not (yes or _consents(self.runs))
        if not self.is_declined:
            for run in self.runs:
                self._bring_up_to_date(run, yes=yes, as_json=as_json)
                self._apply(run)

    def _bring_up_to_date(self, run: PairRun, *, yes: bool, as_json: bool) -> None:
        """Decide anew about a pair that has waited; end it where that is not what is wanted.

        It has waited for the answer to a question, or for the pairs before it. A person who has
        seen another plan is asked again; what was reviewed is done as it was, or not at all.
        """
        from worker.sync.reviewed_plan import PlanChanged

        while run.is_old:
            with reading(f"project {run.pair.testrail}"):
                differ = run.plan_again()
            if differ and self.options.reviewed:
                run.end(PlanChanged.since(differ, self.options.flags))
            elif differ:
                self._show_plans([run], yes=yes, as_json=as_json, again=True)
                if not (yes or _consents([run])):
                    run.end()

    def one_by_one(self) -> None:
        """Plan and apply each pair before the next."""
        for run in self.runs:
            _plan(run)
            self._apply(run)

    def _show_plans(
        self, runs: Sequence[PairRun], *, yes: bool, as_json: bool, again: bool = False
    ) -> None:
        import sys

        from worker.cli.output import console
        from worker.cli.plan import show_one

        if yes and as_json:
            return
        out = console(sys.stderr if as_json else sys.stdout)
        if again:
            out.print("The plan is another one by now:")
        looked = _looked(runs)
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


def _consents(runs: Sequence[PairRun]) -> bool:
    """Whether a person agrees to the plans; nobody is asked where there is nothing to do."""
    plans = [run.planned.plan for run in runs if run.planned is not None]
    asks = any(plan.changes and not plan.guards for plan in plans)
    return not asks or consent("Go on?")


def _looked(runs: Sequence[PairRun]) -> Looked:
    """What the runs have planned so far, as `milesync plan` shows it."""
    from worker.cli.plan import Looked

    results = [run.planned or run.report.error for run in runs]
    return Looked([run.identity for run in runs], results)  # type: ignore[arg-type]
