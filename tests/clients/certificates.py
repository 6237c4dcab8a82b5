"""Certificates for the tests alone, valid from 2000 to 2100 unless they say otherwise."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.support.transports import RawServer, raw_server

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBZjCCAQugAwIBAgIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5taWxlc3lu
YyB0ZXN0czAgFw0wMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwObWlsZXN5bmMgdGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASC
gQY++f/Gn1TGsOCvxP/6qssvKQbouUsII/wo0oL+nDCmgUc9GDbYyb0+rVPzjZPd
CdcEwt6V7RNqdaO/sVavo0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQE
AwIBBjAdBgNVHQ4EFgQUegceyUYbwlrXxrHzDNbL14xSY2swCgYIKoZIzj0EAwID
SQAwRgIhAP8lBvX1CGzSpp0y3lQPwWOUUKXr6vgxfxcqTcwpDDBaAiEA1yg9eDgP
IHxAOGHTbzChvy9uYg6SNvbeXBJIcYAjJXU=
-----END CERTIFICATE-----
"""
"""The certificate of the authority that signed the others."""

SERVER = """\
-----BEGIN CERTIFICATE-----
MIIBoDCCAUagAwIBAgIBAjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5taWxlc3lu
YyB0ZXN0czAgFw0wMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowDjEMMAoG
A1UEAwwDc3J2MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAjcITYKtAWkctzeb
/w4IJEgvZ+tVnR8dlyHA44pruJl3BEL4VvFGoV3x1PvTeW7xDQuW4foE0v/PWNSs
d3XA76OBhzCBhDAPBgNVHREECDAGhwR/AAABMAwGA1UdEwEB/wQCMAAwDgYDVR0P
AQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB8GA1UdIwQYMBaAFHoHHslG
G8Ja18ax8wzWy9eMUmNrMB0GA1UdDgQWBBRrTd59XvgQbv9ZrxO/HXzQ6wrKizAK
BggqhkjOPQQDAgNIADBFAiEAxw5z9Mwkqq9bvX+Bfo02OiU8z7wCSVntcPLkJGI0
zKcCIEXeHj3KDx5pjDU6hy0rIzxesJ+pQE9DzNIUpQJc7I92
-----END CERTIFICATE-----
"""
"""For 127.0.0.1."""

OTHER_HOST = """\
-----BEGIN CERTIFICATE-----
MIIBqzCCAVGgAwIBAgIBAzAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5taWxlc3lu
YyB0ZXN0czAgFw0wMDAxMDEwMDAwMDBaGA8yMTAwMDEwMTAwMDAwMFowEDEOMAwG
A1UEAwwFb3RoZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQCNwhNgq0BaRy3
N5v/DggkSC9n61WdHx2XIcDjimu4mXcEQvhW8UahXfHU+9N5bvENC5bh+gTS/89Y
1Kx3dcDvo4GQMIGNMBgGA1UdEQQRMA+CDW90aGVyLmV4YW1wbGUwDAYDVR0TAQH/
BAIwADAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHwYDVR0j
BBgwFoAUegceyUYbwlrXxrHzDNbL14xSY2swHQYDVR0OBBYEFGtN3n1e+BBu/1mv
E78dfNDrCsqLMAoGCCqGSM49BAMCA0gAMEUCIFhTkUGIGvdQa5r5eI9qLXlIqXUC
oP/LE4tXUy4ggYjdAiEA7RvOHkW2cmNdwhcaCQm13EW9wzX1g2H57dLEFaevtHE=
-----END CERTIFICATE-----
"""
"""For other.example."""

EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBnjCCAUSgAwIBAgIBBDAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5taWxlc3lu
YyB0ZXN0czAeFw0wMDAxMDEwMDAwMDBaFw0wMTAxMDEwMDAwMDBaMA4xDDAKBgNV
BAMMA3NydjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAI3CE2CrQFpHLc3m/8O
CCRIL2frVZ0fHZchwOOKa7iZdwRC+FbxRqFd8dT703lu8Q0LluH6BNL/z1jUrHd1
wO+jgYcwgYQwDwYDVR0RBAgwBocEfwAAATAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB
/wQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDATAfBgNVHSMEGDAWgBR6Bx7JRhvC
WtfGsfMM1svXjFJjazAdBgNVHQ4EFgQUa03efV74EG7/Wa8Tvx180OsKyoswCgYI
KoZIzj0EAwIDSAAwRQIgMoT/Zs8Nxis7fQhC2oADPN2idoPKQfQsBUiaLktzua8C
IQC6aDoEEsfGRpSYt3ltbNqv4VvSqwToOSw413skzy845A==
-----END CERTIFICATE-----
"""
"""For 127.0.0.1, until 2001."""

KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgD8ckfqh2/s6OG5BB
Sp/5BI95Ji2SloZSGXUbHUs0deKhRANCAAQCNwhNgq0BaRy3N5v/DggkSC9n61Wd
Hx2XIcDjimu4mXcEQvhW8UahXfHU+9N5bvENC5bh+gTS/89Y1Kx3dcDv
-----END PRIVATE KEY-----
"""
"""The private key of all three servers; it protects nothing but these tests."""


def tls(certificate: str, folder: Path) -> Callable[[socket.socket], socket.socket]:
    """What makes a connection with TLS of one that a server has accepted."""
    file = folder / "server.pem"
    file.write_text(certificate + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return partial(context.wrap_socket, server_side=True)


@contextmanager
def tls_server(certificate: str, folder: Path, answer: bytes) -> Iterator[RawServer]:
    """A server with this certificate that answers every request with these bytes."""
    secure = tls(certificate, folder)
    with raw_server(lambda connection, _: connection.sendall(answer), secure) as server:
        yield RawServer(server.url.replace("http:", "https:"), server.requests)
