"""What a pair that is in step costs in memory: something for what differs, little for the rest."""

from __future__ import annotations

import pytest

from benchmarks.bench_scale import big_pair, jobs, measured

COUNT = 20_000
MOST_MIB = 115
"""Of any command, 70 of which are Python and its libraries: a hundred thousand then need 250."""


@pytest.mark.timeout(300)
def test_no_command_needs_more_memory_than_is_promised() -> None:
    """Each in a process of its own, over HTTP, against pages that are rendered beforehand."""
    with big_pair(COUNT) as (folder, port):
        every = {job.name: job.words for job in jobs(folder, port, COUNT)}
        measured(every["sync, nothing changed"], folder)  # notes that both sides agree
        chosen = {name: words for name, words in every.items() if not name.startswith("floor")}
        peaks = {name: measured(words, folder).mib for name, words in chosen.items()}
    assert {name: mib for name, mib in peaks.items() if mib > MOST_MIB} == {}
