"""What a person reads when the network, a proxy or a setting stands between us and an API."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.clients.certificates import AUTHORITY, EXPIRED, OTHER_HOST, SERVER, tls, tls_server
from tests.support.clock import FakeClock
from tests.support.transports import Script, answer, http, raw_server, transport
from worker.clients.retries import ATTEMPTS
from worker.clients.tls import trusted_context
from worker.errors import (
    AccessDenied,
    ApiError,
    CertificateRefused,
    ConnectionLost,
    CredentialsRefused,
    Done,
    MilesyncError,
    ProxyRefused,
    Redirected,
    Refused,
    SettingsError,
    Unreachable,
    WrongProtocol,
)

OK = http(b"{}")
TLS_ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
SECRET = "pr0xy-secret"
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def a_bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in TRUST:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trusted_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def anything(value: object) -> object:
    return value


def read(url: str, api: str = "Testably") -> object:
    with transport(api, url, clock=FakeClock(), request_timeout=5.0) as client:
        return client.get("v1/x", anything)


def error_of(url: str, api: str = "Testably") -> MilesyncError:
    with pytest.raises(MilesyncError) as raised:
        read(url, api)
    assert SECRET not in f"{raised.value.message}{raised.value.hint}"
    return raised.value


# --- certificates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "trusted", "reason", "hint"),
    [
        (SERVER, False, "unable to get local issuer certificate", "SSL_CERT_FILE"),
        (OTHER_HOST, True, "IP address mismatch", "base URL"),
        (EXPIRED, True, "certificate has expired", "clock"),
    ],
    ids=["unknown authority", "other host", "expired"],
)
def test_a_certificate_that_is_refused_is_said_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    trusted: bool,
    reason: str,
    hint: str,
) -> None:
    """With the host, the reason and what to set; asking again would not help."""
    if trusted:
        (tmp_path / "ca.pem").write_text(AUTHORITY)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    clock = FakeClock()
    with (
        tls_server(certificate, tmp_path, OK) as server,
        transport("Testably", server.url, clock=clock) as client,
        pytest.raises(CertificateRefused) as raised,
    ):
        client.get("v1/x", anything)
    host = server.url.removeprefix("https://")
    assert raised.value.message.startswith(f"the certificate of {host} (Testably) is refused: ")
    assert reason in raised.value.message
    assert hint in raised.value.hint
    assert (clock.slept, client.requests, raised.value.done) == ([], 0, Done.NO)


@pytest.mark.parametrize("variable", TRUST)
def test_the_certificates_of_the_environment_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(AUTHORITY)
    if variable == "SSL_CERT_DIR":  # OpenSSL looks there for a file with the name's hash
        file.rename(tmp_path / f"{NAME_HASH}.0")
        file = tmp_path
    monkeypatch.setenv(variable, str(file))
    with tls_server(SERVER, tmp_path, OK) as server:
        assert read(server.url) == {}


NAME_HASH = "316b760e"


def test_the_first_variable_that_is_set_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with other programs; and one that is empty is not set."""
    (tmp_path / "ca.pem").write_text(AUTHORITY)
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "not there"))
    with tls_server(SERVER, tmp_path, OK) as server:
        assert read(server.url) == {}


@pytest.mark.parametrize("variable", TRUST)
def test_a_certificate_setting_that_names_nothing_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "absent.pem"))
    error = error_of("https://api.example")
    assert type(error) is SettingsError
    assert error.message == f"{variable} names {tmp_path / 'absent.pem'}, which is not there."
    assert variable in error.hint


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_certificate_file_without_a_certificate_is_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    error = error_of("https://api.example")
    assert type(error) is SettingsError
    assert "holds no certificate in PEM form" in error.message


# --- http and https ---------------------------------------------------------------------------


def test_certificates_are_read_again_only_after_a_change(tmp_path: Path) -> None:
    """Each run makes connections of its own, and reading them all costs more than a small run."""
    file = tmp_path / "ca.pem"
    file.write_text(AUTHORITY)
    environ = {"SSL_CERT_FILE": str(file)}
    first = trusted_context(environ)
    assert trusted_context(environ) is first
    assert trusted_context({}) is trusted_context({}) is not first
    file.write_text("")
    os.utime(file, (1, 1))
    with pytest.raises(SettingsError, match="holds no certificate"):
        trusted_context(environ)


def test_a_server_without_tls_is_named_as_one() -> None:
    clock = FakeClock()

    def answer_at_once(connection: socket.socket) -> socket.socket:
        connection.sendall(OK)
        return connection

    with raw_server(lambda *_: None, answer_at_once) as server:
        url = server.url.replace("http:", "https:")
        with (
            transport("TestRail", url, clock=clock) as client,
            pytest.raises(WrongProtocol) as raised,
        ):
            client.get("v1/x", anything)
    error = raised.value
    assert error.message == f"TestRail at {url} answers without TLS: it speaks http, not https"
    assert "http://" in error.hint
    assert (clock.slept, error.done) == ([], Done.NO)


def test_a_server_that_answers_in_tls_is_named_as_one() -> None:
    with raw_server(lambda connection, _: connection.sendall(TLS_ALERT)) as server:
        error = error_of(server.url)
    assert type(error) is WrongProtocol
    assert error.message == f"Testably at {server.url} does not answer in HTTP; it may speak https"
    assert "https://" in error.hint


def test_one_answer_in_tls_after_good_ones_is_a_cut() -> None:
    """It has answered in HTTP, so the address is right: a question is asked again (R6)."""
    answers = [OK, TLS_ALERT, OK, TLS_ALERT]

    def one_after_the_other(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answers.pop(0))

    with (
        raw_server(one_after_the_other) as server,
        transport("Testably", server.url, clock=FakeClock()) as client,
    ):
        for path in ("v1/x", "v1/y"):
            assert client.get(path, anything) == {}
        with pytest.raises(ConnectionLost) as raised:
            client.post("v1/x", {"name": "a"}, anything)
    assert (len(server.requests), raised.value.done) == (4, Done.MAYBE)


@pytest.mark.usefixtures("trusted_authority")
def test_one_connection_without_tls_after_good_ones_is_made_again(tmp_path: Path) -> None:
    secure, connections = tls(SERVER, tmp_path), [1, 2, 3]

    def all_but_the_second(connection: socket.socket) -> socket.socket:
        if connections.pop(0) == 2:
            connection.sendall(OK)
            return connection
        return secure(connection)

    closing = http(b"{}", "200 OK", "Connection: close")
    with (
        raw_server(lambda connection, _: connection.sendall(closing), all_but_the_second) as s,
        transport("Testably", s.url.replace("http:", "https:"), clock=FakeClock()) as client,
    ):
        for path in ("v1/x", "v1/y"):
            assert client.get(path, anything) == {}
    assert connections == []


@pytest.mark.usefixtures("trusted_authority")
def test_a_write_whose_answer_is_no_tls_any_more_may_have_been_done(tmp_path: Path) -> None:
    """The handshake was in TLS, and the write has left (R2)."""

    def in_the_clear(connection: socket.socket, _: bytes) -> None:
        os.write(connection.fileno(), OK)

    with (
        raw_server(in_the_clear, tls(SERVER, tmp_path)) as server,
        transport("Testably", server.url.replace("http:", "https:")) as client,
        pytest.raises(ConnectionLost) as raised,
    ):
        client.post("v1/x", {"name": "a"}, anything)
    assert raised.value.done is Done.MAYBE


@pytest.mark.parametrize(
    "text",
    [
        "<h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port",
        "Client sent an HTTP request to an HTTPS server.",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
    ],
    ids=["nginx", "Go", "Apache"],
)
def test_a_server_that_says_it_wants_https_is_understood(text: str) -> None:
    with raw_server(lambda connection, _: connection.sendall(http(text.encode(), "400 Bad"))) as s:
        error = error_of(s.url)
    assert type(error) is WrongProtocol
    assert error.message == f"Testably at {s.url} wants https, not http"
    assert "https://" in error.hint


def test_words_of_tls_that_an_api_quotes_are_no_answer_about_tls() -> None:
    """As of a description that it refuses: that concerns this milestone alone (R6)."""
    quoted = {"error": "description: The plain HTTP request was sent to HTTPS port"}
    with (
        transport("Testably", "http://api.example", http=Script(answer(quoted, 400))) as client,
        pytest.raises(Refused),
    ):
        client.patch("v1/x", {"description": "a"}, anything)


def test_a_cut_over_plain_http_may_mean_that_tls_is_wanted(tmp_path: Path) -> None:
    with tls_server(SERVER, tmp_path, OK) as server:
        error = error_of(server.url.replace("https:", "http:"))
    assert type(error) is ConnectionLost
    assert "https://" in error.hint


def test_a_redirect_from_http_to_https_says_which_url_to_set() -> None:
    script = Script(answer({}, 301, location="https://api.example/v1/x"))
    with (
        transport("Testably", "http://api.example", http=script) as client,
        pytest.raises(Redirected) as raised,
    ):
        client.get("v1/x", anything)
    assert raised.value.hint == "It wants https: set the base URL to https://api.example."


# --- proxies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://ann:{SECRET}@127.0.0.1:{port}")
    monkeypatch.setenv(f"{scheme}_proxy", f"http://ann:{SECRET}@127.0.0.1:{port}")
    error = error_of(f"{scheme}://api.example")
    assert type(error) is Unreachable
    assert f"{scheme}://api.example through the proxy http://127.0.0.1:{port}" in error.message
    assert f"{scheme}_proxy" in error.hint


NO_TUNNEL = [
    ("407 Proxy Authentication Required", "Correct the login in https_proxy", 1),
    ("403 Forbidden", "let api.example through, or name it in NO_PROXY", 1),
    ("408 Request Timeout", "Check https_proxy and that the proxy runs", ATTEMPTS),
    ("502 Bad Gateway", "Check https_proxy and that the proxy runs", ATTEMPTS),
]


@pytest.mark.parametrize(("status", "hint", "times"), NO_TUNNEL)
def test_a_proxy_that_makes_no_tunnel_is_named(
    monkeypatch: pytest.MonkeyPatch, status: str, hint: str, times: int
) -> None:
    """What it refuses for good is asked for once; what may pass, several times."""
    with raw_server(lambda connection, _: connection.sendall(http(b"", status))) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//ann:{SECRET}@"))
        error = error_of("https://api.example")
    assert type(error) is (ProxyRefused if times == 1 else Unreachable)
    assert f"through the proxy {proxy.url}: {status}" in error.message
    assert hint in error.hint
    assert len(proxy.requests) == times


WANTS_LOGIN = http(b"", "407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="C"')


@pytest.mark.parametrize(
    ("login", "hint"),
    [("", "Write a user and a password into http_proxy"), (f"ann:{SECRET}@", "Correct the login")],
)
def test_a_proxy_that_wants_a_login_for_plain_http_is_told_from_the_api(
    monkeypatch: pytest.MonkeyPatch, login: str, hint: str
) -> None:
    with raw_server(lambda connection, _: connection.sendall(WANTS_LOGIN)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//{login}"))
        error = error_of("http://api.example")
    assert type(error) is ProxyRefused
    assert f"http://api.example through the proxy {proxy.url}: 407" in error.message
    assert 'Basic realm="C"' in error.message
    assert hint in error.hint
    assert len(proxy.requests) == 1


def test_a_407_where_no_proxy_is_named_is_told_as_such() -> None:
    """Something between asks for it, and every repetition would be answered the same way."""
    with raw_server(lambda connection, _: connection.sendall(WANTS_LOGIN)) as between:
        error = error_of(between.url)
    assert type(error) is ProxyRefused
    assert f"cannot be reached at {between.url}: 407" in error.message
    assert "the environment names none" in error.message
    assert "http_proxy" in error.hint
    assert "NO_PROXY must not name 127.0.0.1" in error.hint
    assert len(between.requests) == 1


def test_a_write_that_a_proxy_wants_a_login_for_is_not_done() -> None:
    with transport(http=Script(answer({}, 407)), clock=FakeClock()) as client:
        client.wait_for_permit()
        with pytest.raises(ProxyRefused) as raised:
            client.post("v1/x", {}, anything)
    assert raised.value.done is Done.NO


def test_a_407_of_a_server_that_has_answered_is_of_that_request_alone() -> None:
    """No proxy is on the way, so the address is right (R6)."""
    script = Script(answer({}, 200), answer({}, 407), answer({}, 200))
    with transport(http=script, clock=FakeClock()) as client:
        client.get("v1/x", anything)
        client.wait_for_permit()
        with pytest.raises(Refused):
            client.post("v1/x", {}, anything)
        client.get("v1/x", anything)


@pytest.mark.parametrize(
    "value",
    [f"http://ann:{SECRET}@proxy:port", "http://[::1", f"http://:{SECRET}@", "http://a b:1"],
)
def test_a_malformed_proxy_variable_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """It is named; its value, which may hold a password, is not shown."""
    monkeypatch.setenv("https_proxy", value)
    error = error_of("https://api.example")
    assert type(error) is SettingsError
    assert error.message == "https_proxy holds no address of a proxy that can be read."


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", "ftp://proxy.example"])
def test_a_kind_of_proxy_that_is_not_supported_is_said(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    error = error_of("https://api.example")
    assert error.message == "Only HTTP proxies are supported; check ALL_PROXY."


# --- TestRail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "The API is disabled for your installation. It can be enabled in the area …"),
        (401, "Session authentication is disabled for the API. It can be enabled in …"),
        (403, "API access is not enabled"),
    ],
)
def test_an_api_that_is_switched_off_says_where_to_switch_it_on(status: int, text: str) -> None:
    script = Script(answer({"error": text}, status))
    with transport("TestRail", http=script) as client, pytest.raises(ApiError) as raised:
        client.get("index.php?/api/v2/get_milestones/1", anything)
    assert type(raised.value) is {401: CredentialsRefused, 403: AccessDenied}[status]
    assert "Administration > Site Settings > API" in raised.value.hint


def test_another_denial_keeps_its_own_hint() -> None:
    script = Script(answer({"error": "No access to this project via the API."}, 403))
    with transport("TestRail", http=script) as client, pytest.raises(AccessDenied) as raised:
        client.get("index.php?/api/v2/get_milestones/1", anything)
    assert "Site Settings" not in raised.value.hint
