"""The alert rules: well formed, and only about metrics that /metrics shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Engine

from mappings.link import Link
from mappings.problem import Problem, ProblemKind
from mappings.runs import RunLog
from mappings.store import Store
from tests.service.stack import ROOT
from tests.service.test_intake import client
from worker.web.pages.pairs import cards, every_pair, with_counts

RULES: list[dict[str, Any]] = [
    rule
    for group in YAML(typ="safe").load(ROOT / "docs" / "alerts.yml")["groups"]
    for rule in group["rules"]
]
LABELS = {"milesync_up": "part", "milesync_queue_depth": "queue"}
"""What tells the series of these metrics apart; those of pairs have the pair."""
WITHOUT = {"milesync_deliveries_oldest_seconds"}
DURATION = r"\d+(?:ms|[smhdwy])"
TOKEN = re.compile(
    rf"\s*(?:(?P<duration>{DURATION})\b|(?P<number>\d+(?:\.\d+)?)|(?P<word>[a-z_]\w*)"
    r"|(?P<text>\"[^\"]*\")|(?P<sign>==|!=|>=|<=|=~|!~|[-+*/<>(){}\[\],=]))"
)
OPERATORS = {"==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "and", "or", "unless"}
FUNCTIONS = {"increase", "rate", "min_over_time", "max_over_time", "absent"}


class Expression:
    """Reads the part of PromQL that the rules use; anything else is an error.

    Precedence does not matter here: only whether each operand and operator stands where it may.
    """

    def __init__(self, text: str) -> None:
        self.tokens = list(self._split(text))
        self.metrics: list[str] = []
        self._binary()
        assert not self.tokens, f"left over: {self.tokens}"

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str]]:
        at, end = 0, len(text.rstrip())
        while at < end:
            found = TOKEN.match(text, at)
            assert found is not None, f"cannot read {text[at:]!r}"
            kind = str(found.lastgroup)
            yield kind, found[kind]
            at = found.end()

    def _takes(self, value: str) -> bool:
        if self.tokens and self.tokens[0][1] == value:
            self.tokens.pop(0)
            return True
        return False

    def _take(self, kind: str, value: str | None = None) -> str:
        assert self.tokens, f"ends where a {kind} is due"
        found, text = self.tokens.pop(0)
        assert found == kind, f"{text!r} where a {kind} is due"
        assert value in (None, text), f"{text!r} where {value!r} is due"
        return text

    def _binary(self) -> None:
        self._operand()
        while self.tokens and self.tokens[0][1] in OPERATORS:
            self.tokens.pop(0)
            if self._takes("on") or self._takes("ignoring"):
                self._labels()
            self._operand()

    def _operand(self) -> None:
        if self._takes("("):
            self._binary()
            self._take("sign", ")")
        elif self.tokens and self.tokens[0][0] == "number":
            self.tokens.pop(0)
        elif self.tokens and self.tokens[0][1] in FUNCTIONS:
            self.tokens.pop(0)
            self._take("sign", "(")
            self._binary()
            self._take("sign", ")")
        else:
            self._selector()

    def _selector(self) -> None:
        self.metrics.append(self._take("word"))
        if self._takes("{"):
            self._take("word")
            self._take("sign")
            self._take("text")
            self._take("sign", "}")
        if self._takes("["):
            self._take("duration")
            self._take("sign", "]")
        if self._takes("offset"):
            self._take("duration")

    def _labels(self) -> None:
        self._take("sign", "(")
        self._take("word")
        while self._takes(","):
            self._take("word")
        self._take("sign", ")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_rule_is_well_formed(rule: dict[str, Any]) -> None:
    """Its keys, its wait, its expression, and the labels that its texts use."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(DURATION, rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}
    metrics = Expression(rule["expr"]).metrics
    texts = " ".join(rule["annotations"].values())
    labels = [
        LABELS.get(name, "pair" if name.startswith("milesync_pair_") else "") for name in metrics
    ]
    known = (
        {f"$labels.{labels[0]}"}
        if len(set(labels)) == 1 and "absent" not in rule["expr"]
        else set()
    )
    assert set(re.findall(r"\{\{ (.*?) \}\}", texts)) <= known


@pytest.mark.parametrize(
    "wrong", ["a >", "(a", "a b", "a[5]", "a{b=1}", "increase a", "a > 3 5", "a ^ 2", ""]
)
def test_a_malformed_expression_is_refused(wrong: str) -> None:
    with pytest.raises(AssertionError):
        Expression(wrong)


def test_alerts_use_metrics_that_are_shown(engine: Engine, store: Store, run_log: RunLog) -> None:
    """Each name in an expression is one that /metrics shows of a pair."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    with client(engine) as web:
        here = web.app.state.service.deployment  # type: ignore[attr-defined]
        pair = store.pair(here.identity(here.settings.projects[0]))
        store.update_pair(pair.id, proved_at=now)
        held = Link(7).held(now)
        broken = Link(8).with_problem(Problem(ProblemKind.REFUSED, "No."), now)
        store.save_many(pair.id, [held, broken], now)
        run = run_log.begin(pair.id, "schedule", "test", now)
        run_log.change(run.id, state="succeeded", finished_at=now)
        text = web.get("/metrics").text
    shown = set(re.findall(r"^# TYPE (milesync_\w+)", text, re.MULTILINE))
    used = {name for rule in RULES for name in Expression(rule["expr"]).metrics}
    assert used <= shown
    for line in (
        'milesync_pair_in_step{pair="1=proj_a"} 0.0',
        'milesync_pair_never_synced{pair="1=proj_a"} 0.0',
        'milesync_pair_never_synced{pair="2=proj_b"} 1.0',
        'milesync_pair_stale{pair="1=proj_a"} 1.0',
        'milesync_pair_needs_a_person{pair="1=proj_a"} 2.0',
        'milesync_pair_held{pair="1=proj_a"} 1.0',
        'milesync_pair_accepted{pair="1=proj_a"} 0.0',
        'milesync_pair_problems{kind="refused",pair="1=proj_a"} 1.0',
        'milesync_pair_problems{kind="held",pair="1=proj_a"} 1.0',
    ):
        assert line in text


@pytest.mark.parametrize("trigger", ["migration", "schedule"])
@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_the_metrics_and_the_pages_call_the_same_pairs_stale(
    engine: Engine, store: Store, run_log: RunLog, trigger: str, state: str
) -> None:
    """A migration that ended well is not, where no beat runs; what never ended well is."""
    long_ago = datetime.now(UTC) - timedelta(days=2)
    with client(engine) as web:
        service = web.app.state.service  # type: ignore[attr-defined]
        here = service.deployment
        pair = store.pair(here.identity(here.settings.projects[0]))
        run = run_log.begin(pair.id, trigger, "test", long_ago)
        run_log.change(run.id, state=state, finished_at=long_ago)
        shown = web.get("/metrics").text
        (card, *_) = cards(service, with_counts(here, every_pair(here)))
    assert card.stale is ((trigger, state) != ("migration", "succeeded"))
    told = re.findall(r"^milesync_pair_stale\{.*\} (\S+)", shown, re.MULTILINE)
    assert told == [str(float(card.stale))]
