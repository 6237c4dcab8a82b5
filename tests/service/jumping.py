"""``python -m tests.service.jumping FILE ARGUMENTS``: milesync on a clock that is set meanwhile.

The wall clock is off by the seconds that FILE holds at each moment; the monotonic one is not.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import mappings.database
import worker.clock


def main() -> int:
    """The exit code of the command."""
    offset = Path(sys.argv[1])

    class Wrong(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Wrong:
            off = float(offset.read_text() or 0) if offset.exists() else 0.0
            return super().now(tz) + dt.timedelta(seconds=off)

    for module in (mappings.database, worker.clock):
        module.datetime = Wrong  # type: ignore[attr-defined]
    from worker.cli import main as command

    return command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
