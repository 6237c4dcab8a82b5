"""The broker's transport: Redis as kombu reads it, and no entry of a queue can stop a worker.

kombu lets what it cannot read end its loop, and the worker then lives on without taking work.
Whatever is dropped here is logged without its content; what it may have asked for is in the
database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any, Final

import structlog
from kombu.exceptions import KombuError
from kombu.transport import redis
from redis.exceptions import ResponseError

_UNREADABLE: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    KombuError,
)

log = structlog.get_logger(__name__)


class QoS(redis.QoS):
    """The unacknowledged messages; one that cannot be read stops no other from coming back."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except _UNREADABLE as error:
            _tell(error)
            with self.channel.conn_or_acquire(client) as connection:
                pipe = connection.pipeline()
                self._remove_from_indices(tag, pipe)  # type: ignore[no-untyped-call]
                pipe.execute()


class Channel(redis.Channel):
    """Takes messages from the queues, and drops what is none."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            self._set_aside(self.active_queues)
            raise Empty from None
        except _UNREADABLE as error:
            _tell(error)
            raise Empty from None

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **more: Any
    ) -> Any:
        def safe(message: Any) -> None:
            try:
                callback(message)
            except _UNREADABLE as error:
                _tell(error)
                message.reject()

        consume = super().basic_consume
        return consume(queue, no_ack, safe, *args, **more)  # type: ignore[no-untyped-call]

    def _size(self, queue: str) -> int:
        try:
            return int(super()._size(queue))  # type: ignore[no-untyped-call]
        except ResponseError as error:  # asked when a queue is declared, to read or to write
            if "WRONGTYPE" not in str(error):
                raise
            self._set_aside([queue])
            return 0

    def _set_aside(self, queues: Iterable[str]) -> None:
        """Move away the keys that have a queue's name and are no list."""
        with self.conn_or_acquire() as client:
            for queue in queues:
                for priority in self.priority_steps:
                    key = self._q_for_pri(queue, priority)  # type: ignore[no-untyped-call]
                    if client.type(key) not in (b"list", b"none", "list", "none"):
                        client.rename(key, f"{key}:not-a-queue")
                        log.error("a key with a queue's name was no queue: renamed", key=key)


class Transport(redis.Transport):
    """What Celery is told to use."""

    Channel = Channel


def _tell(error: Exception) -> None:
    log.error("dropped an entry of a queue that is no message", error=type(error).__name__)
