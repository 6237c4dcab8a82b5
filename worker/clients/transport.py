"""Calls to one API on behalf of one account: credentials, budget, repeats, status → error.

Addresses are put together by hand: TestRail's path is its query string, which an HTTP library's
``params=`` and ``urljoin`` would lose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Self, TypeVar
from urllib.parse import urlsplit

from worker.clients.answers import (
    Answer,
    Call,
    error_of,
    error_text,
    read_answer,
    unpacked,
)
from worker.clients.connection import HTTP, Connection
from worker.clients.credentials import Credentials
from worker.clients.pauses import Pauses
from worker.clients.rate_limit import Priority, RateLimiter, wait_for_permit
from worker.clients.retries import ATTEMPTS, Retries
from worker.clients.traffic import Traffic
from worker.clients.words import shortened
from worker.clock import Clock
from worker.errors import (
    ApiError,
    CertificateRefused,
    NotFound,
    ProxyRefused,
    RateLimited,
    SettingsError,
    UnknownId,
    Unreachable,
    UnreadableAnswer,
)
from worker.sync.lanes import Lanes
from worker.sync.read.answers import Answers
from worker.sync.read.reading import OK, CachedAnswer, digest_of

_NEVER_SENT: Final = frozenset({Unreachable.kind, CertificateRefused.kind, ProxyRefused.kind})
_ALONE: Final = Lanes()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """What a GET brought, and which slice of its reading sent it; an earlier one if recalled."""

    value: T
    part: int
    is_recalled: bool = False


Observer = Callable[[str, str, str, float], None]


class Transport:
    """Calls one API on behalf of one account; usable from several threads.

    ``request_timeout`` is the deadline of one request in all, in seconds. ``max_wait`` bounds the
    seconds a call waits for a permit (None: as long as it takes), and all those together for which
    429s make it wait with no success between them; ``on_wait`` is told the seconds before every
    sleep and may raise to end it. A GET is sent at most ``attempts`` times for what may pass.
    ``observer`` is told the API, the method, the status or the error's kind, and the seconds of
    each request. ``before_request`` is called before a permit is taken, and may raise to end the
    work there.
    ``answers`` caches what is answered, for later slices of a reading. Every call may raise
    ApiError and, where it waits, BudgetExhausted.
    """

    def __init__(
        self,
        api: str,
        base_url: str,
        credentials: Credentials,
        *,
        rate_limiter: RateLimiter,
        clock: Clock,
        request_timeout: float = 30.0,
        priority: Priority = Priority.BACKGROUND,
        max_wait: float | None = None,
        attempts: int = ATTEMPTS,
        on_wait: Callable[[float], None] | None = None,
        observer: Observer | None = None,
        before_request: Callable[[], None] = lambda: None,
        headers: Mapping[str, str] | None = None,
        http: HTTP | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.api = api
        self.base_url = _checked_base(api, base_url)
        self.request_timeout = request_timeout
        self.max_wait = max_wait
        self._credentials, self._rate_limiter = credentials, rate_limiter
        self._clock, self._priority = clock, priority
        self._on_wait, self._observer = on_wait, observer
        self._retries = Retries(api, clock, attempts, self.wait_for_permit, on_wait)
        self._before_request = before_request
        self._answers = answers or Answers()
        self._traffic = Traffic()
        self._pauses = Pauses(api, rate_limiter)
        self._connection = Connection(
            api,
            self.base_url,
            {**_headers(credentials), **(headers or {})},
            redacted=credentials.redacted,
            clock=clock,
            request_timeout=request_timeout,
            http=http,
        )

    @property
    def received(self) -> int:
        """How many bytes the answers of 2xx had so far, decompressed."""
        return self._traffic.received

    @property
    def requests(self) -> int:
        """How many requests were sent so far, repeats included."""
        return self._traffic.requests

    @property
    def last_status(self) -> int | None:
        """The HTTP status of the last answer that came for this thread."""
        return getattr(self._traffic.of_thread, "status", None)

    def wait_for_permit(self) -> None:
        """Return when the rate limiter has granted one request. Raises BudgetExhausted."""
        self._before_request()
        self._answers.before_request()
        left = None if self.max_wait is None else self.max_wait - self._pauses.waited
        wait_for_permit(self._rate_limiter, self._clock, self._priority, left, self._on_wait)
        self._pauses.end()

    def get(self, path: str, read: Callable[[object], T], *, by_id: bool = False) -> T:
        """GET ``path`` below the base URL and give its JSON to ``read``, repeating what may pass.

        ``read`` raises ValueError for a shape it does not know. Each repeat takes a permit.
        """
        return self.ask(path, read, by_id=by_id).value

    def ask(
        self,
        path: str,
        read: Callable[[object], T],
        *,
        by_id: bool = False,
        anew: bool = False,
        lanes: Lanes = _ALONE,
        once: bool = False,
    ) -> Asked[T]:
        """`get`, with the slice that got the answer; ``anew`` uses no answer of an earlier slice.

        ``once`` is that of `Retries`. Other items of ``lanes`` go on while it waits.
        """
        call = Call(self.api, "GET", path, by_id)
        known = self._answers.recall(f"{self.api} {path}", anew=anew)
        if known is not None:
            with suppress(UnreadableAnswer):  # JSON of another shape that `repeats` was answered
                return self._recalled(call, known, read)
        ask = partial(self._answered, call, read)
        return self._retries.until_answered(ask, lanes, once=once)

    def repeats(self, digests: Mapping[str, str], lanes: Lanes = _ALONE) -> bool:
        """Repeat this API's requests among these; whether each answer still has its digest.

        Ends with the first that has another. The reading under way is then given the answers that
        came, so that no request is sent twice.
        """
        names = [name for name in digests if name.startswith(f"{self.api} ")]
        others: list[str] = []

        def repeat(number: int) -> None:
            name = names[number]
            ask = partial(self._retries.until_answered, partial(self._body, name, digests), lanes)
            if not others and not self._answers.repeat(name, digests[name], ask):
                others.append(name)

        lanes.each(range(len(names)), repeat, lambda number: (number, None))
        return not others

    def _body(self, name: str, digests: Mapping[str, str]) -> bytes:
        """The body of the answer; another than before counts as an answer only if it is JSON."""
        call = Call(self.api, "GET", name.removeprefix(f"{self.api} "))
        answer = self._send(call, None)
        if digest_of(answer.body) != digests[name]:
            self._read(call, answer, lambda _: None)
        return answer.body

    def post(
        self, path: str, body: object, read: Callable[[object], T], *, by_id: bool = False
    ) -> T:
        """POST JSON once, on a permit already granted by `wait_for_permit`."""
        call = Call(self.api, "POST", path, by_id)
        return self._read(call, self._send(call, body), read)

    def post_for_nothing(self, path: str, body: object, *, by_id: bool = False) -> None:
        """POST JSON once, on a granted permit, where the answer is empty (or any JSON)."""
        call = Call(self.api, "POST", path, by_id)
        answer = self._send(call, body)
        if answer.body.strip():
            self._read(call, answer, lambda _: None)

    def patch(self, path: str, body: object, read: Callable[[object], T]) -> T:
        """PATCH JSON once, on a permit already granted by `wait_for_permit`."""
        call = Call(self.api, "PATCH", path)
        return self._read(call, self._send(call, body), read)

    def close(self) -> None:
        """Close the connections; this object cannot be used afterwards."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.close()

    # --- one request --------------------------------------------------------------------------

    def _answered(self, call: Call, read: Callable[[object], T]) -> Asked[T]:
        """Send a GET, and keep what was answered where its reading may go on in another slice."""
        name = f"{self.api} {call.path}"
        try:
            answer = self._send(call, None)
        except (NotFound, UnknownId) as error:
            denial = json.dumps({"error": error.message}).encode()
            self._answers.keep(name, denial, error.status or 404)
            raise
        value = self._read(call, answer, read)
        kept = self._answers.keep(name, answer.body, repeatable=not call.by_id)
        return Asked(value, kept)

    def _recalled(self, call: Call, known: CachedAnswer, read: Callable[[object], T]) -> Asked[T]:
        self._traffic.add(received=len(known.body))
        answer = Answer(known.status, {}, known.body)
        if known.status != OK:
            raise error_of(call, answer, self.base_url, "", self._clock.now())
        return Asked(self._read(call, answer, read), known.part, is_recalled=True)

    def _send(self, call: Call, body: object) -> Answer:
        started, limited = self._clock.monotonic(), self._pauses.in_a_row
        outcome = "error"
        try:
            content = None if body is None else json.dumps(body).encode()
            answer = self._connection.exchange(call, content)
            outcome = str(answer.status)
            self._traffic.of_thread.status = answer.status
            answer = self._checked(call, answer)
        except ApiError as error:
            outcome = str(error.status or error.kind)
            if isinstance(error, RateLimited):
                self._pauses.begin(error, limited)
            raise
        finally:
            self._count(call, outcome, self._clock.monotonic() - started)
        self._pauses.forget()
        self._traffic.add(received=len(answer.body))
        return answer

    def _count(self, call: Call, outcome: str, seconds: float) -> None:
        if outcome not in _NEVER_SENT:
            self._traffic.add(requests=1)
        if self._observer is not None:
            self._observer(call.api, call.method, outcome, seconds)

    def _read(self, call: Call, answer: Answer, read: Callable[[object], T]) -> T:
        return read_answer(call, answer, read, self._credentials.redacted)

    def _checked(self, call: Call, answer: Answer) -> Answer:
        if 200 <= answer.status < 300:
            return unpacked(call, answer)
        redacted = self._credentials.redacted
        answer = _readable(call, answer, redacted)
        text = shortened(redacted(error_text(answer)))
        raise error_of(call, answer, self.base_url, text, self._clock.now())


def _headers(credentials: Credentials) -> dict[str, str]:
    return {
        "Authorization": credentials.header.get_secret_value(),
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": "milesync",
    }


def _checked_base(api: str, base_url: str) -> str:
    # A client of HTTP would send the user and password of a URL in place of our own credentials.
    if "@" in urlsplit(base_url).netloc:
        raise SettingsError(f"The URL of {api} must not contain a user or a password.")
    return base_url.rstrip("/")


def _readable(call: Call, answer: Answer, redacted: Callable[[str], str]) -> Answer:
    """An error's answer with its body unpacked, or without one where that fails."""
    headers = {name: redacted(value) for name, value in answer.headers.items()}
    try:
        return Answer(answer.status, headers, unpacked(call, answer).body)
    except ApiError:
        return Answer(answer.status, headers, b"")
