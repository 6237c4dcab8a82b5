"""What the report of a run says of its pair: sentences, lists, a timeline and a tree.

Made of what is recorded, so that it can be written when a run ends, and for any run afterwards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from mappings.failures import failures
from mappings.footer import marker_url
from mappings.link import Link
from mappings.link_record import Failure
from mappings.overview import overview
from worker.facts import lifecycles, words
from worker.facts.changes import FieldChange, fields_of
from worker.facts.extent import Extent, Reach, extent_of
from worker.facts.matters import Matter, by_milestone, kept
from worker.facts.milestones import BothSides, sides_of, target_address
from worker.facts.recorded import snapshot_of
from worker.facts.runs import DONE, Facts, change_json, run_json, what_was
from worker.facts.timeline import Span, Timeline, timeline
from worker.sync.decide.losses import losses_of
from worker.sync.decide.plan import make_plan
from worker.sync.options import Only, Options

if TYPE_CHECKING:
    from mappings.milestone import SourceMilestone
    from mappings.rows import Change, Pair
    from mappings.run_record import RunRecord
    from worker.bootstrap import Deployment
    from worker.sync.decide.action import Action
    from worker.sync.decide.snapshot import Snapshot

MOST: Final = 5_000
"""Milestones of one report; of a larger project, those alone that the run was about."""
_DAY: Final = len("2026-03-01")


@dataclass(frozen=True, slots=True)
class Entry:
    """One milestone: both sides, and what the run did to it."""

    link: Link
    url: str
    target_url: str
    both: lifecycles.Both
    sides: BothSides
    outcome: str | None = None
    changes: tuple[FieldChange, ...] = ()
    below: list[Entry] = field(default_factory=list)

    @property
    def waits(self) -> Sequence[Failure]:
        """What of it needs a decision, as it stands now."""
        return [one for one in self.link.failures if not one.accepted]

    def dates(self, side: str) -> tuple[str, str]:
        """The days of start and due, as one side has them: ``testrail`` or ``testably``."""
        rows = {row.field: getattr(row, side) or "" for row in self.sides.rows}
        return (rows.get("start_date", "")[:_DAY], rows.get("due_date", "")[:_DAY])


@dataclass(frozen=True, slots=True)
class PairReport:
    """The report of one run.

    ``extent`` is how far it came. ``waiting`` is what needs a decision, by milestone in the form of
    `failures`; ``kept`` are the milestones whose edits in Testably the setting lets win.
    ``not_exact`` is what the run counted, ``lost`` the milestones behind it, by kind, as far as
    they are still the same. ``undo_until`` is None where a run is kept for ever; ``left_out``
    counts what is not listed, and ``only`` is what the run was narrowed to. The last proof, at
    ``proved_at``, ``was_proved_before`` it or after it. It ``tried`` to write; ``left`` is how many
    of how many planned writes were not done, where it knows that.
    """

    pair: Pair
    run: Facts
    name: str
    extent: Extent
    waiting: Sequence[Matter]
    kept: Sequence[Matter]
    accepted: Sequence[Matter]
    lost: Mapping[str, Sequence[Link]]
    tree: Sequence[Entry]
    timeline: Timeline | None
    not_exact: Mapping[str, int]
    verified: Mapping[str, Any] | None
    proved_at: datetime | None
    was_proved_before: bool
    undo_until: datetime | None
    can_undo: bool
    left_out: int
    only: str | None
    tried: bool
    left: tuple[int, int] | None

    @property
    def headline(self) -> str:
        """How many milestones are in Testably, of how many where that is known."""
        there, total = self.extent.there, self.extent.total
        number = there if total is None else total
        of_total = "" if total is None else f" of {total}"
        narrowed = f"{self.only} " if self.only and total is not None else ""
        noun, verb = ("milestone", "is") if number == 1 else ("milestones", "are")
        taken = ", with their parents," if narrowed else ""
        ended = "" if self.extent.reach is not Reach.EARLY else f"; {self.called} {self._ended}"
        return (
            f"{there}{of_total} {narrowed}{noun} of {self.project}{taken} {verb} in Testably{ended}"
        )

    @property
    def project(self) -> str:
        """What people call the project."""
        identity = self.pair.identity
        return self.pair.testrail_name or f"TestRail project {identity.testrail_project}"

    @property
    def called(self) -> str:
        """What the run was."""
        kind = "undo" if self.run["undoes"] else self.run["trigger"]
        return f"this {kind if kind in ('undo', 'migration', 'rebuild') else 'sync'}"

    @property
    def _ended(self) -> str:
        how = {"aborted": "was stopped", "failed": "failed"}.get(self.run["state"])
        if how is None:
            return "has not ended"
        return f"{how} before {'its end' if self.tried else 'it wrote anything'}"


def report_of(deployment: Deployment, run: RunRecord) -> PairReport:
    """The report of a recorded run. Raises StoreError."""
    store = deployment.store
    pair = next(pair for pair in store.all_pairs() if pair.id == run.pair_id)
    links = store.links(pair.id)
    changes = _by_milestone(store.journal.changes(pair.id, run_id=run.id))
    snapshot = snapshot_of(deployment, pair, links)
    actions = {one.testrail_id: one for one in make_plan(snapshot).actions}
    shown = _shown(links, changes)
    tree = _tree(list(_entries(pair, snapshot, actions, shown, changes)), snapshot)
    last_run = overview(store.engine, [pair], brief=True)[pair.id].last_run
    project = deployment.project_to_name(pair.identity.testrail_project)
    listed = failures(store, pair, last_run, project)
    return PairReport(
        pair=pair,
        run=run_json(run),
        name=deployment.runs.shortest_name(run.id),
        extent=extent_of(run, links),
        waiting=by_milestone(listed["failures"]),
        kept=kept(run.problems),
        accepted=by_milestone(listed["accepted"]),
        lost=_lost(run, snapshot, links),
        tree=tree,
        timeline=timeline(list(_spans(tree)), snapshot.now.date()),
        not_exact=run.not_exact,
        verified=run.verified,
        proved_at=pair.proved_at,
        was_proved_before=pair.proved_at is not None and pair.proved_at < run.started_at,
        undo_until=_until(run.finished_at, deployment.settings.sync.kept_for),
        can_undo=bool(changes) and not run.options.get("undoes"),
        left_out=len(links) - len(shown),
        only=run.options.get("only"),
        tried=bool(changes),
        left=_left(run, changes),
    )


def _by_milestone(changes: Sequence[Change]) -> dict[int, list[Facts]]:
    found: dict[int, list[Facts]] = defaultdict(list)
    for one in changes:
        found[one.testrail_id].append(change_json(one))
    return found


def _shown(links: Mapping[int, Link], changes: Mapping[int, Any]) -> dict[int, Link]:
    if len(links) <= MOST:
        return dict(links)
    about = [
        link for link in links.values() if link.testrail_id in changes or link.problem is not None
    ]
    return {link.testrail_id: link for link in about[:MOST]}


def _left(run: RunRecord, changes: Mapping[int, Sequence[Facts]]) -> tuple[int, int] | None:
    """How many of the planned writes were not done; an adoption writes nothing."""
    every = (one for some in changes.values() for one in some)
    done = sum(one["state"] == DONE and one["kind"] != "adopt" for one in every)
    if run.planned is None or done >= run.planned:
        return None
    return run.planned - done, run.planned


def _until(ended: datetime | None, kept: timedelta | None) -> datetime | None:
    return ended + kept if ended is not None and kept is not None else None


def _entries(
    pair: Pair,
    snapshot: Snapshot,
    actions: Mapping[int, Action],
    links: Mapping[int, Link],
    changes: Mapping[int, Sequence[Facts]],
) -> Iterator[Entry]:
    zone = snapshot.rules.timezone
    for id_, link in links.items():
        action = actions.get(id_) if not link.was_gone else None
        mine = changes.get(id_, ())
        yield Entry(
            link,
            marker_url(pair.identity.testrail_url, id_),
            target_address(pair.identity, link.testably_id or ""),
            lifecycles.of_link(link, zone, snapshot.now),
            sides_of(snapshot, link, action),
            what_was(mine) if mine else None,
            tuple(field for one in mine if one["state"] == DONE for field in fields_of(one)),
        )


# --- what is not carried exactly


def _lost(run: RunRecord, snapshot: Snapshot, links: Mapping[int, Link]) -> dict[str, list[Link]]:
    """The milestones behind what the run could not carry exactly, by kind.

    They are found by what was read last, so that a list may have changed since an older run: one
    that does not have as many as the run counted is left out.
    """
    only = run.options.get("only")
    asked = replace(snapshot, options=Options(only=Only(only) if only else None))
    children = _children(asked)
    found: dict[str, dict[int, Link]] = defaultdict(dict)
    counts: Counter[str] = Counter()
    for action in make_plan(asked).actions:
        for kind in losses_of(action, asked, children):
            if action.testrail_id in links:
                found[kind][action.testrail_id] = links[action.testrail_id]
                counts[kind] += 1
    is_the_same = [kind for kind, number in run.not_exact.items() if counts[kind] == number]
    return {kind: list(found[kind].values()) for kind in is_the_same}


def _children(snapshot: Snapshot) -> dict[int, list[SourceMilestone]]:
    found: dict[int, list[SourceMilestone]] = defaultdict(list)
    for id_ in snapshot.scope:
        source = snapshot.source.milestones[id_]
        above = snapshot.places[id_].parent_id
        target = snapshot.link(above).testably_id if above is not None else None
        if above is not None and snapshot.link(id_).target_parent == target is not None:
            found[above].append(source)
    return found


# --- the tree and the timeline


def _tree(entries: Sequence[Entry], snapshot: Snapshot) -> list[Entry]:
    """The milestones with their sub-milestones below them; those of an absent parent at the top."""
    known = {entry.link.testrail_id: entry for entry in entries}
    above = {id_: _above(entry, snapshot) for id_, entry in known.items()}
    below: dict[int, list[Entry]] = defaultdict(list)
    roots = []
    for id_, entry in known.items():
        parent = above[id_]
        if parent in known and above[parent] is None:
            below[parent].append(entry)
        else:
            roots.append(entry)
    for id_, some in below.items():
        known[id_].below.extend(_ordered(some))
    return _ordered(roots)


def _above(entry: Entry, snapshot: Snapshot) -> int | None:
    """The TestRail id of the milestone below which it hangs."""
    place = snapshot.places.get(entry.link.testrail_id)
    return place.parent_id if place else entry.link.parent_id


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    """By start, or due date where there is none; what has neither comes last."""

    def when(entry: Entry) -> tuple[bool, str, int]:
        start, due = entry.dates("testrail")
        return (not (start or due), start or due, entry.link.testrail_id)

    return sorted(entries, key=when)


def _spans(tree: Sequence[Entry], depth: int = 0) -> Iterator[Span]:
    for entry in tree:
        start, due = (date.fromisoformat(day) if day else None for day in entry.dates("testrail"))
        word = entry.both["testrail_lifecycle"] or entry.both["testably_status"] or "unknown"
        name = words.named(entry.link.name)
        yield Span(entry.link.testrail_id, name, word, depth, start, due)
        yield from _spans(entry.below, depth + 1)
