"""The pages of two thousand pairs: CPU seconds and size of each, first as the process starts."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from mappings.database import open_engine, upgrade  # noqa: E402
from tests.service.test_intake import client  # noqa: E402
from tests.web.test_many_pairs import WAITS, fill  # noqa: E402

PAIRS = 2000
PATHS = (
    "/",
    "/",
    f"/?page={PAIRS // 50}",
    "/?q=product+7",
    "/needs-you",
    f"/pairs/{WAITS}/proj_{WAITS}",
    f"/pairs/{WAITS}/proj_{WAITS}/milestones/{WAITS}",
)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="milesync-bench-"))
    engine = open_engine(f"sqlite:///{folder / 'milesync.db'}")
    upgrade(engine)
    fill(engine, PAIRS)
    projects = ",".join(f"{id_}=proj_{id_}" for id_ in range(1, PAIRS + 1))
    with client(engine, MILESYNC_PROJECTS=projects) as web:
        for path in PATHS:
            began = time.process_time()
            answer = web.get(path)
            seconds = time.process_time() - began
            kilobytes = len(answer.content) / 1000
            print(f"{path:32} {answer.status_code} {seconds:6.3f} s CPU {kilobytes:6.1f} KB")
    engine.dispose()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
