"""Pairs whose credentials were refused: left alone for an hour, then tried again by the sweep."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from mappings.rows import Pair
from worker.bootstrap import Deployment
from worker.errors import CredentialsRefused
from worker.settings import ProjectPair

PAUSED_FOR: Final = timedelta(hours=1)
"""A pair whose credentials were refused tries them again after so long."""


def is_paused(configured: ProjectPair, pair: Pair, now: datetime) -> bool:
    """Whether the credentials that are configured now were refused less than an hour ago."""
    if pair.paused_because is None or pair.refused_credentials != _mark(configured):
        return False
    return pair.paused_at is not None and abs(now - pair.paused_at) < PAUSED_FOR


def to_try_again(deployment: Deployment) -> list[ProjectPair]:
    """The enabled pairs that were paused for an hour, or whose credentials have changed since."""
    paused = {p.identity: p for p in deployment.store.all_pairs() if p.paused_because is not None}
    now = deployment.clock.now()
    return [
        configured
        for configured in deployment.settings.projects
        if configured.enabled
        and (pair := paused.get(deployment.identity(configured))) is not None
        and not is_paused(configured, pair, now)
    ]


def pause(
    deployment: Deployment, configured: ProjectPair, pair: Pair, error: CredentialsRefused
) -> None:
    """Leave the pair alone for an hour, until its credentials change or are taken."""
    reason = (
        f"{error.message.rstrip('.')}. Correct the credentials and start the service again, or "
        "repair them at the vendor: they are tried again once an hour, and `milesync sync` tries "
        "them at once."
    )
    deployment.store.update_pair(
        pair.id,
        paused_because=reason,
        paused_at=deployment.clock.now(),
        refused_credentials=_mark(configured),
    )


def was_tried(deployment: Deployment, configured: ProjectPair, pair: Pair) -> None:
    """Note that a paused pair has tried these credentials: the next try is in an hour.

    Whatever came of it: a run that a guard ended, or whose server is away, has asked neither API.
    """
    now, mark = deployment.clock.now(), _mark(configured)
    deployment.store.update_pair(pair.id, paused_at=now, refused_credentials=mark)


def _mark(configured: ProjectPair) -> str:
    """Tells one set of credentials from another, and says nothing else about them."""
    secrets = (configured.testrail_api_key, configured.testably_token)
    texts = [configured.testrail_user or "", *(s.get_secret_value() if s else "" for s in secrets)]
    packed = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(packed, digest_size=4).hexdigest()
