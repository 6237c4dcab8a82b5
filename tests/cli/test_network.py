"""What the environment says of proxies and certificates: read before anything is done."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Milesync
from tests.support.transports import http, raw_server

COMMANDS = [["plan"], ["migrate", "--yes"], ["sync"], ["verify"], ["check"]]


@pytest.fixture(autouse=True)
def a_pair_of_hosts_with_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MILESYNC_TESTRAIL_URL": "https://testrail.invalid",
        "MILESYNC_TESTRAIL_USER": "ann@example.com",
        "MILESYNC_TESTRAIL_API_KEY": "a-key-for-nothing",
        "MILESYNC_TESTABLY_URL": "https://testably.invalid",
        "MILESYNC_TESTABLY_TOKEN": "a-token-for-nothing",
        "MILESYNC_PROJECTS": "1=proj_abc123",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE names /nowhere/ca.pem"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "REQUESTS_CA_BUNDLE names /nowhere/ca.pem"),
        ("https_proxy", "http://ann:s3cret@proxy:port", "https_proxy holds no address"),
        ("https_proxy", "socks5://proxy:1", "Only HTTP proxies are supported"),
    ],
)
def test_a_wrong_setting_of_the_network_is_a_wrong_setting(
    milesync: Milesync,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    variable: str,
    value: str,
    words: str,
) -> None:
    """Exit code 2, with the variable that has to be corrected and without its password."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    ended = milesync(*command, "--json")
    assert ended.code == 2
    assert words in ended.out
    assert "s3cret" not in f"{ended.out}{ended.err}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_login_that_a_proxy_wants_is_said_after_one_try(
    milesync: Milesync, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Nothing is wrong with the settings of milesync: exit code 1."""
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    wants = http(b"", "407 Proxy Authentication Required")
    with raw_server(lambda connection, _: connection.sendall(wants)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        ended = milesync(*command, "--json")
    assert ended.code == 1
    assert f"through the proxy {proxy.url}: 407 Proxy Authentication Required" in ended.out
    assert "a password into https_proxy" in ended.out
    assert len(proxy.requests) == (2 if command == ["check"] else 1)
