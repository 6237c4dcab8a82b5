"""Pairs of many milestones that are in step: their pages as files, and their database.

``python -m benchmarks.big_pair FOLDER COUNT PORT`` writes ``source.json`` and ``target.json`` (the
rows of both sides by project, as their lists show them), ``milesync.toml`` and ``milesync.db`` for
one pair, and ``new.toml`` for the same milestones before anything of them is in Testably. A
third are sub-milestones; Testably derives the status and the dates of their parents.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from mappings.database import ensure_ready, open_engine
from mappings.dates import moment_of
from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import (
    COMPLETED,
    MappingRules,
    SourceMilestone,
    TargetMilestone,
    Values,
    desired_values,
)
from mappings.rows import PairIdentity, link_columns
from mappings.store import Store
from mappings.tables import links
from worker.clients.records import parse_source, parse_target
from worker.sandbox.seed import seed
from worker.sandbox.testrail_model import TestRailModel

PROJECT, TARGET, EMPTY_TARGET = 1, "proj_abc123", "proj_empty"
CREATED = 1_767_225_600
"""2026-01-01 in Unix seconds: the first target was created then, each a second later."""

Children = dict[int, list[SourceMilestone]]


def make(folder: Path, count: int, port: int) -> None:
    """Write everything for one pair of ``count`` milestones whose pages are served on ``port``."""
    engine = open_engine(f"sqlite:///{folder}/milesync.db")
    ensure_ready(engine)
    make_pairs(folder, engine, {PROJECT: TARGET}, count, port)
    engine.dispose()
    (folder / "milesync.toml").write_text(_settings(port, "milesync.db", TARGET))
    (folder / "new.toml").write_text(_settings(port, "new.db", EMPTY_TARGET))


def make_pairs(
    folder: Path, engine: Engine, projects: Mapping[int, str], count: int, port: int
) -> None:
    """Write the pages of these pairs, of ``count`` milestones each, and their links."""
    rules = MappingRules(f"http://127.0.0.1:{port}")
    model, store = TestRailModel(projects), Store(engine)
    every_source, every_target = {}, {}
    for project, target in projects.items():
        seed(model, project, count)
        rows = [dict(row) for row in model.everything(project)]
        targets, known = _in_step(rows, rules)
        every_source[project], every_target[target] = rows, targets
        identity = PairIdentity(rules.testrail_url, project, rules.testrail_url, target)
        _keep(store, identity, rules, known)
    (folder / "source.json").write_text(json.dumps(every_source))
    (folder / "target.json").write_text(json.dumps(every_target))


def _in_step(
    rows: Sequence[dict[str, Any]], rules: MappingRules
) -> tuple[list[dict[str, Any]], list[Link]]:
    """The targets of these rows as Testably lists them, and their links."""
    sources = [parsed for row in rows if isinstance(parsed := parse_source(row), SourceMilestone)]
    children: Children = defaultdict(list)
    for source in sources:
        if source.parent_id is not None:
            children[source.parent_id].append(source)
    desired = {s.id: desired_values(s, rules, has_children=s.id in children) for s in sources}
    targets = [_target_row(source, desired, children) for source in sources]
    both = zip(sources, targets, strict=True)
    return targets, [_link(source, row, desired, children) for source, row in both]


def _target_row(
    source: SourceMilestone, desired: dict[int, Values], children: Children
) -> dict[str, Any]:
    own = desired[source.id]
    below = [desired[child.id] for child in children.get(source.id, ())]
    starts = [start for one in below if (start := one["start_date"])]
    ends = [due for one in below if (due := one["due_date"])]
    completed = all(one["status"] == COMPLETED for one in below or [own])
    return {
        "id": f"ms_{source.id}",
        "name": own["name"],
        "description": own["description"],
        "start_date": min(starts, default=None) if below else own["start_date"],
        "due_date": max(ends, default=None) if below else own["due_date"],
        "status": COMPLETED if completed else "active",
        "progress": 0,
        "parent_milestone_id": source.parent_id and f"ms_{source.parent_id}",
        "created_at": moment_of(CREATED + source.id),
        "updated_at": moment_of(CREATED + source.id),
    }


def _link(
    source: SourceMilestone, row: dict[str, Any], desired: dict[int, Values], children: Children
) -> Link:
    target = parse_target(row)
    assert isinstance(target, TargetMilestone)
    is_parent = source.id in children
    applied = {n: v for n, v in desired[source.id].items() if not (is_parent and n == "status")}
    known = Link(source.id, target.id, LinkState.LINKED, parent_id=source.parent_id)
    return replace(
        known.read_from(source, has_children=is_parent),
        last_applied=applied,
        observed=target.values,
        observed_at=target.updated_at,
        target_parent=target.parent_id,
        source_fingerprint=fingerprint_of_source(source),
        version=1,
    )


def _keep(store: Store, identity: PairIdentity, rules: MappingRules, known: list[Link]) -> None:
    pair = store.pair(identity)
    store.update_pair(pair.id, rules=rules.fingerprint)
    with store.engine.begin() as connection:
        columns = [{"pair_id": pair.id, **link_columns(link)} for link in known]
        connection.execute(insert(links), columns)


def _settings(port: int, database: str, target: str) -> str:
    return f"""database_url = "sqlite:///{database}"

[testrail]
url = "http://127.0.0.1:{port}"
user = "ada@example.com"
api_key = "rail-key"
rate_limit = "1000000/1s"

[testably]
url = "http://127.0.0.1:{port}"
token = "testably_sandbox"
rate_limit = "1000000/1s"

[[projects]]
testrail = {PROJECT}
testably = "{target}"
"""


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
