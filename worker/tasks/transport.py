"""The broker's transport: Redis as kombu reads it, and nothing in Redis can stop a worker.

kombu lets what it cannot read, and what Redis refuses (it is full, or takes no writes for a while),
end its loop, and the worker then lives on without taking work. Whatever is dropped here is logged
without its content; what it may have asked for is in the database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any, Final

import structlog
from kombu.exceptions import KombuError
from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

from worker.sparing import Sparing

_UNREADABLE: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    KombuError,
)
_PAUSE: Final = 1.0
"""Seconds to the next try where Redis refuses to give messages."""

log = structlog.get_logger(__name__)
_sparing: Final = Sparing()


class QoS(redis.QoS):
    """The unacknowledged messages; where they cannot be kept, messages are done all the same."""

    def append(self, message: Any, delivery_tag: Any) -> None:
        try:
            super().append(message, delivery_tag)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self._refused(error)  # it has left its queue: to be done now, or not at all
            virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: Any) -> None:
        self._forget(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        if requeue:
            self.restore_by_tag(delivery_tag, leftmost=True)
        else:
            self._forget(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def restore_visible(self, *args: Any, **more: Any) -> None:
        try:
            with self.channel.conn_or_acquire() as client:
                if client.pttl(self.unacked_mutex_key) == -1:  # not kombu's: that one ends
                    client.delete(self.unacked_mutex_key)
            super().restore_visible(*args, **more)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self._refused(error)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self._refused(error)
        except _UNREADABLE as error:
            _tell_dropped(error)
            self._forget(tag)

    def _forget(self, tag: Any) -> None:
        try:
            self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            self._refused(error)

    def _refused(self, error: ResponseError) -> None:
        self.channel.refused(error, {self.unacked_key: "hash", self.unacked_index_key: "zset"})


class Channel(redis.Channel):
    """Takes messages from the queues, and drops what is none."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if not self.refused(error, self._keys(self.active_queues)):
                time.sleep(_PAUSE)
            raise Empty from None
        except _UNREADABLE as error:
            _tell_dropped(error)
            raise Empty from None

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], *args: Any, **more: Any
    ) -> Any:
        def safe(message: Any) -> None:
            try:
                callback(message)
            except _UNREADABLE as error:
                _tell_dropped(error)
                message.reject()

        consume = super().basic_consume
        return consume(queue, no_ack, safe, *args, **more)  # type: ignore[no-untyped-call]

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)  # type: ignore[no-untyped-call]
        except ResponseError as error:  # our own messages name their queue, and need no binding
            self.refused(error, self._bindings([exchange]))

    def maybe_refresh_binding_expiry(self) -> None:
        try:
            super().maybe_refresh_binding_expiry()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            bound = [self.state.queue_bindings(queue) for queue in self._active_queues]
            self.refused(error, self._bindings({one.exchange for some in bound for one in some}))

    def _bindings(self, exchanges: Iterable[str]) -> dict[str, str]:
        prefixes = (self.keyprefix_queue, self.keyprefix_binding_permanent)
        tables = {prefix % (exchange,): "set" for prefix in prefixes for exchange in exchanges}
        return {**tables, self.keyprefix_binding_deadlines: "zset"}

    def _size(self, queue: str) -> int:
        try:
            return int(super()._size(queue))  # type: ignore[no-untyped-call]
        except ResponseError as error:  # asked when a queue is declared, to read or to write
            self.refused(error, self._keys([queue]))
            return 0

    def _keys(self, queues: Iterable[str]) -> dict[str, str]:
        return {
            self._q_for_pri(queue, priority): "list"  # type: ignore[no-untyped-call]
            for queue in queues
            for priority in self.priority_steps
        }

    def refused(self, error: ResponseError, expected: dict[str, str]) -> bool:
        """Redis refused a command: move away the keys that are not of the expected type.

        False if the reason is another one, which is logged once a minute.
        """
        if "WRONGTYPE" not in str(error):
            _tell_refused(error)
            return False
        with self.conn_or_acquire() as client:
            for key, kind in expected.items():
                if str(client.type(key), "utf-8") not in (kind, "none"):
                    client.rename(key, f"{key}:not-a-queue")
                    log.error("a key of the broker held something else: renamed", key=key)
        return True


class Transport(redis.Transport):
    """What Celery is told to use."""

    Channel = Channel


def _tell_dropped(error: Exception) -> None:
    log.error("dropped an entry of a queue that is no message", error=type(error).__name__)


def _tell_refused(error: ResponseError) -> None:
    text = str(error).partition("\n")[0][:200]
    _sparing.tell(log.error, "Redis refuses a command; what it asks for waits", error=text)
