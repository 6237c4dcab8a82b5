"""GET /: where every pair stands, the worst first."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from starlette.requests import Request

from worker.web.pages.frame import Pager, asked_text, page
from worker.web.pages.pairs import cards, every_pair, in_words, with_counts
from worker.web.service import service_of

PAIRS: Final = 50
"""So many on one page."""


@page("overview.html")
def show(request: Request) -> dict[str, Any]:
    """The page; narrowed to the pairs whose ids or names hold the text ``q``."""
    service = service_of(request)
    every = every_pair(service.deployment)
    text = asked_text(request)
    found = [one for one in every if one.holds(text)] if text else every
    pager = Pager.of(request, len(found), PAIRS, q=text)
    shown = found[pager.offset : pager.offset + pager.size]
    enabled = Counter(one.condition for one in every if one.configured.enabled)
    return {
        "cards": cards(service, with_counts(service.deployment, shown)),
        "pager": pager,
        "text": text,
        "pairs": len(every),
        "conditions": in_words(enabled, len(every) - enabled.total()),
        "still": sum(one.is_still for one in every),
        "needs_you": sum(one.needs_you for one in every),
        "rate": service.settings.testably.rate_limit,
    }
