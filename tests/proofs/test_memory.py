"""What a pair that is in step costs in memory: something for what differs, little for the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNT = 20_000
MOST_MIB_FIRST = 215
"""Of a run that decides about everything and notes what agrees, for the first time."""
MOST_MIB = 115
"""Of any command, the plan of a first migration among them: a hundred thousand then need 250.

Python and its libraries are 70 of it.
"""


@pytest.mark.timeout(300)
def test_no_command_needs_more_memory_than_is_promised(tmp_path: Path) -> None:
    """Each in a process of its own, over HTTP, against pages that are rendered beforehand."""
    program, found = ROOT / "benchmarks" / "bench_scale.py", tmp_path / "figures.json"
    how = ("--count", str(COUNT), "--rounds", "1", "--json", str(found))
    subprocess.run([sys.executable, str(program), *how], check=True, cwd=ROOT)
    peaks = {row["job"]: row["peak_mib"] for row in json.loads(found.read_text())}
    first = next(name for name in peaks if "notes what agrees" in name)
    assert peaks["sync, nothing changed"] < peaks.pop(first) <= MOST_MIB_FIRST
    assert {name: mib for name, mib in peaks.items() if mib > MOST_MIB} == {}
