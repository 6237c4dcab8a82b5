"""Names of hosts: those that the web process answers to, and those that are this very machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final

from worker.settings.values import plain_text

ANY_HOST: Final = "*"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")
_WITH_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[^\s:\[\]]{1,255})(?::\d{0,5})?")


def hosts(value: object) -> tuple[str, ...]:
    """Names of hosts, with commas or as a list: each as `plain_host` makes it; ``*`` is any."""
    parts = value if isinstance(value, list | tuple) else plain_text(value).split(",")
    names = [plain_text(part) for part in parts]
    return tuple(dict.fromkeys(_host(name) for name in names if name))


def _host(name: str) -> str:
    found = ANY_HOST if name == ANY_HOST else plain_host(name)
    if found is None:
        raise ValueError("names something that is no host: a name or an address, without a port")
    return found


def plain_host(text: str) -> str | None:
    """A host's name or address in the one form that can be compared; None where it is neither.

    Lower case, without the brackets of an IPv6 address and without the dot at the end.
    """
    name = text.lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if (address := _address(name)) is not None:
        return address
    name = name.removesuffix(".")
    return name if _NAME.fullmatch(name) else None


def host_of(header: str) -> str | None:
    """The host that a ``Host`` header names, whatever the port; None where it names none."""
    found = _WITH_PORT.fullmatch(header)
    return plain_host(found["host"]) if found else None


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address can only be this very machine."""
    name = plain_host(host or "")
    if name is None or name == "localhost":
        return name is not None
    return _address(name) is not None and ip_address(name).is_loopback


def are_loopback(names: Iterable[str]) -> bool:
    """Whether each of them is."""
    return all(map(is_loopback, names))


def _address(text: str) -> str | None:
    """An address in its shortest form; an IPv4 address within IPv6 is the IPv4 address."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)
