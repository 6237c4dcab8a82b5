"""Both sandbox servers in a process of their own, without a rate limit.

``python -m benchmarks.sandbox_server COUNT`` seeds TestRail with so many milestones and prints the
two base URLs, then serves until it is ended.
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
    if count := int(sys.argv[1]):
        seed(model, 1, count)
    with serve_testrail(model) as testrail, serve_testably(rate=None) as testably:
        print(json.dumps([testrail.url, testably.url]), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
