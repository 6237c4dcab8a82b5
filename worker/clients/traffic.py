"""How much one client has sent and received so far."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """What was sent and received so far, by all threads; ``of_thread`` has each one's status."""

    requests: int = 0
    received: int = 0
    of_thread: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, requests: int = 0, received: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.received += received
