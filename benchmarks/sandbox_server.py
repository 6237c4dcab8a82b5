"""Both sandbox servers in a process of their own, without a rate limit.

``python -m benchmarks.sandbox_server COUNT [plain]`` seeds TestRail with so many milestones and
prints the two base URLs, then serves until it is ended. ``plain`` ones are open roots, each of
which takes one request to create.
"""

from __future__ import annotations

import json
import sys
import threading

from worker.sandbox.seed import seed
from worker.sandbox.server import serve_testably, serve_testrail
from worker.sandbox.testrail_model import TestRailModel


def main() -> None:
    model = TestRailModel()
    count = int(sys.argv[1])
    if sys.argv[2:] == ["plain"]:
        for number in range(count):
            text = {"name": f"Release {number}", "description": "x" * 200}
            model.add(1, {**text, "start_on": 1_772_323_200 + 86_400 * number})
    elif count:
        seed(model, 1, count)
    with serve_testrail(model) as testrail, serve_testably(rate=None) as testably:
        print(json.dumps([testrail.url, testably.url]), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
