"""The contract's JSON documents as schemas."""

from __future__ import annotations

from typing import Any

import jsonschema

TEXT = {"type": "string"}
MAYBE_TEXT = {"type": ["string", "null"]}
COUNT = {"type": "integer", "minimum": 0}
ID = {"type": "integer"}
MAYBE_ID = {"type": ["integer", "null"]}


def table(**properties: Any) -> dict[str, Any]:
    """An object with at least these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def rows(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


ERROR = table(kind=TEXT, message=TEXT, hint=TEXT)
FAILURE = table(state={"const": "failed"}, error=ERROR)
PAIR: dict[str, Any] = {"testrail_project": ID, "testably_project": TEXT}
REQUESTS = table(testrail=COUNT, testably=COUNT)
STATE = {"enum": ["succeeded", "partial", "failed", "aborted"]}
COUNTERS = (
    "created",
    "adopted",
    "updated",
    "archived",
    "unchanged",
    "quarantined",
    "conflicts",
    "waiting",
    "held",
)
PROBLEM = table(testrail_id=MAYBE_ID, testably_id=MAYBE_TEXT, kind=TEXT, reason=TEXT)
VERIFIED = table(
    in_step={"type": ["boolean", "null"]},
    compared=COUNT,
    exempt={"type": "object", "additionalProperties": COUNT},
    changed_since=COUNT,
    scope=TEXT,
)
RUN = table(
    run=MAYBE_TEXT,
    state=STATE,
    **PAIR,
    **dict.fromkeys(COUNTERS, COUNT),
    requests=REQUESTS,
    problems=rows(PROBLEM),
    not_exact={"type": "object", "additionalProperties": COUNT},
    verified={"anyOf": [{"type": "null"}, VERIFIED]},
)
RUNS = table(state=STATE, projects=rows(RUN))
FIELDS = {"type": "object", "additionalProperties": table(before=MAYBE_TEXT, after=MAYBE_TEXT)}
ACTION = table(
    action={"enum": ["create", "adopt", "update", "archive", "skip", "conflict", "quarantine"]},
    testrail_id=MAYBE_ID,
    testably_id=MAYBE_TEXT,
    name=TEXT,
    reason=TEXT,
    fields=FIELDS,
)
PLAN = table(
    projects=rows(
        table(**PAIR, actions=rows(ACTION), requests=REQUESTS, minutes={"type": "number"})
    )
)
DIFFERENCE = table(
    testrail_id=ID, testably_id=TEXT, field=TEXT, expected=MAYBE_TEXT, actual=MAYBE_TEXT
)
VERDICT = table(
    **PAIR,
    in_step={"type": "boolean"},
    compared=COUNT,
    differences=rows(DIFFERENCE),
    missing=rows(table(testrail_id=MAYBE_ID, name=TEXT)),
    extra=rows(table(testably_id=TEXT, name=TEXT)),
    exempt={"type": "object", "additionalProperties": COUNT},
    kept=rows(DIFFERENCE),
    accepted=rows(DIFFERENCE),
)
VERIFY = table(in_step={"type": "boolean"}, projects=rows(VERDICT))
CHECK = table(
    ok={"type": "boolean"},
    checks=rows(table(name=TEXT, ok={"type": "boolean"}, message=TEXT, hint=TEXT)),
    state={"enum": ["succeeded", "failed"]},
)
PAST_RUN = table(
    run=TEXT,
    trigger=TEXT,
    state=TEXT,
    started_at=TEXT,
    finished_at=MAYBE_TEXT,
    counts={"type": "object"},
)
RUN_OF_PAIR = {
    **PAST_RUN,
    "properties": {**PAST_RUN["properties"], **PAIR, "holder": MAYBE_TEXT},
    "required": [*PAST_RUN["required"], *PAIR, "holder", "error"],
}
PAST_RUNS = table(runs=rows(RUN_OF_PAIR))
SHOWN_RUN = {
    **RUN_OF_PAIR,
    "properties": {
        **RUN_OF_PAIR["properties"],
        "problems": rows(PROBLEM),
        "verified": {"type": ["object", "null"]},
    },
    "required": [*RUN_OF_PAIR["required"], "problems", "verified", "changes"],
}
STATUS = table(
    projects=rows(
        table(
            **PAIR,
            in_step={"type": ["boolean", "null"]},
            proved_at=MAYBE_TEXT,
            synced_at=MAYBE_TEXT,
            listed_at=MAYBE_TEXT,
            paused_because=MAYBE_TEXT,
            needs_a_person=COUNT,
            held=COUNT,
            runs=rows(PAST_RUN),
        )
    )
)
LINK = table(
    testrail_id=ID,
    testably_id=MAYBE_TEXT,
    state=TEXT,
    pushed={"type": "object"},
    testrail_lifecycle=MAYBE_TEXT,
    testably_status=MAYBE_TEXT,
)
MAPPINGS = table(projects=rows(table(**PAIR, links=rows(LINK))))
LISTED = table(
    testrail_id=MAYBE_ID,
    testably_id=MAYBE_TEXT,
    name=MAYBE_TEXT,
    kind=TEXT,
    field=MAYBE_TEXT,
    reason=TEXT,
    since=MAYBE_TEXT,
    count=COUNT,
    next_step=TEXT,
)
FAILURES = table(projects=rows(table(**PAIR, failures=rows(LISTED), accepted=rows(LISTED))))
ACCEPTED = table(projects=rows(table(**PAIR, accepted=rows(ID), revoked=rows(ID))))
CHANGE = table(
    at=TEXT,
    kind=TEXT,
    state=TEXT,
    run=TEXT,
    trigger=TEXT,
    testrail_id=ID,
    before={"type": "object"},
    after={"type": "object"},
)
HISTORY = table(projects=rows(table(**PAIR, changes=rows(CHANGE))))


def must_fit(document: object, schema: dict[str, Any]) -> None:
    """Fails the test unless the document has the shape that the contract promises."""
    jsonschema.validate(document, schema)
