"""The proxy that the environment names for an address, as other programs read it.

And what to do where one refuses us, or where none is named and one is there all the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from worker.errors import SettingsError

WANTS_LOGIN: Final = 407
_REFUSES: Final = re.compile(r"4(?!08|29)\d\d\b")
"""How a proxy's own answer begins that will be no other the next time."""
_FORM: Final = "http://user:password@host:port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy: the ``variable`` that names it, and its ``address`` without user and password."""

    variable: str
    address: str
    url: str = field(repr=False)
    auth: tuple[bytes, bytes] | None = field(repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether the connection to the proxy itself is made with TLS."""
        return self.address.startswith("https:")


def proxy_for(base_url: str) -> Proxy | None:
    """The proxy for this address; NO_PROXY is heeded. Raises SettingsError for one that is wrong.

    No message holds the variable's value, which may contain a password.
    """
    parts = urlsplit(base_url)
    proxies = getproxies()
    scheme = parts.scheme if proxies.get(parts.scheme) else "all"
    if not (found := proxies.get(scheme)) or proxy_bypass(parts.netloc):
        return None
    return _read(_variable(scheme, os.environ), found)


def _variable(scheme: str, environ: Mapping[str, str]) -> str:
    name = f"{scheme}_proxy"
    return name if environ.get(name) else name.upper()


def _read(variable: str, value: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise SettingsError(f"Only HTTP proxies are supported; check {variable}.")
        address = _address(parts)
        proxy = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL) as error:
        message = f"{variable} holds no address of a proxy that can be read."
        raise SettingsError(message, "Write it as http://proxy.example:3128.") from error
    return Proxy(variable, address, str(proxy.url), proxy.raw_auth)


def _address(parts: SplitResult) -> str:
    """The proxy's address without its user and password. Raises ValueError if it is none."""
    if not parts.hostname or any(char.isspace() for char in parts.hostname):
        raise ValueError("there is no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


# --- what a proxy answers itself --------------------------------------------------------------


def refuses(said: str) -> bool:
    """Whether a proxy's words, which begin with a status, mean: not now, and not later either."""
    return _REFUSES.match(said) is not None


def login_wanted(asked_for: str, *, named: bool) -> str:
    """What is said of an answer of 407; ``asked_for`` is its header Proxy-Authenticate."""
    said = f"{WANTS_LOGIN} Proxy Authentication Required" + (f" ({asked_for})" if asked_for else "")
    if named:
        return said
    return f"{said}: a proxy is on the way, though the environment names none for this address"


def hint_of_proxy(proxy: Proxy | None, base_url: str, said: str) -> str:
    """What to do where an address was not reached, in the words of ``said``; may be empty."""
    parts = urlsplit(base_url)
    wants_login = said.startswith(str(WANTS_LOGIN))
    if proxy is None:
        name = f"Name the proxy in {parts.scheme}_proxy, as {_FORM}"
        return f"{name}; NO_PROXY must not name {parts.hostname}." if wants_login else ""
    if wants_login:
        do = "Write a user and a password into" if proxy.auth is None else "Correct the login in"
        return f"{do} {proxy.variable}: {_FORM}, special characters percent-encoded."
    if refuses(said):
        return (
            f"Ask who runs the proxy to let {parts.hostname} through, or name it in NO_PROXY;"
            f" check that {proxy.variable} names a proxy."
        )
    return (
        f"Check {proxy.variable} and that the proxy runs; NO_PROXY names the hosts that need none."
    )
