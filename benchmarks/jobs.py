"""What is measured and is no command: the floor, and a scheduled run that reads the source alone.

``python -m benchmarks.jobs floor PORT COUNT [source]`` and ``… scheduled FOLDER``.
"""

from __future__ import annotations

import json
import sys


def floor(port: int, count: int, *, both: bool) -> None:
    """Fetch and decode the same pages with bare httpx and json, and keep nothing."""
    import httpx

    base = f"http://127.0.0.1:{port}"
    with httpx.Client(headers={"Accept-Encoding": "identity"}) as client:
        for offset in range(0, count, 250):
            further = f"&offset={offset}" if offset else ""
            path = f"{base}/index.php?/api/v2/get_milestones/1&limit=250{further}"
            json.loads(client.get(path).content)
        for page in range(1, count // 100 + 1 if both else 1):
            path = f"{base}/v1/projects/proj_abc123/milestones?page={page}&per_page=100"
            json.loads(client.get(path).content)


def scheduled(config: str) -> None:
    """A run as the schedule makes it while the last listing of the target is young."""
    from pathlib import Path

    from worker.bootstrap import Deployment
    from worker.settings import load_settings
    from worker.sync.options import Options, Trigger
    from worker.sync.run import run_pair

    with Deployment(load_settings(Path(config))) as deployment:
        pair = deployment.settings.projects[0]
        with deployment.context(pair) as context:
            report = run_pair(context, Options(trigger=Trigger.SCHEDULE))
    print(json.dumps(report.as_json()))


if __name__ == "__main__":
    if sys.argv[1] == "floor":
        floor(int(sys.argv[2]), int(sys.argv[3]), both="source" not in sys.argv)
    else:
        scheduled(sys.argv[2])
