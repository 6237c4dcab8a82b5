"""One HTTP exchange: a method, an address and a body go in; a status and bytes come out.

With `deadline`, `proxy` and `tls` the only module that knows httpx and httpcore, so that a
successor can take their place. httpx's transport is called directly, without its client: a client
would also prepare the request after a redirect, keep cookies and read ~/.netrc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import httpcore
import httpx

from worker.clients.answers import Answer, Call, too_large
from worker.clients.bounds import LARGEST_ANSWER
from worker.clients.causes import SET_HTTPS
from worker.clients.deadline import BoundedBackend, Deadline
from worker.clients.proxy import (
    WANTS_LOGIN,
    Proxy,
    hint_of_proxy,
    login_wanted,
    proxy_for,
    refuses,
)
from worker.clients.tls import is_no_tls, refused_certificate, trusted_context
from worker.clients.words import shortened
from worker.clock import Clock
from worker.errors import (
    ApiError,
    CertificateRefused,
    ConnectionLost,
    Done,
    ProxyRefused,
    TimedOut,
    Unreachable,
    WrongProtocol,
)

HTTP = httpx.BaseTransport
"""What carries a request; the tests hand in their own."""

_ERROR_BODY: Final = 64 * 1024
# Shorter than what servers commonly grant, so that a write rarely meets a connection just closed.
_KEEPALIVE: Final = 2.0
_CONNECTIONS: Final = 100

NOT_CONNECTED: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
)
"""What is raised where there is no connection. Before the first byte only: R2 goes by the bytes."""

RAISED: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    OSError,
)
"""Everything that the HTTP libraries can raise."""

_TIMEOUTS: Final = (httpx.TimeoutException, httpcore.TimeoutException)
_MAY_WANT_TLS: Final = (
    "Run the same command again; if it stays so, the server may want https:// in the base URL."
)
_BINARY: Final = "illegal request line"
"""h11's words for an answer that begins with a control character, as a TLS alert does."""


def check_environment(base_url: str) -> None:
    """Read what the environment says of proxies and certificates. Raises SettingsError."""
    proxy = proxy_for(base_url)
    if base_url.startswith("https:") or (proxy and proxy.is_secure):
        trusted_context()


class Connection:
    """The connections to one API; usable from several threads.

    ``request_timeout`` is the deadline of one request in all, in seconds. ``redacted`` takes the
    secrets out of a text. Raises SettingsError for a wrong proxy or certificate setting.
    """

    def __init__(
        self,
        api: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        redacted: Callable[[str], str],
        clock: Clock,
        request_timeout: float,
        http: HTTP | None = None,
    ) -> None:
        self._api = api
        self._base_url = base_url
        self._headers = {"Connection": "keep-alive", **headers}
        self._redacted = redacted
        self._timeout = request_timeout
        self._deadline = Deadline(clock)
        self._proxy = None if http else proxy_for(base_url)
        self._http = http or _BoundedHTTP(base_url, self._deadline, self._proxy)
        self._has_answered = False

    def exchange(self, call: Call, content: bytes | None) -> Answer:
        """Send one request, once. Raises ApiError; its ``done`` goes by whether a byte had left."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        phases = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        try:
            with self._deadline.within(self._timeout):
                request = httpx.Request(
                    call.method,
                    f"{self._base_url}/{call.path}",
                    headers={**self._headers, **headers},
                    content=content,
                    extensions={"timeout": phases},
                )
                response = self._http.handle_request(request)
                is_first, self._has_answered = not self._has_answered, True
                try:
                    answered = dict(response.headers)
                    # a server that no proxy stands before, and that has answered, refuses this one
                    if response.status_code == WANTS_LOGIN and (self._proxy or is_first):
                        raise self._login_wanted(answered)
                    return Answer(response.status_code, answered, _body(call, response))
                finally:
                    response.close()
        except RAISED as error:
            raise self._sorted(call, error) from error

    def close(self) -> None:
        """Close the connections; this object cannot be used afterwards."""
        self._http.close()

    # --- what was raised, as the error tree has it ----------------------------------------------

    def _sorted(self, call: Call, error: Exception) -> ApiError:
        """R2: not done is what never left; whatever is raised after the first byte is in doubt."""
        sent = self._deadline.sent
        if sent is None:
            sent = not isinstance(error, NOT_CONNECTED)
        done = call.if_sent if sent else Done.NO
        if special := self._misdirected(error, done, sent=sent):
            return special
        if isinstance(error, _TIMEOUTS) and (sent or not isinstance(error, NOT_CONNECTED)):
            message = f"{self._api} did not answer {call} within {self._timeout:g} s"
            return TimedOut(self._api, message, done=done)
        said = self._plain(str(error))
        if sent:
            message = f"the connection to {self._api} was cut during {call}"
            may_want_tls = self._base_url.startswith("http:") and not self._has_answered
            hint = _MAY_WANT_TLS if may_want_tls else ""
            return ConnectionLost(self._api, _because(message, said), hint=hint, done=done)
        return self._unreachable(said)

    def _login_wanted(self, headers: Mapping[str, str]) -> Unreachable:
        asked_for = self._plain(headers.get("proxy-authenticate", ""))
        said = login_wanted(asked_for, named=self._proxy is not None)
        return self._unreachable(said, WANTS_LOGIN)

    def _unreachable(self, said: str, status: int | None = None) -> Unreachable:
        """Nothing got there; ``said`` is why, in the words of the system or of a proxy."""
        through = f" through the proxy {self._proxy.address}" if self._proxy else ""
        message = f"{self._api} cannot be reached at {self._base_url}{through}"
        kind = ProxyRefused if refuses(said) else Unreachable
        hint = hint_of_proxy(self._proxy, self._base_url, said)
        return kind(self._api, _because(message, said), status=status, hint=hint)

    def _misdirected(self, error: Exception, done: Done, *, sent: bool) -> ApiError | None:
        """What the settings have to be corrected for, so that no repetition helps.

        Where HTTP has been answered before, the address is right: one odd answer passes (R6).
        """
        if found := refused_certificate(error):
            reason, hint = found
            host = httpx.URL(self._base_url).netloc.decode()
            message = f"the certificate of {host} ({self._api}) is refused: {reason}"
            return CertificateRefused(self._api, message, hint=hint)
        if self._has_answered:
            return None
        if is_no_tls(error) and not sent and not self._proxy:
            return WrongProtocol(
                self._api,
                f"{self._api} at {self._base_url} answers without TLS: it speaks http, not https",
                hint="Set the base URL to http://… if that is meant, or to the port that has TLS.",
            )
        if _BINARY in str(error) and self._base_url.startswith("http:"):
            return WrongProtocol(
                self._api,
                f"{self._api} at {self._base_url} does not answer in HTTP; it may speak https",
                hint=SET_HTTPS,
                done=done,
            )
        return None

    def _plain(self, text: str) -> str:
        return shortened(self._redacted(text))


def _because(message: str, said: str) -> str:
    return f"{message}: {said}" if said else message


class _BoundedHTTP(httpx.HTTPTransport):
    """httpx's own transport over a pool whose connections keep to the deadline.

    The proxy of the environment applies; httpx would read it for its own transport only.
    """

    def __init__(self, base_url: str, deadline: Deadline, proxy: Proxy | None) -> None:
        secure = base_url.startswith("https:")
        context = trusted_context() if secure or (proxy and proxy.is_secure) else None
        backend = BoundedBackend(deadline, secure + (proxy is not None and proxy.is_secure))
        self._deadline = deadline
        if proxy is None:
            self._pool = httpcore.ConnectionPool(
                ssl_context=context,
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEEPALIVE,
                network_backend=backend,
            )
            return
        self._pool = httpcore.HTTPProxy(
            proxy_url=proxy.url,
            proxy_auth=proxy.auth,
            proxy_ssl_context=context if proxy.is_secure else None,
            ssl_context=context,
            max_connections=_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange. Bytes that were left over after an earlier answer are no answer to it."""
        self._deadline.sent = False
        response = super().handle_request(request)
        if not self._deadline.heard:
            response.close()
            raise httpcore.RemoteProtocolError("what came was sent before the request")
        return response


def _body(call: Call, response: httpx.Response) -> bytes:
    """The body as it came, within the bound; of an error only the beginning, as far as it comes."""
    failed = response.status_code >= 300
    parts: list[bytes] = []
    size = 0
    try:
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if failed and size > _ERROR_BODY:
                break
            if size > LARGEST_ANSWER:
                raise too_large(call, response.status_code)
    except RAISED:
        if not failed:
            raise
    return b"".join(parts)
