"""Many pairs on a virtual clock: no pair waits longer than its period, no token is overdrawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fleet import Size, simulate

MINUTE = 60.0
MIXED = ("*/15 * * * *", "*/10 * * * *", "7,37 * * * *")
THOUSAND = Size(1000)
TEN_THOUSAND = Size(10_000, tokens=12, instances=5, workers=20)


@pytest.mark.parametrize(
    ("size", "minutes"),
    [
        pytest.param(Size(40, tokens=2, instances=2, schedules=MIXED), 38, id="40"),
        pytest.param(THOUSAND, 61, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="1000"),
        pytest.param(
            TEN_THOUSAND, 31, marks=[pytest.mark.soak, pytest.mark.timeout(3600)], id="10000"
        ),
    ],
)
def test_no_pair_waits_longer_than_its_period_and_no_token_is_overdrawn(
    size: Size, minutes: int, tmp_path: Path
) -> None:
    seen = simulate(size, minutes * MINUTE, tmp_path)
    assert len(seen.waits) == size.pairs
    assert max(seen.waits.values()) < 1.0
    assert not seen.refused
    longest = max(seen.periods.values()) * (1 + max(seen.waits.values()))
    assert seen.carried
    assert max(seen.carried + seen.not_carried) < longest


def test_too_many_pairs_on_a_token_show_in_their_waits(tmp_path: Path) -> None:
    """The measure can fail: 40 listings are due at once, of which a period allows 24."""
    crowded = Size(
        40, testably=6, schedules=("*/4 * * * *",), listed=False, changed=0.0, milestones=1
    )
    seen = simulate(crowded, 8.5 * MINUTE, tmp_path)
    assert max(seen.waits.values()) > 1.0
    assert not seen.refused
