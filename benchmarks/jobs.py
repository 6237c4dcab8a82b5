"""What is measured and is no command: the floor, and a scheduled run that reads the source alone.

``python -m benchmarks.jobs floor PORT COUNT [source]`` and ``… scheduled FILE``. The peers, where
they are installed: ``… testrail_api PORT COUNT`` and ``… dlt PORT COUNT``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator


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


def testrail_api(port: int, count: int) -> None:
    """Read the source with the usual client, page by page, and keep the ids."""
    from testrail_api import TestRailAPI

    api = TestRailAPI(f"http://127.0.0.1:{port}", "ada@example.com", "key")
    found: set[int] = set()
    while len(found) < count:
        page = api.milestones.get_milestones(1, limit=250, offset=len(found))
        rows = page["milestones"] if isinstance(page, dict) else page
        found |= {row["id"] for row in rows}


def dlt(port: int, count: int) -> None:
    """Read the source and merge it into SQLite by its id, as a loader would."""
    import tempfile

    import dlt as loader
    import httpx

    @loader.resource(primary_key="id", write_disposition="merge")
    def milestones() -> Iterator[object]:
        with httpx.Client() as client:
            for offset in range(0, count, 250):
                further = f"&offset={offset}" if offset else ""
                path = (
                    f"http://127.0.0.1:{port}/index.php?/api/v2/get_milestones/1&limit=250{further}"
                )
                yield client.get(path).json()["milestones"]

    with tempfile.TemporaryDirectory() as folder:
        database = loader.destinations.sqlalchemy(f"sqlite:///{folder}/peer.db")
        line = loader.pipeline("peer", destination=database, pipelines_dir=folder)
        line.run(milestones())


def main() -> None:
    job, *facts = sys.argv[1:]
    if job == "scheduled":
        scheduled(facts[0])
    elif job == "floor":
        floor(int(facts[0]), int(facts[1]), both="source" not in facts)
    else:
        {"testrail_api": testrail_api, "dlt": dlt}[job](int(facts[0]), int(facts[1]))


if __name__ == "__main__":
    main()
