"""``python -m worker.child NAME MODULE …``: a module as a process of `milesync up`, its parent.

It ends when its parent does, however that ends, and so do the processes that it forks. Its
standard input is a pipe on which nothing comes: it ends when nobody is left at its other end.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from worker.log import name_process

_GRACE: Final = 10.0
"""Seconds that a process has to end in order after its parent has gone."""


def main() -> None:
    """Run the module with the arguments behind it, as ``python -m`` would."""
    _, name, module, *arguments = sys.argv
    name_process(name)
    # a copy, since a forked process of Celery closes its standard input
    pipe = os.dup(0)
    _at_the_end(pipe, _end_in_order)
    os.register_at_fork(after_in_child=lambda: _at_the_end(pipe, _end_after_parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _at_the_end(pipe: int, end: Callable[[], None]) -> None:
    def wait() -> None:
        try:
            os.read(pipe, 1)
        except OSError:
            return  # closed on this side: nothing is known
        end()

    threading.Thread(target=wait, daemon=True).start()


def _end_in_order() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    _end_after_parent()


def _end_after_parent() -> None:
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
