"""What the database knows of a run: found by a part of its id, as facts for JSON and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from mappings.commands import for_project
from mappings.errors import MilesyncError
from worker.errors import UsageError
from worker.facts import ending, words

if TYPE_CHECKING:
    from mappings.rows import Change, Pair, PairIdentity
    from mappings.run_record import RunRecord
    from mappings.runs import RunLog
    from worker.bootstrap import Deployment
    from worker.sync.report import RunReport

Facts = dict[str, Any]
PAIR: Final = ("testrail_project", "testably_project", "testrail_name", "testably_name")
"""What tells people of a pair, in the order in which a heading takes it."""
DONE: Final = "done"
"""The state of a change that the target has carried out."""
_WANTED_BY: Final = {"schedule": "the schedule", "webhook": "a webhook"}
WRITTEN: Final = {"create": "created", "adopt": "adopted", "archive": "archived"}
"""What a change makes of a milestone, by its kind; all others have updated it."""


def find_run(runs: RunLog, name: str) -> RunRecord:
    """The run whose id is, begins or ends with ``name``. Raises UsageError."""
    from mappings.runs import MOST_NAMED

    found = runs.named(name) if name else []
    if not found:
        raise UsageError(
            f"There is no run {name or 'without a name'}.",
            "`milesync runs` lists the runs. One that is older than MILESYNC_RETENTION is not kept,"
            " and of runs without changes the newest of a stretch is, after a day.",
        )
    if len(found) > 1:
        candidates = ", ".join(run.id for run in found)
        number = f"{len(found)} or more" if len(found) == MOST_NAMED else str(len(found))
        raise UsageError(
            f"'{name}' could be any of {number} runs: {candidates}.", "Give more of the id."
        )
    return found[0]


def moment(at: datetime | None) -> str | None:
    """A time as the documents show it: in UTC, to the second."""
    text = at and at.astimezone(UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z") if text else None


def run_json(run: RunRecord, project: int | None = None) -> Facts:
    """A run as ``status --json`` and ``runs --json`` show it.

    ``summary`` says in words what came of the milestones. ``stands_for`` counts the runs without
    changes ``since`` a moment that are one row now. ``project`` is what the commands in its error
    name, as in `for_project`.
    """
    return {
        "run": run.id,
        "trigger": run.trigger,
        "undoes": run.options.get("undoes"),
        "stands_for": run.options.get("stands_for", 1),
        "since": run.options.get("since"),
        "state": run.state,
        "holder": run.holder,
        "by": _ran_by(run),
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "planned": run.planned,
        "counts": dict(run.counts),
        "summary": summary_of(run),
        "requests": dict(run.requests),
        "error": run.error
        and {**run.error, "hint": for_project(run.error.get("hint", ""), project)},
        "stop_requested": run.stop_requested,
    }


def summary_of(run: RunRecord) -> str:
    """What came of the milestones in a run, in a few words."""
    is_undo = bool(run.options.get("undoes"))
    return ending.counted(run.counts, run.problems, run.state, is_undo=is_undo)


def _ran_by(run: RunRecord) -> str:
    """Who wanted a run: a person on a machine, the schedule, or a webhook."""
    if run.trigger in _WANTED_BY:
        return _WANTED_BY[run.trigger]
    who: str = run.options.get("by", run.holder)
    return who.partition(", process ")[0]


def change_json(change: Change) -> Facts:
    """One write to a milestone, with the values before and after."""
    return {
        "at": moment(change.at),
        "kind": change.kind,
        "state": change.state.value,
        "run": change.run_id,
        "testrail_id": change.testrail_id,
        "testably_id": change.testably_id,
        "before": dict(change.before),
        "after": dict(change.after),
        "echo": None if change.echo is None else dict(change.echo),
        "note": change.note,
    }


class RecordedError(MilesyncError):
    """What ended a run, as it was recorded: of the kind that it was."""

    def __init__(self, recorded: Mapping[str, str]) -> None:
        super().__init__(recorded.get("message", ""), recorded.get("hint", ""))
        self.kind = recorded.get("kind", self.kind)


def report_of(identity: PairIdentity, run: RunRecord) -> RunReport:
    """A recorded run as the report that was made when it ended, but for ``held_accepted``."""
    from worker.sync.report import RunReport, State

    error = None if run.error is None else RecordedError(run.error)
    problems = tuple(dict(problem) for problem in run.problems)
    known = {state.value for state in State}
    state = State(run.state) if run.state in known else State.UNFINISHED
    told = (run.counts, run.requests, problems, run.not_exact, error, run.verified)
    return RunReport(identity, run.id, state, *told)


# --- in a few words -----------------------------------------------------------------------------


def kind(run: Facts) -> str:
    """What sort of run it was."""
    if run["undoes"]:
        return "undo"
    return "sync" if run["trigger"] == "manual" else str(run["trigger"])


def what(run: Facts) -> str:
    """What a run did so far, in a few words."""
    asked = run["stop_requested"] and run["state"] == "running"
    counted = any(run["counts"].values()) or not run["error"]
    parts = [run["summary"]] if counted else []
    parts += [f"undoes …{run['undoes'][-4:]}"] if run["undoes"] else []
    parts += [f"{run['stands_for']} runs like it since {run['since'][:10]}"] if run["since"] else []
    parts += ["asked to stop"] if asked else []
    parts += [run["error"]["message"]] if run["error"] else []
    return "; ".join(parts)


def took(run: Facts) -> str:
    """How long a run took, or that it has not ended."""
    if run["finished_at"] is None:
        return "has not ended"
    began, ended = (datetime.fromisoformat(run[name]) for name in ("started_at", "finished_at"))
    return words.lasted(ended - began)


def written(kind: str) -> str:
    """What a write of this kind did, in the word that people have for it."""
    return "taken back" if kind == "undo" else words.called(WRITTEN.get(kind, "updated"))


# --- one run with everything about it -----------------------------------------------------------


def where(pair: Pair) -> Facts:
    """The ids of a pair's projects, and their names."""
    identity = pair.identity
    return {
        "testrail_project": identity.testrail_project,
        "testably_project": identity.testably_project,
        **names_of(pair),
    }


def names_of(pair: Pair | None) -> Facts:
    """The names of a pair's projects, as far as they are known."""
    return {
        "testrail_name": pair.testrail_name if pair else None,
        "testably_name": pair.testably_name if pair else None,
    }


def pair_of(deployment: Deployment, run: RunRecord) -> Pair:
    """The pair of a run."""
    return next(pair for pair in deployment.store.all_pairs() if pair.id == run.pair_id)


def whole(deployment: Deployment, run: RunRecord) -> Facts:
    """Everything that is known of a run."""
    pair = pair_of(deployment, run)
    changes = deployment.store.journal.changes(pair.id, run_id=run.id)
    links = deployment.store.links(pair.id, {change.testrail_id for change in changes})
    names = {id_: link.name for id_, link in links.items()}
    return {
        **where(pair),
        "testrail_url": pair.identity.testrail_url,
        **run_json(run, deployment.project_to_name(pair.identity.testrail_project)),
        "problems": [dict(problem) for problem in run.problems],
        "not_exact": dict(run.not_exact),
        "verified": run.verified and dict(run.verified),
        "changes": [
            {**change_json(one), "name": names.get(one.testrail_id, "")} for one in changes
        ],
    }


def reported(deployment: Deployment, run: RunRecord) -> Facts:
    """The report of a run that is over: the document that its command would have written."""
    pair = pair_of(deployment, run)
    facts = whole(deployment, run)
    project = {
        **report_of(pair.identity, run).as_json(),
        **{name: facts[name] for name in ("trigger", "undoes", "started_at", "finished_at")},
        "verified": facts["verified"],
        "testrail_url": pair.identity.testrail_url,
        "items": _with_lifecycles(deployment, pair, list(_items(facts))),
    }
    if run.error is not None:
        project["error"] = facts["error"]
    return {"state": project["state"], "projects": [project]}


def what_was(changes: Sequence[Facts]) -> str:
    """What a run's writes to one milestone came to, as a counter of a run calls it."""
    done = any(change["state"] == DONE for change in changes)
    return WRITTEN.get(changes[0]["kind"], "updated") if done else "quarantined"


def _items(facts: Facts) -> Iterator[Facts]:
    """Every milestone that the run wrote to or could not deal with."""
    problems = {
        key: [{"kind": one["kind"], "reason": one["reason"]} for one in found]
        for key, found in by_milestone(facts["problems"]).items()
    }
    for testrail_id, changes in by_milestone(facts["changes"]).items():
        yield {
            "testrail_id": testrail_id,
            "testably_id": changes[-1]["testably_id"],
            "name": changes[0]["name"],
            "action": changes[0]["kind"],
            "result": what_was(changes),
            "reason": "",
            "problems": problems.pop(testrail_id, []),
        }
    for testrail_id, left in problems.items():
        first = next(one for one in facts["problems"] if one["testrail_id"] == testrail_id)
        yield {
            "testrail_id": testrail_id,
            "testably_id": first.get("testably_id"),
            "name": first.get("name") or "",
            "action": "skip",
            "result": first.get("result", "quarantined"),
            "reason": "",
            "problems": left,
        }


def _with_lifecycles(deployment: Deployment, pair: Pair, items: list[Facts]) -> list[Facts]:
    """The items with where their milestones stand, as both sides were read last."""
    from worker.facts import lifecycles

    zone, now = lifecycles.zone_of(deployment, pair), deployment.clock.now()
    ids = {item["testrail_id"] for item in items if item["testrail_id"] is not None}
    links = deployment.store.links(pair.id, ids)
    return [
        {**item, **(lifecycles.of_link(link, zone, now) if link else {})}
        for item in items
        for link in [links.get(item["testrail_id"])]
    ]


def by_milestone(rows: Sequence[Facts]) -> dict[int | None, list[Facts]]:
    """The rows of each milestone, in the order of the first."""
    found: dict[int | None, list[Facts]] = {}
    for row in rows:
        found.setdefault(row["testrail_id"], []).append(row)
    return found
