"""What an HTTP answer means: a JSON value, or the one error class for its status.

Which status means what: the response codes on the TestRail milestones page (400 for an unknown
id, 403) and the Testably page (error responses); 409 is TestRail's answer under maintenance,
and a passing one from any server.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import urljoin, urlsplit

from worker.clients.bounds import LARGEST_ANSWER, TooMuchError
from worker.clients.causes import SAYS_ITSELF, SET_HTTPS, hint_of, hint_of_redirect, wants_tls
from worker.clients.decode import decode
from worker.clients.words import has_error, is_error, one_line, shortened, words_in, words_of
from worker.errors import (
    AccessDenied,
    AnswerTooLarge,
    ApiError,
    CredentialsRefused,
    Done,
    EmptyAnswer,
    Maintenance,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ServerTrouble,
    TimedOut,
    Transient,
    UnknownId,
    UnreadableAnswer,
    WrongProtocol,
)

TESTRAIL: Final = "TestRail"
TESTABLY: Final = "Testably"
TOO_MANY_BYTES: Final = f"more than {LARGEST_ANSWER // 1024 // 1024} MiB"
LONGEST_RETRY_AFTER: Final = 3600.0
_NO_ENCODING: Final = frozenset({"", "identity", "none", "utf-8", "utf8", "8bit", "binary"})
"""What servers write into Content-Encoding for a body that is not compressed."""
_GZIP: Final = b"\x1f\x8b"
_PIECE: Final = 4096
"""Bytes that are decompressed at once: they become a thousand times as many at most."""
_LONGEST_PLACE: Final = 2000
_UNCHANGED: Final = 304
_NOT_CACHED: Final = "A cache in the way has answered in its place: let these requests past it."
_CHARSET: Final = re.compile(r"charset=\"?([\w.:-]{1,40})", re.IGNORECASE)
_SET_UTF_8: Final = "JSON has to come in UTF-8: correct that at the server or a proxy before it."

T = TypeVar("T")

_CLASSES: Final[Mapping[int, type[ApiError]]] = {
    401: CredentialsRefused,
    403: AccessDenied,
    404: NotFound,
    408: TimedOut,
    429: RateLimited,
}
_PASSING: Final = frozenset({409, 423, 425})
"""Answers about the moment, not about the request: maintenance, locked, too early."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as messages name it; ``by_id`` where TestRail's 400 means an unknown id."""

    api: str
    method: str
    path: str
    by_id: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def if_sent(self) -> Done:
        """Whether the server may have carried the call out once it was sent."""
        return Done.NO if self.method == "GET" else Done.MAYBE


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the headers by lower-case name, and the body as it came over the wire."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_html(self) -> bool:
        """Whether a page for people came, such as a login page or a proxy's."""
        declared = "text/html" in self.headers.get("content-type", "").lower()
        return declared or self.body.lstrip()[:1] == b"<"


def unpacked(call: Call, answer: Answer) -> Answer:
    """The answer with its body decompressed, within the bound on an answer's size.

    Raises AnswerTooLarge, and UnreadableAnswer for an unknown or broken compression.
    """
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding in _NO_ENCODING or not answer.body:
        return answer
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise _unreadable(call, answer, f"compressed as {shortened(encoding)}, which was not asked")
    parts: list[bytes] = []
    size = 0
    try:
        for part in _inflated(answer.body):
            parts.append(part)
            size += len(part)
            if size > LARGEST_ANSWER:
                raise too_large(call, answer.status)
    except zlib.error as error:
        raise _unreadable(call, answer, "with broken compression") from error
    except EOFError as error:
        raise _unreadable(call, answer, "with a compressed body that is cut off") from error
    return Answer(answer.status, answer.headers, b"".join(parts))


def _inflated(packed: bytes) -> Iterator[bytes]:
    """What a body holds, member after member of a gzip (RFC 1952), in parts of a few MiB at most.

    Raises zlib.error where it is broken, EOFError where it is cut off.
    """
    at = 0
    while at == 0 or packed.startswith(_GZIP, at):
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        while not decoder.eof:
            piece = packed[at : at + _PIECE]
            if not piece:
                raise EOFError
            yield decoder.decompress(piece)
            at += len(piece) - len(decoder.unused_data)


def read_answer(
    call: Call, answer: Answer, read: Callable[[object], T], redacted: Callable[[str], str]
) -> T:
    """The JSON of a 2xx answer as ``read`` understands it; it raises ValueError for what it cannot.

    Raises EmptyAnswer where there is no body; UnreadableAnswer where it is no JSON, or not of that
    shape, with the server's own words, `redacted`, if it has any; and AnswerTooLarge where it holds
    more than is read.
    """
    try:
        value = decode(answer.body)
    except TooMuchError as error:
        raise too_large(call, answer.status, str(error)) from error
    except ValueError as error:
        what, hint = _instead_of_json(answer)
        raise _unreadable(call, answer, redacted(what), hint) from error
    try:
        return read(value)
    except TooMuchError as error:
        raise too_large(call, answer.status, str(error)) from error
    except ValueError as error:
        what = "an error" if is_error(value) else f"another shape than documented ({error})"
        if not (said := shortened(redacted(words_of(value)))):
            raise _unreadable(call, answer, f"with {what}") from error
        hint = hint_of(call.api, answer.status, said) or SAYS_ITSELF
        raise _unreadable(call, answer, f"with {what}: {said}", hint) from error


def _instead_of_json(answer: Answer) -> tuple[str, str]:
    """What came, and what to do about that; empty where it is the usual."""
    if not answer.body.strip():
        return "with nothing", ""
    if answer.is_html:
        return "with an HTML page instead of JSON, from a proxy or a login page perhaps", ""
    try:
        answer.body.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            declared = _CHARSET.search(answer.headers.get("content-type", ""))
            charset = f", but {declared[1]}" if declared else ""
            return f"with text that is not UTF-8{charset}", _SET_UTF_8
    return "with JSON that is cut off or broken", ""


def error_of(call: Call, answer: Answer, base_url: str, text: str, now: datetime) -> ApiError:
    """The error for a status outside 2xx; ``text`` is the server's own, already redacted."""
    if 300 <= answer.status < 400 and answer.status != _UNCHANGED:
        return _redirected(call, answer, base_url)
    if answer.status == 400 and wants_tls(base_url, answer.body):
        message = f"{call.api} at {base_url} wants https, not http"
        return WrongProtocol(call.api, message, status=answer.status, hint=SET_HTTPS)
    kind = _class_of(call, answer)
    may_be_done = not 400 <= answer.status < 500 or kind is TimedOut
    return kind(
        call.api,
        f"{call.api} answered {call} with {answer.status}" + (f": {text}" if text else ""),
        status=answer.status,
        hint=hint_of(call.api, answer.status, text) or _hint_of(call, kind, answer.status),
        done=call.if_sent if may_be_done else Done.NO,
        retry_after=retry_after(answer.headers.get("retry-after"), now),
    )


def _hint_of(call: Call, kind: type[ApiError], status: int) -> str:
    """What to do where the error's own hint is about something else; else empty."""
    if kind is Refused and call.method == "GET":  # no milestone was written that could be corrected
        return NotFound.default_hint
    if kind is TimedOut:  # the server's own: it has answered within our time
        return Transient.default_hint
    return _NOT_CACHED if status == _UNCHANGED else ""


def _class_of(call: Call, answer: Answer) -> type[ApiError]:
    # Only TestRail itself may say that an id is unknown: a proxy's 400 proves no absence.
    if answer.status == 400 and call.by_id and has_error(answer.body):
        return UnknownId
    if not 400 <= answer.status < 500:
        return ServerTrouble
    if answer.status in _PASSING:
        return Maintenance
    return _CLASSES.get(answer.status, Refused)


def too_large(call: Call, status: int, what: str = TOO_MANY_BYTES) -> AnswerTooLarge:
    """The error for an answer beyond a bound; ``what`` is it that there is too much of."""
    message = f"{call.api} answered {call} with {what}"
    return AnswerTooLarge(call.api, message, status=status, done=call.if_sent)


def _unreadable(call: Call, answer: Answer, what: str, hint: str = "") -> UnreadableAnswer:
    message = f"{call.api} answered {call} {what}"
    kind = UnreadableAnswer if answer.body.strip() else EmptyAnswer
    return kind(call.api, message, status=answer.status, hint=hint, done=call.if_sent)


def _redirected(call: Call, answer: Answer, base_url: str) -> Redirected:
    location = answer.headers.get("location", "")
    message = f"{call.api} sent {call} on to {_place(location, base_url)}"
    hint = hint_of_redirect(base_url, location)
    return Redirected(call.api, message, status=answer.status, hint=hint, done=call.if_sent)


def _place(location: str, base_url: str) -> str:
    """Where a redirect points, without the query, which may hold a session or a token."""
    location = location[:_LONGEST_PLACE]
    try:
        parts = urlsplit(urljoin(base_url, location))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    if not location or not parts.hostname:
        return "an address that it did not name"
    return shortened(f"{parts.scheme}://{parts.hostname}{port}{parts.path}")


# --- the server's own words -------------------------------------------------------------------


def error_text(answer: Answer) -> str:
    """What the server itself says is wrong, on one line and not shortened yet; may be empty."""
    if own := words_in(answer.body):
        return one_line(own)
    if answer.is_html:
        return "an HTML page, from a proxy or a login page perhaps"
    return one_line(answer.body[:4096].decode("utf-8", "replace"))


def retry_after(header: str | None, now: datetime) -> float | None:
    """The header Retry-After, in seconds or as an HTTP date, as seconds from ``now`` (aware).

    At most an hour; None where there is none that makes sense.
    """
    text = (header or "").strip()
    try:
        seconds = float(text) if text[:1].isdigit() else _seconds_until(text, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(seconds, LONGEST_RETRY_AFTER) if seconds > 0 else None


def _seconds_until(http_date: str, now: datetime) -> float:
    moment = parsedate_to_datetime(http_date)
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - now).total_seconds()
