"""Names of hosts: which are taken, in which form they are compared, which are this machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.settings.network import host_of, hosts, hosts_or_any, is_loopback, plain_host


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("localhost", ("localhost",)),
        (" A.example ,b.EXAMPLE.,a.example,", ("a.example", "b.example")),
        (["a.example", "::1"], ("a.example", "::1")),
        ("[2001:DB8:0::1], ::ffff:127.0.0.1", ("2001:db8::1", "127.0.0.1")),
        ("my_host,milesync-web", ("my_host", "milesync-web")),
    ],
)
def test_hosts(value: object, expected: tuple[str, ...]) -> None:
    assert hosts(value) == expected
    assert hosts(expected) == expected


@pytest.mark.parametrize("value", ["*", " * ", "a.example, *", ["*"], ["a.example", "*"]])
def test_a_star_is_any_host_where_that_is_allowed(value: object) -> None:
    assert hosts_or_any(value) == ("*",)
    with pytest.raises(ValueError, match="is no host"):
        hosts(value)


@pytest.mark.parametrize(
    "wrong",
    [
        *("a.example:8000", "https://a.example", "*.example", "a b", "b\u00fccher.example"),
        *("a/b", ".", 7, ["a", 7]),
    ],
)
def test_wrong_hosts(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is no host|is not text"):
        hosts(wrong)
    with pytest.raises(ValueError, match=r"is no host|is not text"):
        hosts_or_any(wrong)


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "127.0.0.1", "127.255.1.2", "::1"])
def test_this_machine_s_names(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name",
    [
        *(None, "", "localhost.example", "localhost..", "127.1", "0x7f000001", "2130706433"),
        *("0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "testclient", "fe80::1"),
    ],
)
def test_other_names(name: str | None) -> None:
    """Also those that may be this machine's, but only because somebody resolves them so."""
    assert not is_loopback(name)


@given(st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True), st.integers(0, 65535))
def test_a_name_is_the_same_in_any_case_with_a_port_and_a_dot(name: str, port: int) -> None:
    expected = plain_host(name)
    for form in (name.upper(), f"{name}:{port}", name):
        assert host_of(form) == expected
    if plain_host(f"{name}.") is not None:
        assert plain_host(f"{name}.") == expected


@given(st.ip_addresses())
def test_an_address_is_the_same_in_each_of_its_forms(address: object) -> None:
    text = str(address)
    expected = plain_host(text)
    assert expected is not None
    assert plain_host(text.upper()) == plain_host(f"[{text}]") == expected
    assert host_of(f"[{text}]:80" if ":" in text else f"{text}:80") == expected
