"""A Testably account in memory: its projects, its milestones and its rules, without HTTP.

Fields and rules: the Testably page on milestones (API v1). Every behaviour which that page leaves
open is a field of `TestablySwitches`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mappings.milestone import ACTIVE, ARCHIVED, COMPLETED
from worker.clock import Clock, SystemClock
from worker.sandbox import testably_view as view
from worker.sandbox.rules import Problem, Record, locked
from worker.sandbox.shelf import Shelf
from worker.sandbox.switches import TestablySwitches
from worker.sandbox.testably_checks import FILTERS, checked_create, checked_update, one_of
from worker.sandbox.testably_storage import DATES, TEXTS, stored

PAGE: Final = 100
"""The most rows of one page (Testably page); 20 is its default."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list; ``total`` is what the account says, None where it says nothing."""

    rows: list[Record]
    page: int
    per_page: int
    total: int | None

    @property
    def body(self) -> Record:
        """The answer over HTTP."""
        meta: Record = {"page": self.page, "per_page": self.per_page}
        if self.total is not None:
            meta["total"] = self.total
        return {"data": self.rows, "meta": meta}


def opaque_ids(prefix: str = "ms_", seed: int = 1) -> Iterator[str]:
    """Ids that say nothing and sort in no order, the same ones for the same seed."""
    number = 0
    while True:
        number += 1
        yield prefix + hashlib.blake2s(f"{seed}/{number}".encode(), digest_size=6).hexdigest()


class TestablyModel:
    """The milestones of one Testably account.

    ``projects`` exist; those in ``no_access`` answer 403. Every refusal is a `Problem`.
    """

    __test__ = False

    def __init__(
        self,
        projects: Iterable[str] = ("proj_abc123",),
        *,
        clock: Clock | None = None,
        ids: Iterator[str] | None = None,
        switches: TestablySwitches | None = None,
    ) -> None:
        self.projects = set(projects)
        self.project_names: dict[str, str] = {}
        self.no_access: set[str] = set()
        self.switches = switches or TestablySwitches()
        self.lock = threading.RLock()
        self._clock = clock or SystemClock()
        self._ids = ids or opaque_ids()
        self._shelf: Shelf[str] = Shelf()
        self._made: dict[Hashable, float] = {}
        self._lists: dict[Hashable, Sequence[Hashable]] = {}
        self._reads = 0

    # --- reading

    @locked
    def listing(
        self, project_id: str, status: str | None = None, page: int = 1, per_page: int = 20
    ) -> Listing:
        """One page of a project's milestones, all or those of one status word."""
        self._open_project(project_id)
        if page < 1 or not 1 <= per_page <= PAGE:
            raise Problem(400, f"page starts at 1, per_page goes from 1 to {PAGE}")
        if status is not None:
            one_of("status", status, FILTERS)
        per_page = min(per_page, self.switches.most_per_page or PAGE)
        keys = self._keys(project_id, status)
        start = (page - 1) * per_page
        rows = [self._shown(key) for key in keys[start : start + per_page]]
        total = view.shown_total(len(keys), page * per_page, self.switches)
        return Listing(rows, page, per_page, total)

    @locked
    def get(self, project_id: str, milestone_id: str) -> Record:
        """One milestone with its ``linked_runs`` and ``sub_milestones``."""
        self._known(project_id, milestone_id)
        details: Record = {
            "linked_runs": self._shelf.record(milestone_id).get("linked_runs", []),
            "sub_milestones": [
                view.brief(self._shown(sub)) for sub in self._shelf.children(milestone_id)
            ],
        }
        return details | self._shown(milestone_id)

    @locked
    def runs(
        self, project_id: str, milestone_id: str | None = None, status: str | None = None
    ) -> list[Record]:
        """The test runs that hang on a project's milestones, each with its ``milestone_id``."""
        self._open_project(project_id)
        asked = {"milestone_id": milestone_id, "status": status}
        wanted = {name: value for name, value in asked.items() if value is not None}
        return [
            run
            for key in self._shelf.order(project_id, roots=False)
            for run in view.runs_of(self._shelf.record(key), key)
            if all(run.get(name) == value for name, value in wanted.items())
        ]

    @locked
    def everything(self, project_id: str) -> list[Record]:
        """Every milestone as a list would show it, archived and unlisted ones too."""
        return [self._shown(key) for key in self._shelf.order(project_id, roots=False)]

    @locked
    def live(self, project_id: str) -> list[Record]:
        """Every milestone that is not archived: what is true, for tests to compare."""
        return [row for row in self.everything(project_id) if row.get("status") != ARCHIVED]

    # --- writing

    @locked
    def create(self, project_id: str, body: object) -> Record:
        """A new milestone as its 201 answer shows it; without a status, as POST takes none."""
        self._open_project(project_id)
        fields = checked_create(body, self.switches)
        parent = fields.pop("parent_id", None)
        self._may_hang(project_id, parent)
        new_id = next(key for key in self._ids if key not in self._shelf)
        record = view.blank(new_id, self._now()) | stored(fields, self.switches)
        self._shelf.put(new_id, record, project_id, str(parent) if parent is not None else None)
        self._lists.clear()
        self._made[new_id] = self._clock.monotonic()
        return self._echo(new_id, fields)

    @locked
    def update(self, project_id: str, milestone_id: str, body: object) -> Record:
        """The milestone with only the given fields changed."""
        self._known(project_id, milestone_id)
        fields = checked_update(body, self.switches)
        fields = self._writable(milestone_id, fields)
        record = self._shelf.record(milestone_id)
        record |= stored(fields, self.switches)
        record["updated_at"] = self._now()
        self._lists.clear()
        return self._echo(milestone_id, fields)

    # --- what people and tests do behind the API's back

    @locked
    def remove(self, milestone_id: str) -> None:
        """Delete a milestone and its sub-milestones, as a person could in the user interface."""
        self._shelf.drop(milestone_id)
        self._lists.clear()

    @locked
    def link_run(self, milestone_id: str, run: Record) -> None:
        """Hang a test run on a milestone: id, name, status, pass_rate."""
        runs = self._shelf.record(milestone_id).setdefault("linked_runs", [])
        if isinstance(runs, list):
            runs.append(run)

    @locked
    def plant(self, project_id: str, record: Record) -> str:
        """Put in a record that is answered exactly as it is, however wrong; its key."""
        own = record.get("id")
        key = own if isinstance(own, str) else f"planted-{len(self._shelf)}"
        parent = record.get("parent_id")
        planted = {view.PLANTED: record, "status": record.get("status")}
        self._shelf.put(key, planted, project_id, parent if isinstance(parent, str) else None)
        self._lists.clear()
        return key

    # --- rules

    def _open_project(self, project_id: str) -> None:
        if project_id not in self.projects:
            raise Problem(404, "Project not found")
        if project_id in self.no_access:
            raise Problem(403, "Insufficient permissions")

    def _known(self, project_id: str, milestone_id: str) -> None:
        self._open_project(project_id)
        if milestone_id not in self._shelf or self._shelf.project(milestone_id) != project_id:
            raise Problem(404, "Milestone not found")

    def _may_hang(self, project_id: str, parent: object) -> None:
        """An unknown parent is a bad request body: the page has no other answer for it."""
        if parent is None:
            return
        if parent not in self._shelf or self._shelf.project(str(parent)) != project_id:
            raise Problem(400, "parent_id is not a milestone of this project")
        if self._shelf.parent(str(parent)) is not None:
            raise Problem(400, "milestones nest one level deep")

    def _writable(self, key: str, fields: Record) -> Record:
        """The fields that may be written: a parent's status is derived, and so are auto dates."""
        if not self._deciding_subs(key):
            return fields
        if "status" in fields:
            raise Problem(400, "status is read-only while there are sub-milestones")
        dates = [name for name in DATES if name in fields]
        if self._shelf.record(key).get("date_mode") != "auto" or not dates:
            return fields
        if self.switches.parent_dates_read_only:
            raise Problem(400, f"{dates[0]} is derived from the sub-milestones")
        return {name: value for name, value in fields.items() if name not in dates}

    def _deciding_subs(self, key: Hashable) -> Sequence[Hashable]:
        """The sub-milestones that make their parent's status and dates read-only."""
        if self.switches.archived_subs_lock_status:
            return self._shelf.children(key)
        return [sub for sub in self._shelf.children(key) if self._status(sub) != ARCHIVED]

    # --- records

    def _keys(self, project_id: str, status: str | None) -> Sequence[Hashable]:
        """The listed ids in order; remembered until something changes, for long lists."""
        asked = (project_id, status, self.switches)
        found = self._lists.get(asked)
        if found is None:
            by_status = status is not None and self.switches.status_lists_hold_subs
            roots = not (self.switches.list_holds_subs or by_status)
            order = self._shelf.order(project_id, roots=roots)
            found = [key for key in order if self._listed(key, status)]
            if self.switches.newest_first:
                found.reverse()
        if not self.switches.listing_delay:
            self._lists[asked] = found
        return found

    def _listed(self, key: Hashable, status: str | None) -> bool:
        made = self._made.get(key)
        if made is not None and self._clock.monotonic() - made < self.switches.listing_delay:
            return False
        own = self._status(key)
        if status is None:
            hidden = {ARCHIVED: not self.switches.list_holds_archived}
            hidden[COMPLETED] = not self.switches.list_holds_completed
            return not hidden.get(str(own), False)
        return own == status

    def _status(self, key: Hashable) -> object:
        """The status word; a parent's is derived from its sub-milestones."""
        own = self._shelf.record(key).get("status")
        subs = [self._shelf.record(sub).get("status") for sub in self._shelf.children(key)]
        live = [word for word in subs if word != ARCHIVED]
        if own == ARCHIVED or not live:
            return own
        return COMPLETED if all(word == COMPLETED for word in live) else ACTIVE

    def _shown(self, key: Hashable) -> Record:
        record = self._shelf.record(key)
        planted = record.get(view.PLANTED)
        if isinstance(planted, dict):
            return dict(planted)
        subs = [self._shelf.record(sub) for sub in self._deciding_subs(key)]
        whole = view.with_derived(record, subs) | {"status": self._status(key)}
        self._reads += 1
        parent = self._shelf.parent(key)
        return view.shown(whole, parent, self.switches, self._now(), self._reads)

    def _echo(self, key: str, fields: Record) -> Record:
        answer = self._shown(key)
        if self.switches.echo_differs:
            answer |= {name: fields[name] for name in TEXTS if name in fields}
        return answer

    def _now(self) -> str:
        ahead = timedelta(seconds=self.switches.clock_offset)
        return (self._clock.now() + ahead).replace(microsecond=0).isoformat()
